# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The closed table of operations: what a job may ask for, what that needs, and where it leads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import AT_HYPERVISOR, VmState

#: Types of hypervisors that runners have a driver for. The API has no drivers, but must know what to refuse.
HYPERVISOR_TYPES = ("fake", "libvirt", "vsphere")

#: Types whose library reads the authorities to trust from a directory of the runner's host -> how a URL names it.
AUTHORITIES_BY_URL = {"libvirt": "pkipath"}


class Operation(StrEnum):
    """One thing that a job does to one VM, or (DISCOVER) to a hypervisor. The value names its playbook."""

    CONFIGURE = "configure"
    RECONFIGURE = "reconfigure"
    UNCONFIGURE = "unconfigure"
    POWER_ON = "power_on"
    POWER_OFF = "power_off"
    SHUTDOWN = "shutdown"
    RESET = "reset"
    PAUSE = "pause"
    RESUME = "resume"
    SNAPSHOT_CREATE = "snapshot_create"
    SNAPSHOT_REVERT = "snapshot_revert"
    SNAPSHOT_DELETE = "snapshot_delete"
    CAPTURE = "capture"
    GET_STATE = "get_state"
    DISCOVER = "discover"


class Priority(IntEnum):
    """Which of the jobs that wait for a session of a hypervisor goes first: the lower value."""

    #: Undoing, and what changes power: short, and somebody waits for it.
    URGENT = 0
    ORDINARY = 1
    #: Long copies.
    LONG = 2


@dataclass(frozen=True, kw_only=True)
class OperationRule:
    """What holds for an operation wherever it is asked for."""

    #: What undoes it, whole or half-way; None: it needs no undoing, or has none.
    inverse: Operation | None = None
    #: VM states in which it may be asked for.
    legal_from: frozenset[VmState] = frozenset()
    #: The VM's state once it is done; None: it stays.
    ends_in: VmState | None = None
    #: Seconds after which the run is cancelled, for a VM without disk copies; a job's own timeout comes on top.
    deadline: int = 180
    #: It concerns a VM; the job must carry its definition.
    needs_vm: bool = True
    #: It only looks.
    reads_only: bool = False
    #: Nothing at the hypervisor shows afterwards that it was done, so that check mode cannot tell.
    traceless: bool = False
    #: Beside other operations of a lane it is a long one, and does not share a batch with short ones.
    long: bool = False
    #: Its place among the jobs that wait for the same hypervisor; undoing is urgent, whatever it does.
    priority: Priority = Priority.ORDINARY

    @property
    def can_be_checked(self) -> bool:
        """Whether check mode says if it was done."""
        return not (self.reads_only or self.traceless)


def _states(*states: VmState) -> frozenset[VmState]:
    return frozenset(states)


_S = VmState
_URGENT = Priority.URGENT

_SETTLED = _states(_S.CONFIGURED, _S.ON, _S.PAUSED, _S.OFF)

OPERATIONS: dict[Operation, OperationRule] = {
    Operation.CONFIGURE: OperationRule(
        inverse=Operation.UNCONFIGURE, legal_from=_states(_S.ALLOCATED), ends_in=_S.CONFIGURED, deadline=900, long=True
    ),
    # It has no inverse: a VM made anew from its template would pass for the one whose disks are gone. One that fails is
    # asked for again. It powers off what runs, so that an undeploy is this one operation, whole or to be repeated.
    Operation.UNCONFIGURE: OperationRule(legal_from=AT_HYPERVISOR, ends_in=_S.ALLOCATED, deadline=300),
    # What a VM that is on takes while it runs, its driver says; a paused guest cannot be asked for anything.
    Operation.RECONFIGURE: OperationRule(
        inverse=Operation.RECONFIGURE, legal_from=_states(_S.CONFIGURED, _S.ON, _S.OFF), deadline=300
    ),
    Operation.POWER_ON: OperationRule(
        inverse=Operation.POWER_OFF, legal_from=_states(_S.CONFIGURED, _S.OFF), ends_in=_S.ON, priority=_URGENT
    ),
    Operation.POWER_OFF: OperationRule(
        inverse=Operation.POWER_ON,
        legal_from=_states(_S.ON, _S.PAUSED, _S.UNKNOWN),
        ends_in=_S.OFF,
        priority=_URGENT,
    ),
    # It has no inverse: a guest that goes down late does what it was asked to.
    Operation.SHUTDOWN: OperationRule(legal_from=_states(_S.ON), ends_in=_S.OFF, deadline=600, priority=_URGENT),
    Operation.RESET: OperationRule(traceless=True, legal_from=_states(_S.ON), ends_in=_S.ON, priority=_URGENT),
    Operation.PAUSE: OperationRule(
        inverse=Operation.RESUME, legal_from=_states(_S.ON), ends_in=_S.PAUSED, priority=_URGENT
    ),
    Operation.RESUME: OperationRule(
        inverse=Operation.PAUSE, legal_from=_states(_S.PAUSED), ends_in=_S.ON, priority=_URGENT
    ),
    Operation.SNAPSHOT_CREATE: OperationRule(
        inverse=Operation.SNAPSHOT_DELETE, legal_from=_SETTLED, deadline=900, long=True
    ),
    # What a VM has written since is gone, and nobody can tell whether it has: there is no way back, and no check.
    Operation.SNAPSHOT_REVERT: OperationRule(traceless=True, legal_from=_SETTLED, deadline=900, long=True),
    Operation.SNAPSHOT_DELETE: OperationRule(legal_from=_SETTLED, deadline=1800, long=True),
    # It has no inverse: a template that is there may be in use. What a killed run left of one, the next run removes.
    Operation.CAPTURE: OperationRule(
        legal_from=_states(_S.CONFIGURED, _S.OFF), deadline=900, long=True, priority=Priority.LONG
    ),
    Operation.GET_STATE: OperationRule(reads_only=True, legal_from=frozenset(VmState)),
    Operation.DISCOVER: OperationRule(reads_only=True, needs_vm=False),
}


#: Operations on a snapshot of a VM; the job must say which. Each tells all snapshots that there are afterwards, as
#: GET_STATE does.
ON_SNAPSHOTS = frozenset({Operation.SNAPSHOT_CREATE, Operation.SNAPSHOT_REVERT, Operation.SNAPSHOT_DELETE})


def states_that_allow(operation: Operation) -> Iterable[VmState]:
    """In the order of the life of a VM."""
    return [state for state in VmState if state in OPERATIONS[operation].legal_from]
