# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power of a VM: what each action asks of vSphere, and waiting until it is so."""

from __future__ import annotations

import time
from typing import Any

from ...vm.states import POWER_FROM, POWER_GOAL, PowerAction, PowerState, refusal
from ..errors import InvalidTransition, TimedOut, deciding
from .collector import Properties
from .connection import Session
from .observation import power_of
from .sdk import vim

#: The method that makes a task of each action.
TASKS = {
    PowerAction.ON: "PowerOnVM_Task",
    PowerAction.OFF: "PowerOffVM_Task",
    PowerAction.PAUSE: "SuspendVM_Task",
    PowerAction.RESUME: "PowerOnVM_Task",
    PowerAction.RESET: "ResetVM_Task",
}
#: Where a VM is on the way to the goal of an action.
_POWER = ("runtime.powerState", "runtime.connectionState")
_TOOLS = "guest.toolsRunningStatus"
_TOOLS_RUN = "guestToolsRunning"


def carry_out(session: Session, vm: Any, name: str, action: PowerAction, timeout: int) -> None:
    """Do the action and wait, at most ``timeout`` seconds, until the VM is where the action leads.

    Raises InvalidTransition or TimedOut, or the SDK's fault.
    """
    now, goal = _now(session, vm), POWER_GOAL[action]
    if now is goal and action is not PowerAction.RESET:
        return
    refuse(name, now, action)
    deadline = time.monotonic() + timeout
    if action is PowerAction.SHUTDOWN:
        _shut_down(session, vm, deadline)
    else:
        _run(session, vm, name, action, timeout)
    if not session.waiter.until(vm, _POWER, lambda seen: power_of(seen) is goal, max(1, deadline - time.monotonic())):
        raise _late(session, vm, name, action, timeout)


def _now(session: Session, vm: Any) -> PowerState:
    return power_of(session.read([vm], _POWER)[vm])


@deciding()
def refuse(name: str, now: PowerState, action: PowerAction) -> None:
    if now not in POWER_FROM[action]:
        raise InvalidTransition(refusal(name, now, action))


def _run(session: Session, vm: Any, name: str, action: PowerAction, timeout: float) -> None:
    """If the VM got there by itself meanwhile, vSphere's refusal does not count. Some versions refuse to power off a VM
    that is suspended, as the API's documentation has it: it is resumed first."""
    try:
        _task(session, vm, name, action, timeout)
    except vim.fault.InvalidPowerState:
        now = _now(session, vm)
        if action is PowerAction.OFF and now is PowerState.PAUSED:
            _task(session, vm, name, PowerAction.RESUME, timeout)
            _task(session, vm, name, action, timeout)
        elif action is PowerAction.RESET or now is not POWER_GOAL[action]:
            raise


def _task(session: Session, vm: Any, name: str, action: PowerAction, timeout: float) -> None:
    task = getattr(vm, TASKS[action])()
    session.attending(vm, name).finish(task, timeout, f"{action.value} of VM {name!r}")


def _shut_down(session: Session, vm: Any, deadline: float) -> None:
    """Ask the guest. While it boots nobody there hears it, so it is asked once its tools run. One that goes off by
    itself meanwhile is where it was to go."""
    try:
        _ask(session, vm, deadline)
    except vim.fault.InvalidPowerState:
        if _now(session, vm) is not PowerState.OFF:
            raise


def _ask(session: Session, vm: Any, deadline: float) -> None:
    try:
        vm.ShutdownGuest()
    except vim.fault.ToolsUnavailable:
        session.waiter.until(vm, [*_POWER, _TOOLS], _is_off_or_hears, max(1, deadline - time.monotonic()))
        told = session.read([vm], [*_POWER, _TOOLS])[vm]
        if power_of(told) is not PowerState.OFF and told.get(_TOOLS) == _TOOLS_RUN:
            vm.ShutdownGuest()


def _is_off_or_hears(seen: Properties) -> bool:
    return power_of(seen) is PowerState.OFF or seen.get(_TOOLS) == _TOOLS_RUN


def _late(session: Session, vm: Any, name: str, action: PowerAction, timeout: int) -> TimedOut:
    hint = ""
    if action is PowerAction.SHUTDOWN:
        tools = session.read([vm], [_TOOLS])[vm].get(_TOOLS)
        hint = (
            "; the guest may be ignoring the request" if tools == _TOOLS_RUN else "; no VMware Tools run in the guest"
        )
    still = _now(session, vm).value
    return TimedOut(f"VM {name!r} is still {still} {timeout} seconds after {action.value} was asked{hint}")


def stop(session: Session, vm: Any, name: str, timeout: float) -> None:
    """Afterwards nothing of the VM runs, whatever state it was in."""
    if _now(session, vm) is not PowerState.OFF:
        _run(session, vm, name, PowerAction.OFF, timeout)
