# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of a frozen dataclass: stated once, with :func:`rule`, and read with :func:`fields_of`."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from enum import Enum
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a value must satisfy beyond its type, and how to say it to a person."""

    help: str
    minimum: int | None = None
    maximum: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    #: The pattern in words, for messages: "must be <pattern_help>".
    pattern_help: str = ""
    #: Never shown in output, logs or diffs.
    secret: bool = False


@dataclass(frozen=True)
class FieldSpec:
    """A field as read from its class: the one source for argument specs, API schemas and documentation."""

    name: str
    #: One of str, int, float, bool, dict, any, enum, object, union.
    kind: str
    rule: Rule
    many: bool = False
    nullable: bool = False
    required: bool = False
    default: Any = None
    #: The dataclass or Enum behind kinds ``object`` and ``enum``; the dataclasses behind ``union``.
    types: tuple[type, ...] = ()

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(member.value for member in self.types[0]) if self.kind == "enum" else ()  # type: ignore[attr-defined]  # kind says that it is an Enum


def rule(help: str, default: Any = MISSING, *, factory: Callable[[], Any] | None = None, **limits: Any) -> Any:
    """State a dataclass field: its help text, its default (none: the field is required) and its limits (see Rule)."""
    # pylint: disable=invalid-field-call  # it is called where a dataclass states its fields
    metadata = {"rule": Rule(help, **limits)}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def fields_of(cls: type) -> tuple[FieldSpec, ...]:
    """The fields of a dataclass, in order."""
    return _fields_of(cls)


@cache
def _fields_of(cls: Any) -> tuple[FieldSpec, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(_read_field(field, hints[field.name]) for field in dataclasses.fields(cls) if field.init)


def _read_field(field: dataclasses.Field[Any], hint: Any) -> FieldSpec:
    hint, nullable = _without_none(hint)
    many = typing.get_origin(hint) is tuple
    if many:
        hint = typing.get_args(hint)[0]
    kind, classes = _kind(hint)
    required = field.default is MISSING and field.default_factory is MISSING
    default = None if field.default is MISSING else field.default
    if field.default_factory is not MISSING:
        default = field.default_factory()
    return FieldSpec(
        name=field.name, kind=kind, rule=field.metadata.get("rule", Rule("")), many=many, nullable=nullable,
        required=required, default=default, types=classes,
    )  # fmt: skip


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    nullable = len(parts) < len(typing.get_args(hint))
    return typing.Union[tuple(parts)], nullable  # noqa: UP007  # built from parts that are known at run time only


def _kind(hint: Any) -> tuple[str, tuple[type, ...]]:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return "union", typing.get_args(hint)
    if hint is Any:
        return "any", ()
    if origin in (dict, Mapping) or hint is dict:
        return "dict", typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return "object", (hint,)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "enum", (hint,)
    return hint.__name__, ()
