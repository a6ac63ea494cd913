# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract's tables: complete, and consistent with each other."""

from __future__ import annotations

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import DRIVERS
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import AT_HYPERVISOR, POWER_GOAL, VmState
from runner_service.contract.operations import HYPERVISOR_TYPES, OPERATIONS, Operation, states_that_allow
from runner_service.contract.states import (
    FINAL_TASK_STATES,
    JOB_TRANSITIONS,
    ROLLBACK_TRANSITIONS,
    TASK_TRANSITIONS,
    Event,
    IllegalTransition,
    JobState,
    TaskState,
    advance,
)
from runner_service.contract.topology import Topology, partition_of


def test_the_types_of_hypervisors_are_those_that_there_are_drivers_for() -> None:
    assert list(HYPERVISOR_TYPES) == sorted(DRIVERS)


def test_every_operation_has_a_rule() -> None:
    assert set(OPERATIONS) == set(Operation)


@pytest.mark.parametrize("operation", [name for name, rule in OPERATIONS.items() if rule.inverse])
def test_an_inverse_starts_where_the_operation_ends(operation: Operation) -> None:
    rule = OPERATIONS[operation]
    assert rule.inverse is not None
    if rule.ends_in is not None:
        assert rule.ends_in in OPERATIONS[rule.inverse].legal_from


def test_what_cannot_be_made_as_it_was_has_no_inverse() -> None:
    """Disks that are gone, a guest that went down, a memory that was reset."""
    for operation in (Operation.UNCONFIGURE, Operation.SHUTDOWN, Operation.RESET):
        assert OPERATIONS[operation].inverse is None


def test_a_vm_is_unconfigured_from_wherever_it_is_at_its_hypervisor() -> None:
    assert OPERATIONS[Operation.UNCONFIGURE].legal_from == AT_HYPERVISOR


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_is_asked_for_in_states_that_make_sense(operation: Operation) -> None:
    rule = OPERATIONS[operation]
    assert bool(rule.legal_from) == rule.needs_vm
    assert rule.deadline > 0
    if operation not in (Operation.CONFIGURE, Operation.GET_STATE):
        assert rule.legal_from <= AT_HYPERVISOR


def test_states_are_listed_in_the_order_of_a_vms_life() -> None:
    assert states_that_allow(Operation.POWER_OFF) == [VmState.ON, VmState.PAUSED, VmState.UNKNOWN]


def test_power_operations_end_where_their_action_leads() -> None:
    goals = {"power_on": "on", "power_off": "off", "shutdown": "off", "pause": "pause", "resume": "resume"}
    for name, action in goals.items():
        goal = next(goal for known, goal in POWER_GOAL.items() if known.value == action)
        ends_in = OPERATIONS[Operation(name)].ends_in
        assert ends_in is not None
        assert ends_in.value.lower() == goal.value


def test_nothing_leaves_a_final_task_state() -> None:
    assert {
        TaskState.FINISHED_SUCCESSFULLY, TaskState.FINISHED_UNSUCCESSFULLY, TaskState.ABORTED, TaskState.CANCELLED,
    } == FINAL_TASK_STATES  # fmt: skip


def test_an_illegal_step_names_both_ends() -> None:
    with pytest.raises(IllegalTransition, match="DONE cannot happen to what is QUEUED"):
        advance(TASK_TRANSITIONS, TaskState.QUEUED, Event.DONE)


def test_every_event_moves_something() -> None:
    moved = {event for table in (TASK_TRANSITIONS, JOB_TRANSITIONS, ROLLBACK_TRANSITIONS) for _, event in table}
    assert moved == set(Event) - {Event.AGAIN, Event.BACK}, "which say nothing of a task's state"


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED, JobState.ABORTED])
def test_a_job_that_ended_runs_again_when_its_request_comes_again(state: JobState) -> None:
    assert advance(JOB_TRANSITIONS, state, Event.START) is JobState.STARTED


def test_a_hypervisor_always_has_the_same_queue() -> None:
    topology = Topology("dc-1", partitions=4)
    assert topology.in_queue_for("hypervisor-1") == f"millwright.dc-1.in.{partition_of('hypervisor-1', 4)}"
    assert partition_of("hypervisor-1", 4) == partition_of("hypervisor-1", 4)
    assert {partition_of(f"h{number}", 4) for number in range(100)} == {0, 1, 2, 3}
    assert set(topology.in_queues) >= {topology.in_queue_for(f"h{number}") for number in range(100)}
