# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is defined as when it was seen to be something else that cannot be taken back: a change that stays in part,
a disk that has grown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import InvalidData, parse

Definition = dict[str, Any]

#: A part of it is a secret, which nobody sees at a hypervisor.
_UNSEEN = frozenset({"cloud_init"})
_PARTS = ("disks", "nics")


def settled(before: Definition, wanted: Definition, native: Definition, vm: Mapping[str, Any] | None) -> Definition:
    """The definition after a change from ``before`` to ``wanted`` (``native`` in the hypervisor's names) that is not
    taken back: where the VM was seen to be as wanted, that; where not, what it was; and disks as large as they are."""
    seen = _definition_in(vm)
    if seen is None:
        return before
    paths = {change.path for change in changes(seen, VmDefinition.from_dict(native))}
    differing = {path.partition(".")[0].partition("[")[0] for path in paths} | _UNSEEN
    whole = {name: before[name] if name in differing else wanted[name] for name in before}
    for name in _PARTS:
        whole[name] = _settled_parts(before[name], wanted[name], _parts_of(paths, name))
    return with_grown(whole, vm)


def _parts_of(paths: set[str], field: str) -> set[str]:
    """Names of the parts of the field that a path leads to."""
    return {path.partition("[")[2].partition("]")[0] for path in paths if path.startswith(f"{field}[")}


def _settled_parts(before: list[Definition], wanted: list[Definition], differing: set[str]) -> list[Definition]:
    known = {part["name"]: part for part in before}
    asked = {part["name"]: part for part in wanted}
    seen = {name: part for name, part in asked.items() if name not in differing}
    stayed = {name: part for name, part in known.items() if name in differing}
    names = [name for name in [*known, *asked] if name in seen or name in stayed]
    return [seen.get(name) or stayed[name] for name in dict.fromkeys(names)]


def with_grown(definition: Definition, vm: Mapping[str, Any] | None) -> Definition:
    """The definition with disks as large as they were seen to be: none is ever made smaller."""
    seen = _definition_in(vm)
    sizes = {disk.name: disk.size_mib for disk in seen.disks} if seen else {}
    return {**definition, "disks": [_grown(disk, sizes.get(disk["name"])) for disk in definition["disks"]]}


def _grown(disk: Definition, size_mib: int | None) -> Definition:
    return {**disk, "size_mib": size_mib} if size_mib and disk["size_mib"] and size_mib > disk["size_mib"] else disk


def _definition_in(vm: Mapping[str, Any] | None) -> VmDefinition | None:
    """None if it cannot be told in our words."""
    try:
        return parse(VmDefinition, vm["definition"], tolerant=True) if vm and vm.get("definition") else None
    except InvalidData:
        return None
