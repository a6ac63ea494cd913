# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen dataclasses as schemas: one reading of their fields serves every consumer.

A class states each field once, with :func:`rule`. :func:`fields_of` reads that statement (both live in fields.py and
are taken from here); :func:`parse` checks plain data against it; the Ansible argument spec, the API's schema and the
documentation are made from the same reading.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from .fields import FieldSpec, Rule, fields_of, rule

__all__ = [
    "FieldSpec", "InvalidData", "Problem", "Rule", "fields_of", "parse", "plain", "plain_fields", "rule",
    "unknown_keys",
]  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with data, and where."""

    path: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}" if self.path else self.rule


class InvalidData(ValueError):
    """The data does not fit its schema; ``problems`` names each field and the rule that it breaks."""

    code = "definition.invalid"
    retryable = False

    def __init__(self, problems: list[Problem]):
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in problems))


def parse(cls: type[T], raw: Any, *, tolerant: bool = False) -> T:
    """Make a ``cls`` from plain data (as JSON or YAML gives it).

    A ``None`` for a field that has a default counts as absent. Unknown keys are refused, or passed over when
    ``tolerant``. A class may add checks over several fields with a method ``problems() -> Iterator[Problem]``, and put
    raw data right first with a classmethod ``normalise(raw) -> dict``. Raises InvalidData with every problem found.
    """
    parser = _Parser(tolerant=tolerant)
    value = parser.read_object(cls, raw, "")
    if parser.found:
        raise InvalidData(parser.found)
    return typing.cast(T, value)


class _Parser:
    """Reads values one by one and collects what is wrong with them in ``found``."""

    def __init__(self, *, tolerant: bool):
        self.tolerant = tolerant
        self.found: list[Problem] = []

    def read_object(self, cls: type, raw: Any, path: str) -> Any:
        if not isinstance(raw, Mapping):
            self.found.append(Problem(path, f"must be a mapping, not {_shown(raw)}"))
            return None
        if hasattr(cls, "normalise"):
            raw = cls.normalise(raw)
        before = len(self.found)
        values = self._read_fields(fields_of(cls), raw, path)
        if len(self.found) > before:
            return None
        instance = cls(**values)
        if hasattr(instance, "problems"):
            self.found.extend(_placed(path, problem) for problem in instance.problems())
        return instance

    def _read_fields(self, specs: tuple[FieldSpec, ...], raw: Mapping[Any, Any], path: str) -> dict[str, Any]:
        if not self.tolerant:
            self.found.extend(unknown_keys(raw, [spec.name for spec in specs], path))
        values = {}
        for spec in specs:
            where = f"{path}.{spec.name}" if path else spec.name
            if raw.get(spec.name) is not None:
                values[spec.name] = self._read_field(spec, raw[spec.name], where)
            elif spec.required:
                self.found.append(Problem(where, "is required"))
        return values

    def _read_field(self, spec: FieldSpec, raw: Any, path: str) -> Any:
        if not spec.many:
            return self._read_one(spec, raw, path)
        if not isinstance(raw, (list, tuple)):
            self.found.append(Problem(path, f"must be a list, not {_shown(raw)}"))
            return None
        return tuple(self._read_one(spec, item, f"{path}[{index}]") for index, item in enumerate(raw))

    def _read_one(self, spec: FieldSpec, raw: Any, path: str) -> Any:
        match spec.kind:
            case "object":
                return self.read_object(spec.types[0], raw, path)
            case "union":
                return self._read_union(spec.types, raw, path)
            case "enum":
                return self._read_enum(spec, raw, path)
        return self._read_plain(spec, raw, path)

    def _read_union(self, classes: tuple[type, ...], raw: Any, path: str) -> Any:
        """The key ``kind`` says which of the classes it is, by their ``KIND``."""
        by_kind = {cls.KIND: cls for cls in classes}  # type: ignore[attr-defined]  # every class of a union has one
        kind = raw.get("kind") if isinstance(raw, Mapping) else None
        if not isinstance(kind, str) or kind not in by_kind:
            self.found.append(Problem(f"{path}.kind", f"must be one of: {', '.join(by_kind)}"))
            return None
        rest = {key: value for key, value in raw.items() if key != "kind"}
        return self.read_object(by_kind[kind], rest, path)

    def _read_enum(self, spec: FieldSpec, raw: Any, path: str) -> Any:
        try:
            return spec.types[0](raw)
        except ValueError:
            self.found.append(Problem(path, f"must be one of: {', '.join(spec.choices)}, not {_shown(raw)}"))
            return None

    def _read_plain(self, spec: FieldSpec, raw: Any, path: str) -> Any:
        if not _has_kind(spec.kind, raw):
            self.found.append(Problem(path, f"must be {_ARTICLE[spec.kind]}, not {_shown(raw)}"))
            return None
        if spec.kind == "dict" and spec.types:
            self.found.extend(_dict_problems(spec.types[-1], raw, path))
        self.found.extend(Problem(path, text) for text in _broken_rules(spec.rule, raw))
        return dict(raw) if spec.kind == "dict" else raw


def unknown_keys(raw: Mapping[Any, Any], known: list[str], path: str = "") -> Iterator[Problem]:
    """A problem for every key that is not among the known ones, with the one that was probably meant."""
    for key in raw:
        if key not in known:
            where = f"{path}.{key}" if path else str(key)
            meant = difflib.get_close_matches(str(key).casefold(), known, n=1)
            hint = f", did you mean {meant[0]!r}?" if meant else ";"
            yield Problem(where, f"unknown field{hint} known are: {', '.join(known)}")


def _placed(path: str, problem: Problem) -> Problem:
    return Problem(".".join(part for part in (path, problem.path) if part), problem.rule)


def _dict_problems(value_type: Any, raw: Mapping[Any, Any], path: str) -> Iterator[Problem]:
    for key, value in raw.items():
        if not isinstance(key, str):
            yield Problem(f"{path}.{key}", "the key must be a string")
        if value_type is str and not isinstance(value, str):
            yield Problem(f"{path}.{key}", f"must be a string, not {_shown(value)}")


_ARTICLE = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "dict": "a mapping",
}


def _has_kind(kind: str, raw: Any) -> bool:
    if kind == "any":
        return True
    if kind in ("int", "float") and isinstance(raw, bool):
        return False
    accepted = {"str": str, "int": int, "float": (int, float), "bool": bool, "dict": Mapping}
    return isinstance(raw, accepted[kind])  # type: ignore[arg-type]  # mypy joins the values to object


def _broken_rules(limits: Rule, value: Any) -> Iterator[str]:
    if limits.minimum is not None and value < limits.minimum:
        yield f"must be at least {limits.minimum}, not {value}"
    if limits.maximum is not None and value > limits.maximum:
        yield f"must be at most {limits.maximum}, not {value}"
    if limits.max_length is not None and len(value) > limits.max_length:
        yield f"must have at most {limits.max_length} characters, not {len(value)}"
    if limits.pattern is not None and not re.fullmatch(limits.pattern, value):
        shown = "" if limits.secret else f", not {_shown(value)}"
        yield f"must be {limits.pattern_help or 'like ' + limits.pattern}{shown}"


def _shown(value: Any) -> str:
    """The value for a message: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def plain_fields(instance: Any) -> dict[str, Any]:
    """Plain data (dicts, lists, strings, numbers) for an instance that parse made; parse(plain_fields(x)) == x."""
    kind = {"kind": instance.KIND} if hasattr(instance, "KIND") else {}
    return kind | {spec.name: plain(getattr(instance, spec.name)) for spec in fields_of(type(instance))}


def plain(value: Any) -> Any:
    """Plain data for a value, or a container of values, of the kinds that a schema knows."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain_fields(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value
