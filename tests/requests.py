# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests as the API would send them, for the runner's tests."""

from __future__ import annotations

import uuid
from typing import Any

from runner_service.contract.messages import Hypervisor, Job, Mode, Task, TaskRequest
from runner_service.contract.operations import Operation

DEPLOY = (Operation.CONFIGURE, Operation.POWER_ON)
UNDEPLOY = (Operation.UNCONFIGURE,)


def vm_id(label: str) -> str:
    """Always the same uuid for the label."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, label))


def definition(label: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": label,
        "uuid": vm_id(label),
        "memory_mib": 64,
        "disks": [{"name": "root", "size_mib": 8}],
        **fields,
    }


def job(label: str, operation: Operation | str, **fields: Any) -> Job:
    operation = Operation(operation)
    given = {"definition": definition(label)} | fields
    return Job(id=f"{label}.{operation}", operation=operation, vm_id=vm_id(label), **given)


def chain(label: str, *operations: Operation) -> Task:
    """A sequential task on one VM."""
    return Task(id=f"{label}.task", children=tuple(job(label, operation) for operation in operations))


def appliance(*labels: str, operations: tuple[Operation, ...] = DEPLOY, **fields: Any) -> Task:
    """A concurrent task with a chain for each VM."""
    children = tuple(chain(label, *operations) for label in labels)
    return Task(id="appliance", mode=Mode.CONCURRENT, children=children, **fields)


def request(task: Task, **hypervisor: Any) -> TaskRequest:
    given = {"id": "hypervisor-1", "type": "fake", "url": "fake:///nowhere"} | hypervisor
    return TaskRequest(
        id=f"request-{uuid.uuid4()}", hypervisor=Hypervisor(**given), task=task, requested_at="2026-11-22T12:00:00Z"
    )
