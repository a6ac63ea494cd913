# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the vSphere driver that changes a VM: while it is off, or (drivers/hot.py) while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from ...vm.changes import Change, changes, same_changes
from ...vm.definition import VmDefinition
from ...vm.states import PowerState
from ..base import VmRef
from ..errors import Conflict, DriverError, InvalidTransition, deciding
from . import hotplug
from .changing import ChangePlan, plan_changes
from .faults import FAILED
from .looking import Looking
from .observation import Seen
from .sdk import vim

#: Seconds that a change may take.
CHANGE_TIMEOUT = 600


class Reconfiguring(Looking):
    """All changes are one task of vSphere, which makes all of them or none. Only where a VM is to boot from a device
    that is new is there a task before it, which adds the device; it is undone if the second one fails."""

    changeable = frozenset({
        "name", "description", "tags", "cpu.count", "cpu.cores_per_socket", "cpu.max_count", "memory_mib",
        "memory_max_mib", "disks[]", "disks[].size_mib", "disks[].pool", "nics[]", "nics[].network", "nics[].mac",
        "nics[].model", "boot_order", "cdrom",
    })  # fmt: skip

    def hot(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> frozenset[str]:  # noqa: ARG002  # changes say it
        with self._looking(f"looking at what {ref} takes while it runs"):
            vm, seen = self._present(ref)
            return self._hot_paths(vm, seen, changes) if seen.power is PowerState.ON else frozenset()

    def _hot_paths(self, vm: Any, seen: Seen, changes: tuple[Change, ...]) -> frozenset[str]:
        now = self._observed([seen])[0].definition
        told = self._session.read([vm], hotplug.PATHS)[vm]
        return hotplug.hot_paths(seen, told, now, changes) if now else frozenset()

    def update(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> None:
        tried = f"changing {ref}"
        with self._looking(tried):
            identity = self._present(ref)[1].uuid
        with self._alone(identity, tried):
            self._update(ref, want, changes, tried)

    def _update(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...], tried: str) -> None:
        with self._looking(tried):
            vm, version, plan = self._plan_changes(ref, want)
            if not plan.differing:
                return
            if not same_changes(plan.differing, changes):
                raise _outdated(plan.seen.name)
            running = self._runs_on(vm, plan, changes)
            first = None if running else self._first(plan)
        with self._asking(tried):
            if first is None:
                self._reconfigure(vm, version, plan, running=running)
                return
            self._reconfigure(vm, version, first)
            with self._undoing(tried, vm, first, plan.now):
                self._go_on(vm, first, want)

    def _reconfigure(self, vm: Any, version: str | None, plan: ChangePlan, *, running: bool = False) -> None:
        spec = plan.spec(running=running)
        spec.changeVersion = version
        try:
            waiter = self._session.attending(vm, plan.seen.name)
            waiter.finish(vm.ReconfigVM_Task(spec), CHANGE_TIMEOUT, f"changing VM {plan.seen.name!r}")
        except vim.fault.ConcurrentAccess as fault:
            with deciding():
                raise _outdated(plan.seen.name) from fault

    # --- what takes two steps ---

    def _first(self, plan: ChangePlan) -> ChangePlan | None:
        """What adds the devices that the VM is to boot from; None if that is no step of its own."""
        want = plan.first_step
        return plan_changes(plan.seen, plan.kept, plan.now, want, self._planner) if want else None

    def _go_on(self, vm: Any, first: ChangePlan, want: VmDefinition) -> None:
        version, plan = self._planned(vm, want)
        if not same_changes(plan.differing, changes(first.want, want)):
            raise _outdated(plan.seen.name)
        self._reconfigure(vm, version, plan)

    @contextmanager
    def _undoing(self, tried: str, vm: Any, first: ChangePlan, before: VmDefinition) -> Iterator[None]:
        """What the first step has added goes again if the block fails."""
        try:
            with self._asking(tried):
                yield
        except DriverError as error:
            error.begun = True
            try:
                self._undo(vm, first, before)
            except (DriverError, *FAILED):
                error.left = tuple(change.path for change in first.differing)
            raise
        except BaseException:
            with suppress(DriverError, *FAILED):
                self._undo(vm, first, before)
            raise

    def _undo(self, vm: Any, first: ChangePlan, before: VmDefinition) -> None:
        """Only what is as the first step left it: if the second one was made after all, it stays."""
        version, plan = self._planned(vm, before)
        if changes(plan.now, first.want):
            return
        back = self._first(plan)
        if back:
            self._reconfigure(vm, version, back)
            version, plan = self._planned(vm, before)
        self._reconfigure(vm, version, plan)

    def _plan_changes(self, ref: VmRef, want: VmDefinition) -> tuple[Any, str | None, ChangePlan]:
        """The VM, if it can be made as wanted once it is off; which version of it that is; and what it takes."""
        vm, seen = self._present(ref)
        self._refuse_foreign(seen, "changed")
        self._refuse_name(replace(want, uuid=seen.uuid))
        if want.name != seen.name:
            self._refuse_beside(self._folder_of(vm), want.name, seen.uuid, vm)
        return vm, *self._planned(vm, want)

    def _folder_of(self, vm: Any) -> Any:
        return self._session.read([vm], ["parent"])[vm].get("parent")

    def _planned(self, vm: Any, want: VmDefinition) -> tuple[str | None, ChangePlan]:
        version = self._session.read([vm], ["config.changeVersion"])[vm].get("config.changeVersion") or None
        # Read after its version: what is compared is never older than that.
        seen = self._vms.read(vm)
        now = self._observed([seen])[0].definition
        if seen.kept is None or now is None:
            raise Conflict(f"what VM {seen.name!r} keeps of its definition cannot be read, so it is not changed")
        return version, plan_changes(seen, seen.kept, now, want, self._planner)

    @deciding()
    def _runs_on(self, vm: Any, plan: ChangePlan, changes: tuple[Change, ...]) -> bool:
        """Whether the changes are made while the VM runs."""
        seen, paths = plan.seen, {change.path for change in changes}
        if seen.power is PowerState.OFF:
            return False
        if seen.power is PowerState.ON and paths and paths == self._hot_paths(vm, seen, changes):
            return True
        raise InvalidTransition(f"VM {seen.name!r} is {seen.power.value}; changing it needs it powered off")


def _outdated(name: str) -> Conflict:
    return Conflict(f"somebody else changed VM {name!r} since it was compared with what is wanted; compare again")
