# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on snapshots, in the way of ensure.py: plan = apply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from .drivers.base import Capability, ObservedVm, VmDriver, VmRef
from .drivers.errors import Conflict, NotFound, Unsupported, VmNotFound, deciding
from .drivers.snapshots import SnapshotDriver
from .vm.snapshots import Snapshot, WantedSnapshot, after_create, after_delete, after_revert, named, tree
from .vm.states import PowerState


@dataclass(frozen=True, kw_only=True)
class SnapshotResult:
    """What an operation on a snapshot did, or would do."""

    changed: bool
    #: The VM afterwards; None if it is not there.
    vm: ObservedVm | None
    before: tuple[Snapshot, ...]
    after: tuple[Snapshot, ...]
    #: Name of the snapshot that was asked for.
    name: str
    #: The power state before, where that is another one.
    power_before: str = ""
    #: Whether file systems of the guest were brought to rest; None where that was no question.
    quiesced: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as modules return it; ``diff`` is in Ansible's form."""
        found = named(self.after, self.name)
        power = self.vm.power.value if self.vm else ""
        return {
            "changed": self.changed, "vm": self.vm.to_dict() if self.vm else None,
            "snapshot": found.to_dict() if found else None, "snapshots": tree(self.after), "quiesced": self.quiesced,
            "diff": {
                "before": {"power": self.power_before or power, "snapshots": _shown(self.before)},
                "after": {"power": power, "snapshots": _shown(self.after)},
            },
        }  # fmt: skip


def _shown(snapshots: tuple[Snapshot, ...]) -> list[dict[str, Any]]:
    """What a person compares: when one was taken is only known once it is."""
    return [{**snapshot.to_dict(), "created": None} for snapshot in snapshots]


def snapshots_of(driver: VmDriver, ref: VmRef) -> tuple[Snapshot, ...]:
    """All snapshots of a VM, a parent before its children. Raises DriverError."""
    with deciding():
        return _able(driver).snapshots(ref)


def ensure_snapshot(driver: VmDriver, ref: VmRef, want: WantedSnapshot, *, dry_run: bool) -> SnapshotResult:
    """Afterwards the VM has a snapshot of this name; one that is there already stays as it is. Raises DriverError."""
    with deciding():
        seen = _look(driver, ref)
        if named(seen.before, want.name):
            return seen.nothing(want.name)
        seen.able.check_snapshot(ref, want)
    if dry_run:
        return seen.plan(want.name, after_create(seen.before, want, seen.vm.power))
    quiesced = seen.able.create_snapshot(ref, want)
    return replace(seen.done(want.name), quiesced=quiesced)


def ensure_no_snapshot(driver: VmDriver, ref: VmRef, name: str, *, children: bool, dry_run: bool) -> SnapshotResult:
    """Afterwards the VM has no snapshot of this name, and with ``children`` none on top of it. Raises DriverError."""
    with deciding():
        if _able(driver).find(ref) is None:
            return SnapshotResult(changed=False, vm=None, before=(), after=(), name=name)
        seen = _look(driver, ref)
    if named(seen.before, name) is None:
        return seen.nothing(name)
    if dry_run:
        return seen.plan(name, after_delete(seen.before, name, children=children))
    seen.able.delete_snapshot(ref, name, children=children)
    return seen.done(name)


def revert_to_snapshot(driver: VmDriver, ref: VmRef, name: str, *, dry_run: bool) -> SnapshotResult:
    """Afterwards the VM is as it was when the snapshot was taken. That always changes something: nobody can tell
    whether the VM has written since. Raises DriverError, NotFound among them."""
    with deciding():
        seen = _look(driver, ref)
        goal = named(seen.before, name)
        if goal is None:
            there = ", ".join(snapshot.name for snapshot in seen.before) or "none"
            raise NotFound(f"VM {seen.vm.name!r} has no snapshot {name!r}; it has: {there}")
    if dry_run:
        return seen.plan(name, after_revert(seen.before, name), power=goal.power)
    seen.able.revert_snapshot(ref, name)
    return seen.done(name)


@dataclass(frozen=True)
class _Seen:
    """A VM and its snapshots before an operation, and the results that it may have."""

    able: SnapshotDriver
    vm: ObservedVm
    before: tuple[Snapshot, ...]

    def nothing(self, name: str) -> SnapshotResult:
        return SnapshotResult(changed=False, vm=self.vm, before=self.before, after=self.before, name=name)

    def plan(self, name: str, after: tuple[Snapshot, ...], power: PowerState | None = None) -> SnapshotResult:
        return self._changed(replace(self.vm, power=power or self.vm.power), after, name)

    def done(self, name: str) -> SnapshotResult:
        """As read back from the hypervisor."""
        ref = VmRef(name=self.vm.name, uuid=self.vm.uuid)
        return self._changed(self.able.find(ref), self.able.snapshots(ref), name)

    def _changed(self, vm: ObservedVm | None, after: tuple[Snapshot, ...], name: str) -> SnapshotResult:
        power = self.vm.power.value
        return SnapshotResult(changed=True, vm=vm, before=self.before, after=after, name=name, power_before=power)


def _able(driver: VmDriver) -> SnapshotDriver:
    """The driver, if it has snapshots: its capability says that it keeps that protocol."""
    if Capability.SNAPSHOTS not in driver.capabilities:
        raise Unsupported(f"{driver.hypervisor_type} has no snapshots of VMs")
    return cast(SnapshotDriver, driver)


def _look(driver: VmDriver, ref: VmRef) -> _Seen:
    able = _able(driver)
    found = driver.find(ref)
    if found is None:
        raise VmNotFound(f"{ref} is not at the hypervisor, so it has no snapshots")
    if not found.managed:
        raise Conflict(f"VM {found.name!r} was not made by Millwright, so its snapshots are left alone")
    return _Seen(able, found, able.snapshots(ref))
