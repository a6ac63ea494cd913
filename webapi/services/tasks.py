# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks: asked for as trees of rows with a request in the outbox, and read as trees again."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import attributes

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import parse
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate
from runner_service.contract import messages
from runner_service.contract.messages import MAX_BYTES, MAX_JOBS, Mode, TaskRequest
from runner_service.contract.operations import OPERATIONS, Operation, Priority
from runner_service.contract.tree import SnapshotOrder

from .. import logs
from ..database import db, new_id, utc_now
from ..errors import TooLarge
from ..models import Hypervisor, Job, Request, Severity, Task, TaskType, VirtualAppliance, VirtualMachine
from ..models.tasks import OwnerType
from . import doorbell, events, places, replay, rows, sessions
from .guards import ACTIONS, Action
from .paging import DEFAULT_LIMIT, Page, page

log = logging.getLogger(__name__)


def get(task_id: str) -> Task:
    """The task with all that is below it."""
    task = rows.find(Task, task_id)
    tasks = db.session.scalars(select(Task).filter_by(root_id=task.root_id).order_by(Task.position)).all()
    jobs = db.session.scalars(select(Job).filter_by(root_id=task.root_id).order_by(Job.position)).all()
    _join(tasks, jobs)
    places.look([task, *task.tasks])
    return task


def _join(tasks: Sequence[Task], jobs: Sequence[Job]) -> None:
    tasks_of: dict[str | None, list[Task]] = defaultdict(list)
    jobs_of: dict[str, list[Job]] = defaultdict(list)
    for task in tasks:
        tasks_of[task.parent_id].append(task)
    for job in jobs:
        jobs_of[job.task_id].append(job)
    for task in tasks:
        attributes.set_committed_value(task, "tasks", tasks_of[task.id])
        attributes.set_committed_value(task, "jobs", jobs_of[task.id])


def list_tasks(*, limit: int = DEFAULT_LIMIT, after: str | None = None, **filters: Any) -> Page[Task]:
    """Tasks without what is below them, the newest first. Parts of larger tasks are shown for their owner only."""
    chosen = select(Task).filter_by(**filters)
    if "owner_id" not in filters:
        chosen = chosen.where(Task.parent_id.is_(None))
    return page(chosen, Task, limit=limit, after=after, newest_first=True)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a job is told beside its VM's definition."""

    #: Seconds for what waits for the guest; None: the operation's own.
    timeout: int | None = None
    #: Other fields of the message's Job, by name; those that say nothing may be left out.
    options: dict[str, Any] = field(default_factory=dict)


_NOTHING = Told()


def ask_for_vm(vm: VirtualMachine, action: Action, by: str, told: Told = _NOTHING) -> Task:
    """Write the task for a VM that is guarded and placed, and the request for it."""
    root = _vm_task(vm, action, by, told)
    return _ask(root, {vm.id: vm})


def ask_for_appliance(vapp: VirtualAppliance, vms: Sequence[VirtualMachine], action: Action, by: str) -> Task:
    """Write one task whose parts, one for every VM, run at once; each has a request of its own."""
    root = _task(_type_of(action), OwnerType.VIRTUALAPPLIANCE, vapp, by)
    root.mode = Mode.CONCURRENT
    root.tasks = [_vm_task(vm, action, by, _NOTHING, root=root) for vm in vms]
    for position, task in enumerate(root.tasks):
        task.position = position
    return _ask(root, {vm.id: vm for vm in vms})


def ask_for_hypervisor(hypervisor: Hypervisor, by: str) -> Task:
    """Write the task that finds out what a hypervisor is and has."""
    root = _task(TaskType.DISCOVER, OwnerType.HYPERVISOR, hypervisor, by)
    root.jobs = [_job(root, Operation.DISCOVER, hypervisor)]
    return _ask(root, {})


def _type_of(action: Action) -> TaskType:
    task_type = ACTIONS[action].task_type
    assert task_type is not None, f"{action} needs no task"
    return task_type


def _task(task_type: TaskType, owner_type: OwnerType, owner: Any, by: str) -> Task:
    task_id = new_id()
    return Task(
        id=task_id, root_id=task_id, type=task_type, owner_type=owner_type, owner_id=owner.id, name=owner.name,
        requested_by=by, mode=Mode.SEQUENTIAL, tasks=[], jobs=[],
    )  # fmt: skip


def _vm_task(vm: VirtualMachine, action: Action, by: str, told: Told, *, root: Task | None = None) -> Task:
    """The VM's own task, in the tree of the root if there is one."""
    task = _task(_type_of(action), OwnerType.VM, vm, by)
    task.root_id = root.id if root else task.id
    assert vm.hypervisor is not None, "a VM that a task is for has a place"
    for number, operation in enumerate(ACTIONS[action].operations):
        job = _job(task, operation, vm.hypervisor, vm)
        job.position, job.timeout, job.options = number, told.timeout, told.options or None
        task.jobs.append(job)
    return task


def _job(task: Task, operation: Operation, hypervisor: Hypervisor, vm: VirtualMachine | None = None) -> Job:
    return Job(
        id=new_id(), root_id=task.root_id, operation=operation, vm_id=vm.id if vm else None,
        vm_name=vm.name if vm else None, hypervisor_id=hypervisor.id, hypervisor_name=hypervisor.name,
    )  # fmt: skip


def _ask(root: Task, vms: Mapping[str, VirtualMachine]) -> Task:
    """Write the tree, lock its VMs, and put its requests in the outbox."""
    for parts in _by_request(root):
        _name_request(parts)
    db.session.add(root)
    events.tell(Severity.INFO, root, f"{root.requested_by} asked to {_verb(root.type)} {root.name}")
    with logs.about(task=root.id):
        log.info("%s of %s for %s", root.type, root.name, root.requested_by)
    db.session.flush()
    for task in [root, *root.tasks]:
        if task.owner_type is OwnerType.VM:
            vms[task.owner_id].hold(task.id)
    terms = _Terms(sessions.limits(), **_tenant(vms))
    for parts in _by_request(root):
        db.session.add(_outbox_row(root, parts, vms, terms))
    doorbell.ring_after_commit()
    places.look([root, *root.tasks])
    return root


@dataclass(frozen=True)
class _Terms:
    """What holds for all requests of a task: bounds, and whose work it is."""

    limits: sessions.Limits
    tenant: str = ""
    tenant_sessions: int | None = None


def _tenant(vms: Mapping[str, VirtualMachine]) -> dict[str, Any]:
    """The virtual datacenter, which all VMs of one task share; discovery is nobody's work."""
    vm = next(iter(vms.values()), None)
    if vm is None:
        return {}
    vdc = rows.find(VirtualAppliance, vm.virtualappliance_id).virtualdatacenter
    return {"tenant": vdc.id, "tenant_sessions": vdc.open_sessions}


def _verb(task_type: TaskType) -> str:
    return task_type.value.lower().replace("_", " ")


def _by_request(root: Task) -> list[list[Task | Job]]:
    """Children that run at once are asked for one by one: one that has ended is then never delivered again, and none
    waits for a slow one. Children that run in order are one request."""
    return [[child] for child in root.children] if root.mode is Mode.CONCURRENT else [root.children]


def _jobs_below(parts: Iterable[Task | Job]) -> list[Job]:
    return [job for part in parts for job in (part.jobs if isinstance(part, Task) else [part])]


def _name_request(parts: Sequence[Task | Job]) -> None:
    request_id = new_id()
    for job in _jobs_below(parts):
        job.request_id = request_id


def _outbox_row(root: Task, parts: Sequence[Task | Job], vms: Mapping[str, VirtualMachine], terms: _Terms) -> Request:
    jobs = _jobs_below(parts)
    job, what = jobs[0], f"the request to {_verb(root.type)} {jobs[0].vm_name or root.name!r}"
    if len(jobs) > MAX_JOBS:
        raise TooLarge(f"{what} would have {len(jobs)} jobs; runners take at most {MAX_JOBS}")
    hypervisor = rows.find(Hypervisor, job.hypervisor_id)
    request = TaskRequest(
        id=job.request_id,
        hypervisor=hypervisor.message(terms.limits.bound(hypervisor)),
        task=_task_message(root, parts, vms),
        requested_at=utc_now().isoformat(),
        requested_by=root.requested_by,
        tenant=terms.tenant,
        tenant_sessions=terms.tenant_sessions,
    )
    _keep_replays(request, parts)
    body = request.encode()
    if len(body) > MAX_BYTES:
        raise TooLarge(f"{what} would have {len(body)} bytes; runners take at most {MAX_BYTES}")
    return Request(
        id=request.id, task_id=root.id, hypervisor_id=hypervisor.id, body=body.decode(), tenant=terms.tenant,
        waits_in=hypervisor.datacenter.topology.in_queue_for(hypervisor.id), priority=_priority(jobs),
    )  # fmt: skip


def _priority(jobs: Sequence[Job]) -> Priority:
    """That of what it begins with: so urgent is it that a runner has it."""
    return OPERATIONS[jobs[0].operation].priority


def _keep_replays(request: TaskRequest, parts: Sequence[Task | Job]) -> None:
    """What a person needs to repeat each of its jobs by hand."""
    told = {job.id: job for job in request.task.jobs()}
    for job in _jobs_below(parts):
        job.replay = replay.recipe(request.hypervisor, told[job.id])


def _task_message(task: Task, parts: Iterable[Task | Job], vms: Mapping[str, VirtualMachine]) -> messages.Task:
    children = tuple(
        _task_message(part, part.children, vms) if isinstance(part, Task) else _job_message(part, vms) for part in parts
    )
    return messages.Task(id=task.id, mode=task.mode, children=children)


def _job_message(job: Job, vms: Mapping[str, VirtualMachine]) -> messages.Job:
    if job.vm_id is None:
        return messages.Job(id=job.id, operation=job.operation)
    vm = vms[job.vm_id]
    return messages.Job(
        id=job.id, operation=job.operation, vm_id=vm.id, timeout=job.timeout, **_options(job),
        **_definitions_for(job.operation, vm),
    )  # fmt: skip


def _options(job: Job) -> dict[str, Any]:
    """What its runner is told of it beside its VM, as the message has it."""
    options = job.options or {}
    return {name: parse(_ORDERS[name], value) if name in _ORDERS else value for name, value in options.items()}


#: Options that are more than a word.
_ORDERS: dict[str, type[Any]] = {"snapshot": SnapshotOrder, "template": WantedTemplate}


def _definitions_for(operation: Operation, vm: VirtualMachine) -> dict[str, Any]:
    """What a job is told of its VM: those that make or change it all, others no data for its guest."""
    if operation is Operation.CONFIGURE:
        return {"definition": vm.native(vm.definition), "sealed_user_data": vm.sealed_user_data}
    if operation is Operation.RECONFIGURE and vm.pending_definition:
        return {
            "definition": vm.native(vm.pending_definition),
            "sealed_user_data": vm.pending_user_data,
            "previous": vm.native(vm.definition),
        }
    return {"definition": vm.native({**vm.definition, "cloud_init": None})}
