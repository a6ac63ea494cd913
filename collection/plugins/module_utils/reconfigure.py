# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing a VM that is there: what changes, how (while it runs, with a power cycle, not at all), and doing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

from .drivers.base import Capability, ObservedVm, VmDriver, VmRef
from .drivers.errors import Conflict, DriverError, InvalidTransition, TimedOut, Unsupported
from .drivers.hot import HotDriver
from .drivers.mending import MendingDriver
from .drivers.snapshots import SnapshotDriver
from .vm.changes import Change, changes, ejected, removed_disks, shrinking
from .vm.definition import VmDefinition
from .vm.states import PowerAction, PowerState

#: Seconds for a VM to be on again after a power cycle.
START_TIMEOUT = 120


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What whoever asks for changes puts up with."""

    #: A VM that is on may be shut down, and is then started again.
    power_cycle: bool = False
    #: Disks that are not asked for any more may be removed with what is on them.
    disk_removal: bool = False
    #: Seconds that a guest has to shut down, and whether its power is taken away then; else it runs on as it was.
    shutdown_timeout: int = 120
    shutdown_force: bool = True


NOTHING = Allowed()
#: Who is refused may be at a module, at an appliance's file, or at a playbook.
_HOW_TO_ALLOW = (
    "allow_power_cycle: true lets it be shut down and started again (an option of millwright.virt.vm, also beside a "
    "VM's fields in an appliance's file; with the playbook reconfigure: -e millwright_allow_power_cycle=true)"
)
#: Of a guest that does not hear.
_HOW_TO_FORCE = (
    "it runs on as it was. To take its power away then: force: true (an option of millwright.virt.vm_power), "
    "shutdown_force: true (of millwright.virt.vm), -e reconfigure_hard_off=true (with the playbook rolling_reconfigure)"
)


@dataclass(frozen=True, kw_only=True)
class ChangePlan:
    """The changes to one VM, and how they are made."""

    found: ObservedVm
    want: VmDefinition
    changes: tuple[Change, ...]
    #: Paths of the changes that are made while the VM runs; all of them, or none.
    hot: frozenset[str]
    #: Paths of what the guest runs otherwise than its VM is defined, and gets while it runs.
    mends: frozenset[str]
    cycles: bool
    allowed: Allowed

    @property
    def acts(self) -> bool:
        return bool(self.changes or self.mends or self.cycles)

    @property
    def mended(self) -> tuple[Change, ...]:
        """The differences between guest and definition that there are no more afterwards."""
        return tuple(one for one in self.found.live if self.cycles or one.path in self.mends)

    @property
    def ref(self) -> VmRef:
        return VmRef(name=self.found.name, uuid=self.found.uuid)

    def apply(self, driver: VmDriver) -> None:
        """Make the changes. After a failure the VM is as it was, and in the power state in which it was, or the error
        says that it is not on again."""
        if not self.cycles:
            self._apply_as_it_runs(driver)
            return
        shut_down(driver, self.ref, self.allowed.shutdown_timeout, hard=self.allowed.shutdown_force)
        try:
            driver.update(self.ref, self.want, self.changes)
        except DriverError as error:
            with self._on_again_or_said(error):
                self._start(driver)
            raise
        try:
            self._start(driver)
        except DriverError as error:
            with self._on_again_or_said(error):
                self._go_back(driver)
            raise

    def _apply_as_it_runs(self, driver: VmDriver) -> None:
        if self.changes:
            driver.update(self.ref, self.want, self.changes)
        if self.mends:
            cast(MendingDriver, driver).mend(self.ref)

    def _start(self, driver: VmDriver) -> None:
        driver.power(self.ref, PowerAction.ON, START_TIMEOUT)

    def _go_back(self, driver: VmDriver) -> None:
        """A VM that does not start as it was wanted gets its old definition back, and starts. A disk's content cannot
        be undone. Of data for cloud-init nobody here knows what they were: the new ones stay. Raises DriverError."""
        before = self.found.definition
        if before is None or any(change.kind.startswith("disks") for change in self.changes):
            raise Unsupported("disks cannot be as they were")
        if any(change.secret for change in self.changes):
            before = replace(before, cloud_init=None)
        now = driver.find(self.ref)
        if now and now.definition:
            driver.update(self.ref, before, changes(now.definition, before))
        self._start(driver)

    @contextmanager
    def _on_again_or_said(self, error: DriverError) -> Iterator[None]:
        """Around what has the VM on again after a failure: if that fails as well, the error of the failure says so."""
        try:
            yield
        except DriverError as second:
            error.message += f" (VM {self.found.name!r} was shut down for this and is not on again: {second})"


def plan_changes(driver: VmDriver, found: ObservedVm, want: VmDefinition, allowed: Allowed) -> ChangePlan:
    """What making ``found`` as ``want`` says takes. Raises DriverError for what cannot be, or is not allowed."""
    if not found.managed or found.definition is None:
        raise Conflict(f"VM {found.name!r} was not made by Millwright and is not changed")
    differing = changes(found.definition, want)
    _refuse_loss(found, differing, allowed)
    _refuse_unchangeable(driver, found, differing)
    hot = _hot(driver, found, want, differing)
    cold = [change.path for change in differing if change.path not in hot]
    mends = _mends(driver, found)
    apart = [one.path for one in found.live if one.path not in mends]
    cycles = bool(cold or apart) and found.power is PowerState.ON and allowed.power_cycle
    if cold and found.power is not PowerState.OFF and not cycles:
        raise InvalidTransition(_needs_off(found, cold))
    _refuse_under_snapshots(driver, found, differing)
    return ChangePlan(
        found=found, want=want, changes=differing, hot=frozenset() if cold or cycles else hot, mends=mends,
        cycles=cycles, allowed=allowed,
    )  # fmt: skip


def _refuse_unchangeable(driver: VmDriver, found: ObservedVm, differing: tuple[Change, ...]) -> None:
    refused = [change.path for change in differing if change.kind not in driver.changeable]
    if refused:
        known = ", ".join(sorted(driver.changeable))
        raise Unsupported(
            f"{driver.hypervisor_type} cannot change {', '.join(refused)} of VM {found.name!r}{_way_out(refused)}; "
            f"it can change: {known}"
        )
    if ejected(differing) and Capability.EJECT not in driver.capabilities:
        raise Unsupported(
            f"{driver.hypervisor_type} cannot take the disc out of the drive of VM {found.name!r}, only change it"
        )


def _way_out(refused: list[str]) -> str:
    """What people do who meet this in the middle of their work."""
    if all(path.startswith("cloud_init") for path in refused):
        return (
            ": a guest reads them when it first starts. Leave the definition as the VM was made and change the guest "
            "itself, or remove the VM and make it anew"
        )
    return ""


def _refuse_loss(found: ObservedVm, differing: tuple[Change, ...], allowed: Allowed) -> None:
    smaller = shrinking(differing)
    if smaller:
        sizes = ", ".join(f"{change.path} from {change.before} to {change.after}" for change in smaller)
        raise Unsupported(f"a disk is never made smaller, as what is at its end would be lost: {sizes}")
    removed = removed_disks(differing)
    if removed and not allowed.disk_removal:
        paths = ", ".join(change.path for change in removed)
        raise Unsupported(
            f"VM {found.name!r} has {paths}, which its definition does not name; "
            "name them, or allow their removal with all that is on them (allow_disk_removal)"
        )


def _hot(driver: VmDriver, found: ObservedVm, want: VmDefinition, differing: tuple[Change, ...]) -> frozenset[str]:
    if not differing or found.power is not PowerState.ON or Capability.HOT_CHANGES not in driver.capabilities:
        return frozenset()
    return cast(HotDriver, driver).hot(VmRef(name=found.name, uuid=found.uuid), want, differing)


def _mends(driver: VmDriver, found: ObservedVm) -> frozenset[str]:
    if not found.live or found.power is not PowerState.ON:
        return frozenset()
    return cast(MendingDriver, driver).mendable(VmRef(name=found.name, uuid=found.uuid), found.live)


def _needs_off(found: ObservedVm, cold: list[str]) -> str:
    hint = f"; {_HOW_TO_ALLOW}" if found.power is PowerState.ON else ""
    return f"VM {found.name!r} is {found.power}; changing {', '.join(cold)} needs it powered off{hint}"


def _refuse_under_snapshots(driver: VmDriver, found: ObservedVm, differing: tuple[Change, ...]) -> None:
    """A snapshot is of the disks as they are: going back to it would need those that are gone, or were smaller. Data
    for cloud-init may be in an image that is gone as well."""
    disks = [change.path for change in differing if change.kind.startswith(("disks", "cloud_init"))]
    if not disks or Capability.SNAPSHOTS not in driver.capabilities:
        return
    there = cast(SnapshotDriver, driver).snapshots(VmRef(name=found.name, uuid=found.uuid))
    if there:
        named = ", ".join(snapshot.name for snapshot in there)
        raise Conflict(
            f"VM {found.name!r} has snapshots ({named}); delete them before {', '.join(disks)} can be changed"
        )


def shut_down(driver: VmDriver, ref: VmRef, timeout: int, *, hard: bool) -> None:
    """Afterwards the VM is off: its guest shut down within ``timeout`` seconds or, with ``hard``, its power was taken
    away. Raises DriverError; TimedOut without ``hard``."""
    if hard and Capability.SHUTDOWN not in driver.capabilities:
        driver.power(ref, PowerAction.OFF, timeout)
        return
    try:
        driver.power(ref, PowerAction.SHUTDOWN, timeout)
    except TimedOut as error:
        if not hard:
            error.message += f"; {_HOW_TO_FORCE}"
            raise
        driver.power(ref, PowerAction.OFF, START_TIMEOUT)
