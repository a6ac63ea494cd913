# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards, row by row: the expected table is written out here a second time, on purpose."""

from __future__ import annotations

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import VmState
from runner_service.contract.operations import OPERATIONS, Operation
from webapi.errors import Refused
from webapi.models import VirtualMachine
from webapi.services.guards import ACTIONS, Action, allowed_actions, guard

SNAPSHOTS = {"snapshot", "revert", "delete_snapshot"}

ALLOWED = {
    VmState.NOT_ALLOCATED: {"deploy", "reconfigure", "delete"},
    VmState.ALLOCATED: set(),
    VmState.CONFIGURED: {"capture", "undeploy", "reconfigure", "refresh", "on"} | SNAPSHOTS,
    VmState.ON: {"undeploy", "reconfigure", "refresh", "off", "shutdown", "pause", "reset"} | SNAPSHOTS,
    VmState.PAUSED: {"undeploy", "refresh", "off", "resume"} | SNAPSHOTS,
    VmState.OFF: {"capture", "undeploy", "reconfigure", "refresh", "on"} | SNAPSHOTS,
    VmState.UNKNOWN: {"undeploy", "refresh", "off"},
}


def vm_in(state: VmState, task_id: str | None = None) -> VirtualMachine:
    return VirtualMachine(id="1", name="web", state=state, task_id=task_id)


def test_the_table_has_a_row_for_every_action():
    assert set(ACTIONS) == set(Action)


@pytest.mark.parametrize("state", VmState)
@pytest.mark.parametrize("action", Action)
def test_an_action_is_allowed_where_the_table_says(state: VmState, action: Action):
    if action.value in ALLOWED[state]:
        guard(vm_in(state), action)
        return
    with pytest.raises(Refused) as refused:
        guard(vm_in(state), action)
    assert refused.value.code == "vm.state"
    assert set(refused.value.details["allowed"]) == ALLOWED[state]
    assert state in refused.value.message


@pytest.mark.parametrize("action", Action)
def test_nothing_is_allowed_while_a_task_holds_the_vm(action: Action):
    with pytest.raises(Refused) as refused:
        guard(vm_in(VmState.ON, "task-7"), action)
    assert refused.value.code == "vm.locked"
    assert "task-7" in refused.value.message
    assert refused.value.details["task_id"] == "task-7"
    assert allowed_actions(vm_in(VmState.ON, "task-7")) == []


@pytest.mark.parametrize("action", [action for action in Action if ACTIONS[action].operations])
@pytest.mark.parametrize("state", VmState)
def test_every_plan_is_a_chain_of_operations_that_may_follow_each_other(state: VmState, action: Action):
    if state not in ACTIONS[action].allowed_from or (action, state) == (Action.RECONFIGURE, VmState.NOT_ALLOCATED):
        return  # The latter has no task.
    # A deploy is given its place before its operations run.
    at = VmState.ALLOCATED if action is Action.DEPLOY else state
    for operation in ACTIONS[action].operations:
        assert at in OPERATIONS[Operation(operation)].legal_from
        at = OPERATIONS[operation].ends_in or at
