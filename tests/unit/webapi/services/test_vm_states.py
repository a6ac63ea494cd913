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
from webapi.services.vm_states import state_after


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


def test_a_removal_that_takes_too_long_may_be_half_done():
    slow = ErrorReport(code="driver.timed_out", message="not gone yet")
    assert state_after(Operation.UNCONFIGURE, Event.ERROR, None, slow) is VmState.UNKNOWN
