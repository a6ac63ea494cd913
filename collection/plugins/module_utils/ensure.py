# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on VMs: decide what would change, and carry it out unless it is a dry run.

Every function returns a Result whose ``changed`` and ``before``/``after`` are the same in a dry run as in the run that
follows it: plan = apply.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from .drivers.base import Capability, KeptDisk, ObservedVm, VmDriver, VmRef
from .drivers.errors import Conflict, InvalidTransition, Unsupported, VmNotFound, deciding, seeing
from .reconfigure import NOTHING, Allowed, ChangePlan, plan_changes, shut_down
from .vm.changes import Change, merged
from .vm.definition import Firmware, VmDefinition
from .vm.states import POWER_FROM, POWER_GOAL, PowerAction, PowerState, refusal


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an operation did, or would do."""

    changed: bool
    #: The VM before the operation; None if it was not there.
    before: ObservedVm | None
    #: The VM afterwards, as read back from the hypervisor; in a dry run what it would be. None if it is not there.
    after: ObservedVm | None
    changes: tuple[Change, ...] = ()
    #: Leftovers of a killed operation that were removed.
    removed: tuple[str, ...] = field(default=())
    #: Disks of the VM that stay although it is removed.
    kept: tuple[KeptDisk, ...] = ()
    #: Paths of the changes that were made while the VM ran.
    hot: tuple[str, ...] = ()
    #: Paths of what the guest ran otherwise than its VM is defined, and does no more.
    mended: tuple[str, ...] = ()
    #: The VM was on, was shut down for the changes, and is on again.
    power_cycled: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The result as modules return it; ``diff`` is in Ansible's form."""
        before, after = (vm.to_dict() if vm else None for vm in (self.before, self.after))
        kept = [{"path": disk.path, "why": disk.why} for disk in self.kept]
        return {
            "changed": self.changed, "vm": after, "before": before,
            "changes": [change.to_dict() for change in self.changes], "removed": list(self.removed),
            "kept": kept,
            "hot": list(self.hot), "mended": list(self.mended), "power_cycled": self.power_cycled,
            "diff": {"before": _shown(before), "after": {**_shown(after), **({"kept": kept} if kept else {})}},
        }  # fmt: skip


def _shown(vm: dict[str, Any] | None) -> dict[str, Any]:
    """What a person compares: the definition and the power state."""
    if vm is None:
        return {}
    apart = {"live_differences": vm["live_differences"]} if vm["live_differences"] else {}
    return {"power": vm["power"], **(vm["definition"] or {"name": vm["name"]}), **apart}


def ensure_present(
    driver: VmDriver, want: VmDefinition, *, dry_run: bool, create: bool = True, allowed: Allowed = NOTHING
) -> Result:
    """Afterwards the VM is at the hypervisor and is as ``want`` says; its power state stays.

    Raises DriverError; without ``create``, VmNotFound among them for a VM that is not there yet.
    """
    ref = VmRef.of(want)
    with deciding():
        _refuse_unsupported(driver, want)
        found = driver.find(ref)
        if found is None and not create:
            raise VmNotFound(f"{ref} is not at the hypervisor, so it cannot be reconfigured")
        if found is not None and found.half_deleted and not create:
            raise Conflict(f"{ref} is half deleted, so it cannot be reconfigured: have it made anew, or remove it")
    if found is not None and found.half_deleted:
        return _make_anew(driver, found, want, dry_run=dry_run)
    if found is None:
        return _create(driver, want, dry_run=dry_run)
    return _update(driver, found, want, allowed, dry_run=dry_run)


def _create(driver: VmDriver, want: VmDefinition, *, dry_run: bool) -> Result:
    ref = VmRef.of(want)
    with deciding():
        driver.check(want)
        residue = driver.residue(ref)
    if dry_run:
        return Result(changed=True, before=None, after=_planned(want), removed=residue)
    driver.create(want)
    return Result(changed=True, before=None, after=_read_back(driver, ref), removed=residue)


def _planned(want: VmDefinition) -> ObservedVm:
    return ObservedVm(name=want.name, uuid=want.identity, power=PowerState.OFF, managed=True, definition=want)


def _make_anew(driver: VmDriver, found: ObservedVm, want: VmDefinition, *, dry_run: bool) -> Result:
    """What was to be deleted, and had begun to be, is deleted first: what its disks held is gone already."""
    ref = VmRef(name=found.name, uuid=found.uuid)
    with deciding():
        kept = driver.check_delete(ref)
        driver.check(want, updating=ref)
    if not dry_run:
        driver.delete(ref)
        return replace(_create(driver, want, dry_run=False), before=found, kept=kept)
    return Result(changed=True, before=found, after=_planned(want), kept=kept)


def _update(driver: VmDriver, found: ObservedVm, want: VmDefinition, allowed: Allowed, *, dry_run: bool) -> Result:
    with deciding(), seeing(found.to_dict()):
        plan = plan_changes(driver, found, want, allowed)
        if plan.changes:
            driver.check(want, updating=plan.ref)
        residue = driver.residue(plan.ref) if found.managed else ()
    if residue and not dry_run:
        driver.remove_residue(plan.ref)
    if not plan.acts:
        return Result(changed=bool(residue), before=found, after=found, removed=residue)
    if dry_run:
        after = _as_wanted(found, plan)
    else:
        plan.apply(driver)
        after = _read_back(driver, VmRef(name=want.name, uuid=found.uuid))
    return Result(
        changed=True, before=found, after=after, changes=plan.changes, removed=residue,
        hot=tuple(sorted(plan.hot)), mended=tuple(one.path for one in plan.mended), power_cycled=plan.cycles,
    )  # fmt: skip


_NEEDS = (
    (Capability.UEFI, "firmware", lambda want: want.firmware is Firmware.UEFI),
    (Capability.CLOUD_INIT, "cloud_init", lambda want: want.cloud_init is not None),
    (Capability.SERIAL_LOG, "console.serial_log", lambda want: want.console.serial_log),
    (Capability.HOT_CHANGES, "cpu.max_count", lambda want: want.cpu.max_count is not None),
    (Capability.HOT_CHANGES, "memory_max_mib", lambda want: want.memory_max_mib is not None),
    (Capability.AUTOSTART, "autostart", lambda want: want.autostart),
)


def _refuse_unsupported(driver: VmDriver, want: VmDefinition) -> None:
    missing = [path for capability, path, wants in _NEEDS if wants(want) and capability not in driver.capabilities]
    if missing:
        raise Unsupported(f"{driver.hypervisor_type} cannot do what {', '.join(missing)} of VM {want.name!r} asks for")


def _as_wanted(found: ObservedVm, plan: ChangePlan) -> ObservedVm:
    """What the definition says nothing of, such as the address of a network card, stays."""
    definition = merged(found.definition, plan.want) if found.definition else plan.want
    live = tuple(one for one in found.live if one not in plan.mended)
    return replace(found, name=plan.want.name, managed=True, definition=definition, live=live)


def _read_back(driver: VmDriver, ref: VmRef) -> ObservedVm:
    found = driver.find(ref)
    if found is None:
        raise VmNotFound(f"{ref} was there a moment ago and is gone: somebody else removed it")
    return found


def ensure_absent(driver: VmDriver, ref: VmRef, *, dry_run: bool, foreign_disks: bool = False) -> Result:
    """Afterwards neither the VM nor a disk that Millwright made for it is at the hypervisor; with ``foreign_disks``
    neither are its other disks, as far as nobody else may need them. Raises DriverError."""
    with deciding():
        kept = driver.check_delete(ref, foreign_disks=foreign_disks)
        found = driver.find(ref)
        residue = driver.residue(ref) if found is None else ()
    if (found or residue) and not dry_run:
        driver.delete(ref, foreign_disks=foreign_disks)
    return Result(changed=bool(found or residue), before=found, after=None, removed=residue, kept=kept)


def ensure_power(  # noqa: PLR0913  # each is one thing that whoever powers a VM decides
    driver: VmDriver, ref: VmRef, action: PowerAction, *, timeout: int, dry_run: bool, force: bool = False
) -> Result:
    """Afterwards the VM is in the power state that the action leads to; for a paused VM, ON is RESUME. A guest that has
    not obeyed SHUTDOWN in time has its power taken away with ``force``.

    Raises DriverError, VmNotFound among them."""
    with deciding():
        found = driver.find(ref)
        if found is None:
            raise VmNotFound(f"{ref} is not at the hypervisor, so its power cannot be set to {action.value}")
        if action is PowerAction.ON and found.power is PowerState.PAUSED:
            action = PowerAction.RESUME
        done = found.power is POWER_GOAL[action] and action is not PowerAction.RESET
        if not done:
            _refuse_power(driver, found, action, force=force)
    if done:
        return Result(changed=False, before=found, after=found)
    if dry_run:
        goal = POWER_GOAL[action]
        after = replace(found, power=goal, live=() if goal is PowerState.OFF else found.live)
        return Result(changed=True, before=found, after=after)
    if action is PowerAction.SHUTDOWN:
        shut_down(driver, ref, timeout, hard=force)
    else:
        driver.power(ref, action, timeout)
    return Result(changed=True, before=found, after=_read_back(driver, ref))


def _refuse_power(driver: VmDriver, found: ObservedVm, action: PowerAction, *, force: bool) -> None:
    """Raise what speaks against the action as the VM is now."""
    if found.power not in POWER_FROM[action]:
        raise InvalidTransition(refusal(found.name, found.power, action))
    if action is PowerAction.SHUTDOWN and not force and Capability.SHUTDOWN not in driver.capabilities:
        raise Unsupported(f"{driver.hypervisor_type} cannot ask a guest to shut down; use action off")
