# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which states allow what, and what it is made of: tables, and the one function that refuses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import AT_HYPERVISOR, VmState
from runner_service.contract.operations import OPERATIONS, Operation

from ..errors import Refused
from ..models import TaskType, VirtualMachine


class Action(StrEnum):
    """What can be asked of a VM."""

    DEPLOY = "deploy"
    UNDEPLOY = "undeploy"
    RECONFIGURE = "reconfigure"
    REFRESH = "refresh"
    DELETE = "delete"
    ON = "on"
    OFF = "off"
    SHUTDOWN = "shutdown"
    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"
    SNAPSHOT = "snapshot"
    REVERT = "revert"
    DELETE_SNAPSHOT = "delete_snapshot"
    CAPTURE = "capture"


#: Actions of ``POST /vms/{id}/power``.
POWER_ACTIONS = (Action.ON, Action.OFF, Action.SHUTDOWN, Action.PAUSE, Action.RESUME, Action.RESET)


@dataclass(frozen=True, kw_only=True)
class ActionRule:
    """States that allow an action, and the operations that carry it out, one after the other."""

    allowed_from: frozenset[VmState]
    task_type: TaskType | None = None
    operations: tuple[Operation, ...] = ()


def _one(task_type: TaskType, operation: Operation) -> ActionRule:
    """An action of one operation is allowed where the operation is."""
    return ActionRule(
        allowed_from=OPERATIONS[operation].legal_from & AT_HYPERVISOR, task_type=task_type, operations=(operation,)
    )


ACTIONS: dict[Action, ActionRule] = {
    Action.DEPLOY: ActionRule(
        allowed_from=frozenset({VmState.NOT_ALLOCATED}),
        task_type=TaskType.DEPLOY,
        operations=(Operation.CONFIGURE, Operation.POWER_ON),
    ),
    # A power-off before it would fail if the VM is gone; what runs is powered off on removal.
    Action.UNDEPLOY: _one(TaskType.UNDEPLOY, Operation.UNCONFIGURE),
    # A VM that is not at a hypervisor is redefined without a task.
    Action.RECONFIGURE: ActionRule(
        allowed_from=OPERATIONS[Operation.RECONFIGURE].legal_from | {VmState.NOT_ALLOCATED},
        task_type=TaskType.RECONFIGURE,
        operations=(Operation.RECONFIGURE,),
    ),
    Action.DELETE: ActionRule(allowed_from=frozenset({VmState.NOT_ALLOCATED})),
    Action.REFRESH: _one(TaskType.REFRESH, Operation.GET_STATE),
    Action.ON: _one(TaskType.POWER_ON, Operation.POWER_ON),
    Action.OFF: _one(TaskType.POWER_OFF, Operation.POWER_OFF),
    Action.SHUTDOWN: _one(TaskType.SHUTDOWN, Operation.SHUTDOWN),
    Action.PAUSE: _one(TaskType.PAUSE, Operation.PAUSE),
    Action.RESUME: _one(TaskType.RESUME, Operation.RESUME),
    Action.RESET: _one(TaskType.RESET, Operation.RESET),
    Action.SNAPSHOT: _one(TaskType.SNAPSHOT, Operation.SNAPSHOT_CREATE),
    Action.REVERT: _one(TaskType.REVERT, Operation.SNAPSHOT_REVERT),
    Action.DELETE_SNAPSHOT: _one(TaskType.DELETE_SNAPSHOT, Operation.SNAPSHOT_DELETE),
    Action.CAPTURE: _one(TaskType.CAPTURE, Operation.CAPTURE),
}


#: "VM 'web' cannot be ..."
PASSIVE: dict[Action, str] = {
    Action.DEPLOY: "deployed",
    Action.UNDEPLOY: "undeployed",
    Action.RECONFIGURE: "reconfigured",
    Action.REFRESH: "refreshed",
    Action.DELETE: "deleted",
    Action.ON: "powered on",
    Action.OFF: "powered off",
    Action.SHUTDOWN: "shut down",
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.RESET: "reset",
    Action.SNAPSHOT: "kept in a snapshot",
    Action.REVERT: "reverted to a snapshot",
    Action.DELETE_SNAPSHOT: "freed of a snapshot",
    Action.CAPTURE: "captured",
}


def allowed_actions(vm: VirtualMachine) -> list[str]:
    """What may be asked of the VM now."""
    return [] if vm.task_id else [action.value for action, rule in ACTIONS.items() if vm.state in rule.allowed_from]


def guard(vm: VirtualMachine, action: Action) -> None:
    """Raises Refused unless the VM, whose row is locked, may be asked for the action."""
    if vm.task_id:
        raise Refused(
            f"VM {vm.name!r} cannot be {PASSIVE[action]}: task {vm.task_id} holds it; wait until the task has ended, "
            "or cancel it",
            code="vm.locked", vm_id=vm.id, state=vm.state, task_id=vm.task_id, allowed=[],
        )  # fmt: skip
    if vm.state not in ACTIONS[action].allowed_from:
        allowed = allowed_actions(vm)
        raise Refused(
            f"VM {vm.name!r} cannot be {PASSIVE[action]}: it is {vm.state}, which allows {', '.join(allowed)}",
            code="vm.state", vm_id=vm.id, state=vm.state, task_id=None, allowed=allowed,
        )  # fmt: skip
