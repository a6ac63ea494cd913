# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions as the API takes, keeps and shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import FieldSpec, Problem, fields_of

from ..errors import Invalid
from ..models import Template
from ..models.vms import NAME_LENGTH


def with_template(raw: Mapping[str, Any], template: Template | None) -> dict[str, Any]:
    """The raw definition with its first disk made from the template; a definition without disks gets one."""
    if template is None:
        return dict(raw)
    source = {"template": template.path, "template_format": template.format.value}
    disks = raw.get("disks") or [{"name": "root"}]
    if not isinstance(disks, list) or not isinstance(disks[0], Mapping):
        return dict(raw)  # The check will say what is wrong with that.
    return {**raw, "disks": [{**disks[0], **source}, *disks[1:]]}


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


def without_secrets(definition: Mapping[str, Any], cls: type = VmDefinition) -> dict[str, Any]:
    """The definition for showing: secrets are None."""
    return {spec.name: _shown(spec, definition[spec.name]) for spec in fields_of(cls) if spec.name in definition}


def with_secrets_of(
    before: Mapping[str, Any] | None, after: dict[str, Any], cls: type = VmDefinition
) -> dict[str, Any]:
    """A new definition that says nothing about a secret keeps the old one: it may have been made from a shown one."""
    for spec in fields_of(cls):
        old, new = (before or {}).get(spec.name), after.get(spec.name)
        if spec.rule.secret and new is None:
            after[spec.name] = old
        elif spec.kind == "object" and not spec.many and isinstance(new, dict):
            with_secrets_of(old, new, spec.types[0])
    return after


def _shown(spec: FieldSpec, value: Any) -> Any:
    if spec.rule.secret:
        return None
    if spec.kind == "object" and not spec.many and value is not None:
        return without_secrets(value, spec.types[0])
    return value
