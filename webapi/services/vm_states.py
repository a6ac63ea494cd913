# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job's report makes of its VM's state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import OBSERVED, PowerState, VmState
from runner_service.contract.messages import ErrorReport
from runner_service.contract.operations import OPERATIONS, Operation
from runner_service.contract.states import Event

#: The power state that goes with a VM's state.
_POWER_OF = {
    VmState.CONFIGURED: PowerState.OFF,
    VmState.OFF: PowerState.OFF,
    VmState.ON: PowerState.ON,
    VmState.PAUSED: PowerState.PAUSED,
}

#: What changes a VM's state and is not undone when it fails: removed in part, or shut down and nobody saw it.
_NEVER_UNDONE = frozenset({Operation.UNCONFIGURE, Operation.SHUTDOWN})


def state_after(
    operation: Operation, event: Event, observed: Mapping[str, Any] | None, error: ErrorReport | None = None
) -> VmState | None:
    """The VM's state once the event happened to a job; None: it stays as it is.

    ``error`` says of an ERROR whether the hypervisor had been told to do anything."""
    match event:
        case Event.DONE:
            return _reached(operation, observed)
        case Event.ROLLBACK_DONE:
            undone_by = OPERATIONS[operation].inverse
            return _reached(undone_by, observed) if undone_by else None
        case Event.ROLLBACK_ERROR:
            return VmState.UNKNOWN
        case Event.ERROR if operation is Operation.GET_STATE:
            return VmState.UNKNOWN
        case Event.ERROR if operation in _NEVER_UNDONE and _may_have_acted(operation, error):
            return VmState.UNKNOWN  # It can be asked for again.
    return None


def _may_have_acted(operation: Operation, error: ErrorReport | None) -> bool:
    """A guest that let the time for its shutdown pass was seen to be on; of others that failed, nobody can tell."""
    if error is None:
        return True
    return error.begun and not (operation is Operation.SHUTDOWN and error.code == "driver.timed_out")


def _reached(operation: Operation, observed: Mapping[str, Any] | None) -> VmState | None:
    """Where the operation leads, unless the hypervisor was seen to say something else."""
    goal = OPERATIONS[operation].ends_in
    power = _power(observed)
    if operation is Operation.GET_STATE and power is None:
        return VmState.UNKNOWN  # The hypervisor does not have it; what else it has of it, an undeploy removes.
    if goal is None:
        return OBSERVED[power] if operation is Operation.GET_STATE and power else None
    return goal if power is None or _POWER_OF.get(goal) is power else OBSERVED[power]


def _power(observed: Mapping[str, Any] | None) -> PowerState | None:
    """A word that we do not know, perhaps of a newer runner, is UNKNOWN."""
    if observed is None:
        return None
    power = observed.get("power")
    return PowerState(power) if power in set(PowerState) else PowerState.UNKNOWN
