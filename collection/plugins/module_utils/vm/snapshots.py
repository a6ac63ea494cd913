# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a VM: what is asked for, what there is, and how they follow from each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .schema import rule
from .states import PowerState


class Quiesce(StrEnum):
    """Whether the guest's file systems are brought to rest, by its agent, while a snapshot is taken."""

    #: If an agent answers.
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class WantedSnapshot:
    """A snapshot as it is asked for."""

    # Not by digits alone: QEMU would take such a name for the number of another snapshot.
    name: str = rule(
        "Name of the snapshot, unique within the VM.",
        max_length=63,
        pattern=r"[A-Za-z][A-Za-z0-9._-]*",
        pattern_help="a letter, then letters, digits, dots, hyphens and underscores",
    )
    description: str = rule(
        "What the snapshot is for.",
        "",
        max_length=1024,
        pattern=r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]*",
        pattern_help="one line of text",
    )
    memory: bool = rule(
        "Keep the memory of a guest that runs, so that a revert lets it run on. "
        "Without it a revert leads to a VM that is off.",
        default=False,
    )
    quiesce: Quiesce = rule(
        "Whether the guest's agent brings file systems to rest meanwhile; "
        "it matters for a guest that runs and whose memory is not kept. V(auto) does where an agent answers.",
        Quiesce.AUTO,
    )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot that the hypervisor has."""

    name: str
    description: str = ""
    #: When it was taken, seconds since the epoch; None if it is only planned.
    created: int | None = None
    #: The power state that a revert to it leads to.
    power: PowerState = PowerState.OFF
    #: Name of the snapshot that the VM was on when this one was taken.
    parent: str | None = None
    #: The VM is on this one: what it writes differs from it, and the next one's parent is it.
    current: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data for results."""
        return {
            "name": self.name, "description": self.description, "created": self.created, "power": self.power.value,
            "parent": self.parent, "current": self.current,
        }  # fmt: skip


def named(snapshots: Iterable[Snapshot], name: str) -> Snapshot | None:
    return next((snapshot for snapshot in snapshots if snapshot.name == name), None)


def with_descendants(snapshots: Iterable[Snapshot], name: str) -> frozenset[str]:
    """The name, and those of all snapshots that were taken on top of it."""
    parents = {snapshot.name: snapshot.parent for snapshot in snapshots}
    return frozenset(other for other in parents if name in _line(parents, other))


def _line(parents: dict[str, str | None], name: str | None) -> Iterable[str]:
    while name is not None and name in parents:
        yield name
        name = parents[name]


def tree(snapshots: Iterable[Snapshot], parent: str | None = None) -> list[dict[str, Any]]:
    """Plain data: each snapshot with its ``children``, those of one parent in the order of ``snapshots``."""
    ours = tuple(snapshots)
    return [
        {**snapshot.to_dict(), "children": tree(ours, snapshot.name)} for snapshot in ours if snapshot.parent == parent
    ]


def after_create(snapshots: Iterable[Snapshot], want: WantedSnapshot, power: PowerState) -> tuple[Snapshot, ...]:
    """The snapshots once the wanted one is taken of a VM in the power state ``power``."""
    ours = tuple(snapshots)
    planned = Snapshot(
        name=want.name,
        description=want.description,
        power=power if want.memory else PowerState.OFF,
        parent=next((snapshot.name for snapshot in ours if snapshot.current), None),
        current=True,
    )
    return (*_none_current(ours), planned)


def after_revert(snapshots: Iterable[Snapshot], name: str) -> tuple[Snapshot, ...]:
    """The snapshots once the VM went back to one of them."""
    return tuple(_with(snapshot, current=snapshot.name == name) for snapshot in snapshots)


def after_delete(snapshots: Iterable[Snapshot], name: str, *, children: bool) -> tuple[Snapshot, ...]:
    """The snapshots once one is deleted. Without ``children`` those on top of it are on its parent from then on; a VM
    that was on one that is gone is on that parent, too."""
    ours = tuple(snapshots)
    gone = with_descendants(ours, name) if children else frozenset({name})
    parent = next((snapshot.parent for snapshot in ours if snapshot.name == name), None)
    was_on = any(snapshot.current for snapshot in ours if snapshot.name in gone)
    return tuple(
        _with(
            snapshot,
            parent=parent if snapshot.parent == name else snapshot.parent,
            current=snapshot.current or (was_on and snapshot.name == parent),
        )
        for snapshot in ours
        if snapshot.name not in gone
    )


def _none_current(snapshots: Iterable[Snapshot]) -> tuple[Snapshot, ...]:
    return tuple(_with(snapshot, current=False) for snapshot in snapshots)


def _with(snapshot: Snapshot, **changed: Any) -> Snapshot:
    return Snapshot(**{**vars(snapshot), **changed})
