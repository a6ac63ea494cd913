# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the vSphere driver that changes a VM: while it is off, or (drivers/hot.py) while it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...vm.changes import Change, same_changes
from ...vm.definition import VmDefinition
from ...vm.states import PowerState
from ..base import VmRef
from ..errors import Conflict, InvalidTransition, deciding
from . import booting, hotplug
from .changing import ChangePlan, plan_changes
from .looking import Looking
from .observation import Seen
from .sdk import vim

#: Seconds that a change may take.
CHANGE_TIMEOUT = 600


class Reconfiguring(Looking):
    """All changes are one task of vSphere, which makes all of them or none. Only where a VM boots from a device that is
    new does a second task follow, as the device has no number before."""

    changeable = frozenset({
        "name", "description", "tags", "cpu.count", "cpu.cores_per_socket", "cpu.max_count", "memory_mib",
        "memory_max_mib", "disks[]", "disks[].size_mib", "nics[]", "nics[].network", "nics[].mac", "nics[].model",
        "boot_order", "cdrom",
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
            vm, version, plan = self._plan_changes(ref, want)
            if not plan.differing:
                return
            if not same_changes(plan.differing, changes):
                raise _outdated(plan.seen.name)
            running = self._runs_on(vm, plan, changes)
        with self._asking(tried):
            spec = plan.spec(running=running)
            spec.changeVersion = version
            self._reconfigure(vm, spec, plan.seen.name)
            if plan.moves_boot_devices and not running:
                options = booting.options(plan.want, self._vms.read(vm).devices)
                self._reconfigure(vm, vim.vm.ConfigSpec(bootOptions=options), plan.seen.name)

    def _reconfigure(self, vm: Any, spec: Any, name: str) -> None:
        try:
            self._session.waiter.finish(vm.ReconfigVM_Task(spec), CHANGE_TIMEOUT, f"changing VM {name!r}")
        except vim.fault.ConcurrentAccess as fault:
            with deciding():
                raise _outdated(name) from fault

    def _plan_changes(self, ref: VmRef, want: VmDefinition) -> tuple[Any, str | None, ChangePlan]:
        """The VM, if it can be made as wanted once it is off; which version of it that is; and what it takes."""
        vm, _seen = self._present(ref)
        version = self._session.read([vm], ["config.changeVersion"])[vm].get("config.changeVersion") or None
        # Read after its version: what is compared is never older than that.
        seen = self._vms.read(vm)
        self._refuse_foreign(seen, "changed")
        now = self._observed([seen])[0].definition
        if seen.kept is None or now is None:
            raise Conflict(f"what VM {seen.name!r} keeps of its definition cannot be read, so it is not changed")
        self._refuse_name(replace(want, uuid=seen.uuid))
        plan = plan_changes(seen, seen.kept, now, want, self._planner)
        return vm, version, plan

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
