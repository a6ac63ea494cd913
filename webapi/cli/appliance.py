# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that describe VMs and virtual appliances: read and checked against the one VM definition before the API is
asked, so that a typing error costs no round trip and sounds the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import (
    InvalidData,
    Problem,
    fields_of,
    parse,
    rule,
    unknown_keys,
)
from webapi.cli.errors import InvalidFile


@dataclass(frozen=True, kw_only=True)
class WantedVm:
    """A VM as its file states it: a definition, and a template by name that its first disk is made from."""

    definition: dict[str, Any]
    template: str | None = None


@dataclass(frozen=True, kw_only=True)
class _ApplianceFile:
    name: str = rule("Name of the virtual appliance.")
    virtualdatacenter: str = rule("Name or id of the virtual datacenter that it belongs to.")
    vms: tuple[dict[str, Any], ...] = rule("Its VMs: each a definition, with the name or id of a template.", ())


@dataclass(frozen=True, kw_only=True)
class WantedAppliance:
    name: str
    virtualdatacenter: str
    vms: tuple[WantedVm, ...]


#: A VM's fields in a file: those of the definition but for what the platform gives, and the template by name.
_VM_FIELDS = ["template", *(spec.name for spec in fields_of(VmDefinition) if spec.name != "uuid")]


def read_appliance(path: Path) -> WantedAppliance:
    """Raises InvalidFile with every problem of the appliance or, if that is well formed, of its VMs."""
    try:
        stated = parse(_ApplianceFile, _read_yaml(path))
    except InvalidData as error:
        raise InvalidFile(str(path), error.problems) from error
    problems = [
        Problem(f"vms[{place}].{problem.path}", problem.rule)
        for place, raw in enumerate(stated.vms)
        for problem in problems_of(raw)
    ]
    if problems:
        raise InvalidFile(str(path), problems)
    return WantedAppliance(
        name=stated.name, virtualdatacenter=stated.virtualdatacenter, vms=tuple(_wanted(raw) for raw in stated.vms)
    )


def read_vm(path: Path, name: str | None = None) -> WantedVm:
    """One VM of such a file, in a file of its own. ``name`` wins over the file's. Raises InvalidFile."""
    raw = _read_yaml(path)
    if isinstance(raw, Mapping) and name:
        raw = {**raw, "name": name}
    problems = problems_of(raw)
    if problems:
        raise InvalidFile(str(path), problems)
    return _wanted(raw)


def problems_of(raw: Any) -> list[Problem]:
    """What is wrong with a VM as a file states it."""
    if not isinstance(raw, Mapping):
        return [Problem("", "must be a mapping of a VM's fields")]
    problems = [Problem("uuid", "is given by the platform; leave it out")] if "uuid" in raw else []
    problems += unknown_keys({key: value for key, value in raw.items() if key != "uuid"}, _VM_FIELDS)
    wanted = _wanted({key: value for key, value in raw.items() if key in _VM_FIELDS})
    if wanted.template is not None and not isinstance(wanted.template, str):
        problems.append(Problem("template", "must be the name or id of a template"))
    try:
        VmDefinition.from_dict(_with_first_disk(wanted) if wanted.template else wanted.definition)
    except InvalidData as error:
        problems += error.problems
    return problems


def _wanted(raw: Mapping[str, Any]) -> WantedVm:
    definition = dict(raw)
    template = definition.pop("template", None)
    return WantedVm(definition=definition, template=template)


def _with_first_disk(wanted: WantedVm) -> dict[str, Any]:
    """The definition as it is once the API has put the template in: its first disk needs no size of its own."""
    disks = wanted.definition.get("disks")
    if not isinstance(disks, list) or not disks or not isinstance(disks[0], Mapping):
        return wanted.definition
    return {**wanted.definition, "disks": [{**disks[0], "template": str(wanted.template)}, *disks[1:]]}


def _read_yaml(path: Path) -> Any:
    """An open file has a name, and so its errors say where they are."""
    try:
        with path.open("rb") as stream:
            return yaml.safe_load(stream)
    except yaml.YAMLError as error:
        raise InvalidFile(str(path), [Problem("", f"is not YAML: {error}")]) from error
