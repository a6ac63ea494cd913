# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions as the API takes, keeps and shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem

from ..database import db
from ..errors import Invalid
from ..models import Datacenter, Template
from ..models.vms import NAME_LENGTH
from .sealing import seal


def accept(
    raw: Mapping[str, Any], datacenter: Datacenter, template: Template | None
) -> tuple[dict[str, Any], str | None]:
    """What the owner of a VM wants, whole and checked, and apart from it the secret in it, sealed. Raises Invalid."""
    definition = check(with_template(raw, template))
    if problems := [*_given_twice(raw, template), *_unregistered(definition, datacenter)]:
        raise Invalid(problems)
    return definition, _take_user_data(definition, datacenter)


def with_template(raw: Mapping[str, Any], template: Template | None) -> dict[str, Any]:
    """The raw definition with its first disk made from the template; a definition without disks gets one."""
    if template is None:
        return dict(raw)
    source = {"template": template.path, "template_format": template.format.value}
    disks = raw.get("disks") or [{"name": "root"}]
    if not isinstance(disks, list) or not isinstance(disks[0], Mapping):
        return dict(raw)  # The check will say what is wrong with that.
    return {**raw, "disks": [{**disks[0], **source}, *disks[1:]]}


def _given_twice(raw: Mapping[str, Any], template: Template | None) -> Iterator[Problem]:
    """The first disk's own template must not be lost without a word; the same again is what a shown definition has."""
    if template is not None and raw.get("disks") and raw["disks"][0].get("template") not in (None, template.path):
        yield Problem("definition.disks[0].template", "is given by template_id; leave it out")


def check(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The whole definition, with defaults, without uuid. Raises Invalid; the messages are those of the module."""
    try:
        definition = VmDefinition.from_dict(raw).to_dict()
    except ValueError as error:
        raise Invalid(Problem(f"definition.{p.path}", p.rule) for p in getattr(error, "problems", ())) from error
    if definition.pop("uuid") is not None:
        raise Invalid([Problem("definition.uuid", "is given by the platform; leave it out")])
    if len(definition["name"]) > NAME_LENGTH:
        length = len(definition["name"])
        raise Invalid([Problem("definition.name", f"must have at most {NAME_LENGTH} characters, not {length}")])
    return definition


def _unregistered(definition: Mapping[str, Any], datacenter: Datacenter) -> Iterator[Problem]:
    """Whoever may ask for a VM must not read any file of its host through it."""
    sources = [disk["template"] for disk in definition["disks"]]
    formats = _registered_formats({*sources, definition["cdrom"]} - {None}, datacenter)
    for number, disk in enumerate(definition["disks"]):
        path = f"definition.disks[{number}].template"
        if disk["template"] and disk["template"] not in formats:
            yield _unknown(path, disk["template"])
        elif disk["template"] and disk["template_format"] not in formats[disk["template"]]:
            known = " or ".join(sorted(formats[disk["template"]]))
            yield Problem(f"{path}_format", f"must be {known}, as which the template is registered")
    if definition["cdrom"] and definition["cdrom"] not in formats:
        yield _unknown("definition.cdrom", definition["cdrom"])


def _unknown(path: str, file: str) -> Problem:
    return Problem(path, f"must be a registered template of the datacenter; register {file!r} as one first")


def _registered_formats(paths: set[str], datacenter: Datacenter) -> dict[str, set[str]]:
    """Of each path that is a template's, the formats that it is registered with."""
    formats: dict[str, set[str]] = defaultdict(set)
    if paths:
        chosen = select(Template.path, Template.format).filter_by(datacenter_id=datacenter.id)
        for path, format in db.session.execute(chosen.where(Template.path.in_(paths))):
            formats[path].add(format.value)
    return formats


def _take_user_data(definition: Mapping[str, Any], datacenter: Datacenter) -> str | None:
    """Take the secret out of a definition, and seal it."""
    cloud_init = definition["cloud_init"] or {}
    user_data = cloud_init.get("user_data")
    if user_data is None:
        return None
    cloud_init["user_data"] = None
    return seal(datacenter.public_key, user_data, "definition.cloud_init.user_data")
