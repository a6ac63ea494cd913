# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report makes of a VM's state."""

from __future__ import annotations

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import VmState
from runner_service.contract.messages import ErrorReport
from runner_service.contract.operations import OPERATIONS, Operation
from runner_service.contract.states import Event
from tests.webapi_world import POWER_AFTER, observed
from webapi.services.vm_states import Before, state_after


@pytest.mark.parametrize("operation", [operation for operation in Operation if OPERATIONS[operation].ends_in])
def test_a_job_that_is_done_leads_where_its_operation_leads(operation: Operation):
    assert state_after(operation, Event.DONE, observed(POWER_AFTER[operation])) is OPERATIONS[operation].ends_in
    assert state_after(operation, Event.DONE, None) is OPERATIONS[operation].ends_in


@pytest.mark.parametrize(
    ("operation", "event", "power", "state"),
    [
        (Operation.CONFIGURE, Event.DONE, "on", VmState.ON),
        (Operation.POWER_ON, Event.DONE, "paused", VmState.PAUSED),
        (Operation.GET_STATE, Event.DONE, "off", VmState.OFF),
        (Operation.GET_STATE, Event.DONE, None, VmState.UNKNOWN),
        (Operation.GET_STATE, Event.DONE, "a word of a newer runner", VmState.UNKNOWN),
        (Operation.GET_STATE, Event.ERROR, None, VmState.UNKNOWN),
        (Operation.RECONFIGURE, Event.DONE, "off", None),
        (Operation.POWER_ON, Event.ERROR, None, None),
        (Operation.POWER_ON, Event.START, None, None),
        (Operation.CONFIGURE, Event.ROLLBACK_DONE, None, VmState.ALLOCATED),
        (Operation.POWER_ON, Event.ROLLBACK_DONE, None, VmState.OFF),
        (Operation.UNCONFIGURE, Event.ERROR, None, VmState.UNKNOWN),
        (Operation.SHUTDOWN, Event.ERROR, None, VmState.UNKNOWN),
        (Operation.POWER_OFF, Event.ROLLBACK_DONE, None, VmState.ON),
        (Operation.PAUSE, Event.ROLLBACK_DONE, "on", VmState.ON),
        (Operation.RECONFIGURE, Event.ROLLBACK_DONE, "off", None),
        (Operation.CONFIGURE, Event.ROLLBACK_ERROR, None, VmState.UNKNOWN),
    ],
)
def test_what_was_seen_outweighs_what_was_planned(
    operation: Operation, event: Event, power: str | None, state: VmState | None
):
    assert state_after(operation, event, observed(power)) is state


def test_a_removal_that_was_refused_before_it_began_leaves_the_vm_as_it_was():
    refused = ErrorReport(code="driver.conflict", message="not ours", begun=False)
    assert state_after(Operation.UNCONFIGURE, Event.ERROR, None, refused) is None


def test_a_guest_that_ignores_its_shutdown_stays_on():
    deaf = ErrorReport(code="driver.timed_out", message="did not shut down")
    assert state_after(Operation.SHUTDOWN, Event.ERROR, None, deaf) is None


GROWN = ErrorReport(code="driver.unsupported", message="a disk is never made smaller", begun=False)
LOST = ErrorReport(code="driver.unreachable", message="nobody answers", begun=False)
RUNS = ErrorReport(code="driver.invalid_transition", message="removing disks needs it powered off", begun=False)
HALF = ErrorReport(code="driver.unsupported", message="a disk is never made smaller", begun=True)


@pytest.mark.parametrize(
    ("state", "allowed", "error", "after"),
    [
        (VmState.ON, False, GROWN, None),
        (VmState.OFF, True, GROWN, None),
        (VmState.ON, True, GROWN, VmState.UNKNOWN),
        (VmState.UNKNOWN, True, GROWN, VmState.UNKNOWN),
        (VmState.ON, False, RUNS, None),
        (VmState.OFF, False, RUNS, VmState.UNKNOWN),
        (VmState.ON, False, LOST, VmState.UNKNOWN),
        (VmState.ON, False, HALF, VmState.UNKNOWN),
        (VmState.ON, False, None, VmState.UNKNOWN),
    ],
)
def test_a_vm_whose_change_cannot_be_taken_back_is_unknown_only_where_it_may_be_off_or_half_way(
    state: VmState, allowed: bool, error: ErrorReport | None, after: VmState | None
):
    before = Before.of(state, {"allow_power_cycle": allowed})
    assert state_after(Operation.RECONFIGURE, Event.ROLLBACK_ERROR, None, error, before) is after


@pytest.mark.parametrize(
    ("state", "power", "after"),
    [
        (VmState.CONFIGURED, "off", None),
        (VmState.OFF, "off", None),
        (VmState.ON, "on", None),
        (VmState.ON, "off", VmState.OFF),
        (VmState.UNKNOWN, "on", VmState.ON),
        (VmState.ON, None, None),
    ],
)
@pytest.mark.parametrize("event", [Event.DONE, Event.ROLLBACK_DONE])
def test_a_reconfigured_vm_keeps_its_state_unless_it_is_seen_in_another(
    state: VmState, power: str | None, after: VmState | None, event: Event
):
    assert state_after(Operation.RECONFIGURE, event, observed(power), before=Before(state)) is after


def test_a_vm_that_was_to_be_shut_down_for_a_change_that_failed_may_be_off():
    failed = ErrorReport(code="driver.failed", message="does not start")
    cycled = Before.of(VmState.ON, {"allow_power_cycle": True})
    assert state_after(Operation.RECONFIGURE, Event.ERROR, None, failed, cycled) is VmState.UNKNOWN
    assert state_after(Operation.RECONFIGURE, Event.ERROR, None, LOST, cycled) is None
    assert state_after(Operation.RECONFIGURE, Event.ERROR, None, failed, Before.of(VmState.ON, None)) is None


def test_a_removal_that_takes_too_long_may_be_half_done():
    slow = ErrorReport(code="driver.timed_out", message="not gone yet")
    assert state_after(Operation.UNCONFIGURE, Event.ERROR, None, slow) is VmState.UNKNOWN
