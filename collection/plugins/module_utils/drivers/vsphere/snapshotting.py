# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshot part of the vSphere driver, in the words of its contract (drivers/snapshots.py)."""

from __future__ import annotations

from typing import Any

from ...vm.snapshots import Quiesce, Snapshot, WantedSnapshot
from ..base import VmRef
from ..errors import Ambiguous, NotFound
from . import snapshots
from .faults import unless_gone
from .looking import Looking
from .observation import Seen
from .sdk import vim
from .snapshots import Found

#: Seconds that taking, going back to and deleting one may take: memory is written, and disks are brought together.
TAKE_TIMEOUT, REVERT_TIMEOUT, DELETE_TIMEOUT = 3600, 3600, 4 * 3600


class Snapshotting(Looking):
    """vSphere writes what comes after a snapshot into disks of its own; they and their VM's go together."""

    def snapshots(self, ref: VmRef) -> tuple[Snapshot, ...]:
        with self._looking(f"listing snapshots of {ref}"):
            return tuple(one.snapshot for one in self._snapshots_of(self._present(ref)[0]))

    def check_snapshot(self, ref: VmRef, want: WantedSnapshot) -> None:
        with self._looking(f"checking snapshot {want.name!r} of {ref}"):
            self._snapshottable(ref, want)

    def create_snapshot(self, ref: VmRef, want: WantedSnapshot) -> bool:
        tried = f"taking snapshot {want.name!r} of {ref}"
        with self._looking(tried):
            vm, rests = self._snapshottable(ref, want)
            if _called(self._snapshots_of(vm), want.name):
                return False
        with self._asking(tried):
            if rests and self._take_at_rest(vm, want, tried):
                return True
            self._take(vm, want, tried, quiesce=False)
            return False

    def _take_at_rest(self, vm: Any, want: WantedSnapshot, tried: str) -> bool:
        """Whether the guest came to rest. Who must have that gets the fault instead."""
        try:
            self._take(vm, want, tried, quiesce=True)
        except vim.fault.SnapshotFault:
            if want.quiesce is Quiesce.ALWAYS:
                raise
            return False
        return True

    def _take(self, vm: Any, want: WantedSnapshot, tried: str, *, quiesce: bool) -> None:
        task = vm.CreateSnapshot_Task(want.name, want.description, want.memory, quiesce)
        self._session.waiter.finish(task, TAKE_TIMEOUT, tried)

    def _snapshottable(self, ref: VmRef, want: WantedSnapshot) -> tuple[Any, bool]:
        """The VM, if it can have the snapshot, and whether its guest is brought to rest for it."""
        vm, seen = self._ours(ref)
        told = self._session.read([vm], [snapshots.TOOLS])[vm]
        tools_run = told.get(snapshots.TOOLS) == snapshots.TOOLS_RUN
        snapshots.refuse(seen, want, tools_run=tools_run)
        return vm, want.quiesce is not Quiesce.NEVER and snapshots.can_rest(seen, want, tools_run=tools_run)

    def revert_snapshot(self, ref: VmRef, name: str) -> None:
        tried = f"reverting {ref} to snapshot {name!r}"
        with self._looking(tried):
            vm, seen = self._ours(ref)
            there = self._snapshots_of(vm)
            found = _called(there, name)
            if found is None:
                names = ", ".join(one.snapshot.name for one in there) or "none"
                raise NotFound(f"VM {seen.name!r} has no snapshot {name!r}; it has: {names}")
        with self._asking(tried):
            self._session.waiter.finish(found.object.RevertToSnapshot_Task(), REVERT_TIMEOUT, tried)

    def delete_snapshot(self, ref: VmRef, name: str, *, children: bool) -> None:
        tried = f"deleting snapshot {name!r} of {ref}"
        with self._looking(tried):
            found = _called(self._snapshots_of(self._ours(ref)[0]), name)
        with self._asking(tried):
            if found is not None:
                unless_gone(lambda: self._delete(found.object, tried, children=children))

    def _delete(self, snapshot: Any, tried: str, *, children: bool) -> None:
        task = snapshot.RemoveSnapshot_Task(removeChildren=children, consolidate=True)
        self._session.waiter.finish(task, DELETE_TIMEOUT, tried)

    def _ours(self, ref: VmRef) -> tuple[Any, Seen]:
        vm, seen = self._present(ref)
        self._refuse_foreign(seen, "changed")
        return vm, seen

    def _snapshots_of(self, vm: Any) -> list[Found]:
        return snapshots.of(self._session.read([vm], snapshots.PATHS)[vm])


def _called(there: list[Found], name: str) -> Found | None:
    """Raises Ambiguous: other programs may give a name twice."""
    found = [one for one in there if one.snapshot.name == name]
    if len(found) > 1:
        raise Ambiguous(f"{len(found)} snapshots are called {name!r}; rename all but one of them at the vCenter")
    return found[0] if found else None
