# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of a virtual machine, and what each operation needs and leads to.

The tables follow the reference platform (states, transitions, guards); where that contradicts itself we chose: a VM
is unconfigured from OFF as well as from CONFIGURED, and a reconfigured VM keeps its state.
"""

from __future__ import annotations

from enum import StrEnum


class PowerState(StrEnum):
    """What the hypervisor says about a VM that it has."""

    ON = "on"
    OFF = "off"
    PAUSED = "paused"
    #: The hypervisor has the VM and cannot say more: crashed, or between two states.
    UNKNOWN = "unknown"


class PowerAction(StrEnum):
    """What can be asked of a VM's power."""

    ON = "on"
    OFF = "off"
    SHUTDOWN = "shutdown"
    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"


#: Power states in which an action does something. In its goal state an action is already done; elsewhere it is refused.
POWER_FROM: dict[PowerAction, frozenset[PowerState]] = {
    PowerAction.ON: frozenset({PowerState.OFF, PowerState.UNKNOWN}),
    PowerAction.OFF: frozenset({PowerState.ON, PowerState.PAUSED, PowerState.UNKNOWN}),
    PowerAction.SHUTDOWN: frozenset({PowerState.ON}),
    PowerAction.PAUSE: frozenset({PowerState.ON}),
    PowerAction.RESUME: frozenset({PowerState.PAUSED}),
    PowerAction.RESET: frozenset({PowerState.ON}),
}

#: The power state in which an action ends. A reset has a goal but is never already done.
POWER_GOAL: dict[PowerAction, PowerState] = {
    PowerAction.ON: PowerState.ON,
    PowerAction.OFF: PowerState.OFF,
    PowerAction.SHUTDOWN: PowerState.OFF,
    PowerAction.PAUSE: PowerState.PAUSED,
    PowerAction.RESUME: PowerState.ON,
    PowerAction.RESET: PowerState.ON,
}


#: The words in which module vm_power asks for an action.
SAID: dict[PowerAction, str] = {
    PowerAction.ON: "on",
    PowerAction.OFF: "off",
    PowerAction.SHUTDOWN: "shutdown",
    PowerAction.PAUSE: "paused",
    PowerAction.RESUME: "resumed",
    PowerAction.RESET: "reset",
}


def refusal(name: str, now: PowerState, action: PowerAction) -> str:
    """Why a VM's power state does not allow an action, and what it allows, in words that people can ask for."""
    allowed = ", ".join(SAID[other] for other, states in POWER_FROM.items() if now in states)
    return f"VM {name!r} is {now.value} and refuses state {SAID[action]!r}; it allows: {allowed or 'nothing'}"


class VmState(StrEnum):
    """State of a VM in the platform. Whether a task holds the VM (*locked*) is a separate fact."""

    #: Exists in the platform only: no host, no resources.
    NOT_ALLOCATED = "NOT_ALLOCATED"
    #: A host was chosen, and resources are reserved on it. Short-lived.
    ALLOCATED = "ALLOCATED"
    #: Made at the hypervisor with its disks and cards, never yet powered on. Short-lived.
    CONFIGURED = "CONFIGURED"
    ON = "ON"
    PAUSED = "PAUSED"
    #: Powered off; keeps its resources.
    OFF = "OFF"
    #: The platform cannot tell.
    UNKNOWN = "UNKNOWN"


#: States in which the hypervisor has the VM.
AT_HYPERVISOR = frozenset({VmState.CONFIGURED, VmState.ON, VmState.PAUSED, VmState.OFF, VmState.UNKNOWN})

#: What a reading of the hypervisor makes of a VM's state.
OBSERVED: dict[PowerState, VmState] = {
    PowerState.ON: VmState.ON,
    PowerState.OFF: VmState.OFF,
    PowerState.PAUSED: VmState.PAUSED,
    PowerState.UNKNOWN: VmState.UNKNOWN,
}
