# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference between two VM definitions, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .definition import VmDefinition
from .fingerprint import is_fingerprint_of
from .schema import FieldSpec, fields_of, plain


@dataclass(frozen=True)
class Change:
    """One field that differs. ``before`` is None for a part that is added, ``after`` for one that is removed."""

    #: Path of the field, parts of lists by their name: ``cpu.count``, ``disks[root].size_mib``, ``nics[front]``.
    path: str
    before: Any
    after: Any
    secret: bool = False

    @property
    def kind(self) -> str:
        """The path without the names of parts, as capability tables state it: ``disks[].size_mib``."""
        head, bracket, rest = self.path.partition("[")
        return f"{head}[]{rest.partition(']')[2]}" if bracket else self.path

    def to_dict(self) -> dict[str, Any]:
        """The change as results and events show it; a secret's values are not in it."""
        if self.secret:
            return {"path": self.path, "before": "(secret)", "after": "(secret, changed)"}
        return {"path": self.path, "before": self.before, "after": self.after}


def changes(before: VmDefinition, after: VmDefinition) -> tuple[Change, ...]:
    """What would have to change for a VM that is ``before`` to be ``after``; empty when nothing would.

    A field of ``after`` that is None says nothing and is not compared. An empty text equals one that is not there. A
    secret equals its fingerprint.
    """
    return tuple(_object_changes(before, after, ""))


def _object_changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    for spec in fields_of(type(after)):
        where = f"{path}.{spec.name}" if path else spec.name
        yield from _field_changes(spec, getattr(before, spec.name), getattr(after, spec.name), where)


def _field_changes(spec: FieldSpec, before: Any, after: Any, path: str) -> Iterator[Change]:
    if (
        after is None
        or before == after
        or (not before and after == "")
        or (spec.rule.secret and is_fingerprint_of(before, after))
    ):
        return
    if spec.kind == "object" and spec.many:
        yield from _part_changes(_by_name(before), _by_name(after), path)
    elif spec.kind == "object" and before is not None:
        yield from _object_changes(before, after, path)
    else:
        yield Change(path, plain(before), plain(after), secret=spec.rule.secret or _holds_secret(spec))


def _holds_secret(spec: FieldSpec) -> bool:
    return spec.kind == "object" and any(inner.rule.secret for inner in fields_of(spec.types[0]))


def _by_name(parts: tuple[Any, ...]) -> dict[str, Any]:
    return {part.name: part for part in parts}


def _part_changes(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        where = f"{path}[{name}]"
        if name not in after:
            yield Change(where, plain(before[name]), None)
        elif name not in before:
            yield Change(where, None, plain(after[name]))
        else:
            yield from _object_changes(before[name], after[name], where)


def merged(before: VmDefinition, after: VmDefinition) -> VmDefinition:
    """What a VM that was ``before`` is once it was made as ``after`` says: what that says nothing of stays."""
    return _within_limits(_merged(before, after))


def _within_limits(whole: VmDefinition) -> VmDefinition:
    """A limit of which nothing was said gives way to what was."""
    cpu, memory_max_mib = whole.cpu, whole.memory_max_mib
    if cpu.max_count is not None:
        most = max(cpu.count, cpu.max_count)
        cpu = replace(cpu, max_count=most - most % cpu.cores_per_socket)
    if memory_max_mib is not None:
        memory_max_mib = max(whole.memory_mib, memory_max_mib)
    return replace(whole, cpu=cpu, memory_max_mib=memory_max_mib)


def _merged(before: Any, after: Any) -> Any:
    fields = fields_of(type(after))
    return replace(after, **{spec.name: _merged_field(spec, before, after) for spec in fields})


def _merged_field(spec: FieldSpec, before: Any, after: Any) -> Any:
    was, said = getattr(before, spec.name), getattr(after, spec.name)
    if said is None:
        return was
    if spec.kind == "object" and spec.many:
        known = _by_name(was)
        return tuple(_merged(known[part.name], part) if part.name in known else part for part in said)
    return _merged(was, said) if spec.kind == "object" and was is not None else said


def same_changes(some: Iterable[Change], others: Iterable[Change]) -> bool:
    """Whether both change the same from the same. Secrets are compared by their paths."""
    return {_key(change) for change in some} == {_key(change) for change in others}


def _key(change: Change) -> tuple[str, str]:
    return change.path, "" if change.secret else repr((change.before, change.after))


def shrinking(differing: Iterable[Change]) -> tuple[Change, ...]:
    """The changes that would make a disk smaller, and cut off what is at its end."""
    return tuple(
        change
        for change in differing
        if change.kind == "disks[].size_mib" and change.before is not None and change.after < change.before
    )


def ejected(differing: Iterable[Change]) -> tuple[Change, ...]:
    """The change that takes the disc out of the drive and puts none in."""
    return tuple(change for change in differing if change.kind == "cdrom" and change.after == "")


def removed_disks(differing: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(change for change in differing if change.kind == "disks[]" and change.after is None)
