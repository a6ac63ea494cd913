# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job's report makes of its VM's state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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

#: What changes a VM's state and is not undone when it fails: removed or reverted in part, shut down and nobody saw it.
_NEVER_UNDONE = frozenset({Operation.UNCONFIGURE, Operation.SHUTDOWN, Operation.SNAPSHOT_REVERT})


class Before(NamedTuple):
    """The VM before a job's report, and what the job might do to it."""

    #: None: not known.
    state: VmState | None = None
    #: The job may shut it down, and start it again.
    power_cycle: bool = False

    @classmethod
    def of(cls, state: VmState, options: Mapping[str, Any] | None) -> Before:
        """``options`` is what the job was told. What is off is not cycled; what may be on is."""
        allowed = bool((options or {}).get("allow_power_cycle"))
        return cls(state, power_cycle=allowed and state in (VmState.ON, VmState.UNKNOWN))


_NOT_KNOWN = Before()


def state_after(
    operation: Operation,
    event: Event,
    observed: Mapping[str, Any] | None,
    error: ErrorReport | None = None,
    before: Before = _NOT_KNOWN,
) -> VmState | None:
    """The VM's state once the event happened to a job; None: it stays as it is.

    ``error`` says of an ERROR or ROLLBACK_ERROR whether the hypervisor had been told to do anything."""
    match event:
        case Event.DONE:
            return _reached(operation, observed, before.state)
        case Event.ROLLBACK_DONE:
            undone_by = OPERATIONS[operation].inverse
            return _reached(undone_by, observed, before.state) if undone_by else None
        case Event.ROLLBACK_ERROR:
            return None if _stays_changed(operation, error, before) else VmState.UNKNOWN
        case Event.ERROR if operation is Operation.GET_STATE:
            return VmState.UNKNOWN
        case Event.ERROR if operation in _NEVER_UNDONE and _may_have_acted(operation, error):
            return VmState.UNKNOWN  # It can be asked for again.
        case Event.ERROR if (
            operation is Operation.RECONFIGURE and before.power_cycle and _may_have_acted(operation, error)
        ):
            return VmState.UNKNOWN  # It may be off. If it is undone, that says what it is.
    return None


def _may_have_acted(operation: Operation, error: ErrorReport | None) -> bool:
    """A guest that let the time for its shutdown pass was seen to be on; of others that failed, nobody can tell."""
    if error is None:
        return True
    return error.begun and not (operation is Operation.SHUTDOWN and error.code == "driver.timed_out")


def _stays_changed(operation: Operation, error: ErrorReport | None, before: Before) -> bool:
    """Whether a change cannot be taken back, and that is all: its driver looked at the VM, and refused before it did
    anything, as a disk has grown, or as a guest that runs would have to give something up."""
    if operation is not Operation.RECONFIGURE or error is None or error.begun or before.power_cycle:
        return False
    runs = before.state is VmState.ON and error.code == "driver.invalid_transition"
    return runs or error.code == "driver.unsupported"


def _reached(operation: Operation, observed: Mapping[str, Any] | None, was: VmState | None) -> VmState | None:
    """Where the operation leads, unless the hypervisor was seen to say something else."""
    power = _power(observed)
    if operation is Operation.GET_STATE:
        # Where the hypervisor does not have it: what else it has of it, an undeploy removes.
        return VmState.UNKNOWN if power is None else OBSERVED[power]
    leads_to = OPERATIONS[operation].ends_in
    goal = leads_to or was
    return leads_to if goal is None or power in (None, _POWER_OF.get(goal)) else OBSERVED[power]


def _power(observed: Mapping[str, Any] | None) -> PowerState | None:
    """A word that we do not know, perhaps of a newer runner, is UNKNOWN."""
    if observed is None:
        return None
    power = observed.get("power")
    return PowerState(power) if power in set(PowerState) else PowerState.UNKNOWN
