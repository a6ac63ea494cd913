# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM definition in the API, made from the definition itself; its checks are its own, so messages are the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import FieldSpec, Rule, fields_of, plain

_PLAIN = {"str": fields.String, "int": fields.Integer, "float": fields.Float, "bool": fields.Boolean}


@cache
def schema_of(cls: type) -> type[Schema]:
    """The marshmallow schema of a dataclass of the definition, for the OpenAPI document."""
    specs = [spec for spec in fields_of(cls) if (cls, spec.name) != (VmDefinition, "uuid")]
    return Schema.from_dict({spec.name: _field(spec) for spec in specs}, name=f"{cls.__name__}Schema")


def _field(spec: FieldSpec) -> fields.Field[Any]:
    stated: dict[str, Any] = {"metadata": _metadata(spec), "required": spec.required, "allow_none": spec.nullable}
    if not spec.required and spec.kind != "object" and spec.default is not None:
        stated["load_default"] = plain(spec.default)
    if spec.many:
        return fields.List(_one(spec, {}), **stated)
    return _one(spec, stated)


def _one(spec: FieldSpec, stated: dict[str, Any]) -> fields.Field[Any]:
    if spec.kind == "object":
        return fields.Nested(schema_of(spec.types[0]), **stated)
    if spec.kind == "dict":
        return fields.Dict(keys=fields.String(), values=fields.String(), **stated)
    if spec.kind == "enum":
        return fields.String(validate=validate.OneOf(spec.choices), **stated)
    make: type[fields.Field[Any]] = _PLAIN[spec.kind]
    return make(validate=_limits(spec.rule), **stated)


def _metadata(spec: FieldSpec) -> dict[str, Any]:
    described: dict[str, Any] = {"description": spec.rule.help}
    return described | {"writeOnly": True} if spec.rule.secret else described


def _limits(rule: Rule) -> list[validate.Validator]:
    limits: list[validate.Validator] = []
    if rule.minimum is not None or rule.maximum is not None:
        limits.append(validate.Range(rule.minimum, rule.maximum))
    if rule.max_length is not None:
        limits.append(validate.Length(max=rule.max_length))
    return limits


class DefinitionField(fields.Nested):
    """A VM definition. What it is told to be is checked where it is used, because a template may complete it."""

    def __init__(self, **stated: Any) -> None:
        super().__init__(schema_of(VmDefinition), **stated)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValidationError("must be a mapping")
        return dict(value)

    def _serialize(self, nested_obj: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]  # as Nested names it
        return nested_obj
