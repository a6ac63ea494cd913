# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's snapshots as vSphere tells them, and which it can have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ...vm.snapshots import Quiesce, Snapshot, WantedSnapshot
from ...vm.states import PowerState
from ..errors import Unsupported
from .collector import Properties
from .devices import disks_of
from .observation import POWER, Seen

PATHS = ("snapshot.rootSnapshotList", "snapshot.currentSnapshot")
#: Whether VMware Tools run in the guest, which bring its file systems to rest.
TOOLS, TOOLS_RUN = "guest.toolsRunningStatus", "guestToolsRunning"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A snapshot and what vSphere calls it."""

    object: Any
    snapshot: Snapshot


def of(told: Properties) -> list[Found]:
    """By age, and so a parent before its children. ``told`` are a VM's PATHS."""
    current = told.get("snapshot.currentSnapshot")
    every = list(_walk(told.get("snapshot.rootSnapshotList", ()), None, 0))
    every.sort(key=lambda one: (one[0].createTime, one[2]))
    return [Found(object=node.snapshot, snapshot=_snapshot(node, parent, current)) for node, parent, _depth in every]


def _walk(nodes: Iterable[Any], parent: str | None, depth: int) -> Iterator[tuple[Any, str | None, int]]:
    for node in nodes:
        yield node, parent, depth
        yield from _walk(node.childSnapshotList or (), node.name, depth + 1)


def _snapshot(node: Any, parent: str | None, current: Any) -> Snapshot:
    return Snapshot(
        name=node.name,
        description=node.description or "",
        created=int(node.createTime.timestamp()),
        # vSphere says that a VM was off whose memory is not in the snapshot.
        power=POWER.get(node.state, PowerState.UNKNOWN),
        parent=parent,
        current=node.snapshot == current,
    )


def refuse(seen: Seen, want: WantedSnapshot, *, tools_run: bool) -> None:
    """Raise Unsupported for a VM that cannot have the snapshot."""
    for disk in disks_of(seen.devices):
        if str(getattr(disk.backing, "diskMode", "") or "").startswith("independent"):
            label = disk.deviceInfo.label if disk.deviceInfo else disk.key
            raise Unsupported(f"{label} of VM {seen.name!r} is independent, so no snapshot would have what is on it")
    if seen.power is PowerState.PAUSED and not want.memory:
        raise Unsupported(f"VM {seen.name!r} is paused, and its snapshot would have its memory; ask for it by memory")
    if want.quiesce is Quiesce.ALWAYS and not can_rest(seen, want, tools_run=tools_run):
        raise Unsupported(
            f"the guest of VM {seen.name!r} cannot be brought to rest: it takes one that runs, with VMware Tools, "
            "and a snapshot without memory"
        )


def can_rest(seen: Seen, want: WantedSnapshot, *, tools_run: bool) -> bool:
    return seen.power is PowerState.ON and not want.memory and tools_run
