# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How requests and tasks end, whoever ends them: their VMs are unlocked, and the owner is told. All is part of the
caller's transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import defer

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import VmState
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event, JobState, RollbackState, TaskState

from .. import logs
from ..database import db
from ..models import Hypervisor, Job, Request, Severity, Task, VirtualMachine
from ..models.tasks import OwnerType
from . import doorbell, events, rows

log = logging.getLogger(__name__)


# -- requests


def locked_requests(ids: Iterable[str]) -> dict[str, Request]:
    """Those requests that exist, locked until the transaction ends: before their jobs, tasks and VMs, and in the order
    of their numbers, by everybody."""
    numbers = select(Request.number).where(Request.id.in_(set(ids)))
    return {request.id: request for request in locked_by_number(db.session.scalars(numbers).all())}


def locked_by_number(numbers: Sequence[int]) -> Sequence[Request]:
    """The database locks rows as it comes by them: by the key that they are asked for, whatever they are sorted by."""
    wanted = select(Request).where(Request.number.in_(sorted(numbers))).order_by(Request.number)
    return db.session.scalars(wanted.with_for_update().execution_options(populate_existing=True)).all()


def lock_numbers(numbers: Sequence[int]) -> list[int]:
    """Like ``locked_by_number``, without reading the rows, which may be many and long; give those that exist."""
    wanted = select(Request.number).where(Request.number.in_(sorted(numbers))).order_by(Request.number)
    return list(db.session.scalars(wanted.with_for_update()))


def locked_request(request_id: str) -> Request | None:
    return locked_requests([request_id]).get(request_id)


def end_request(request: Request, outcome: Event, at: datetime, error: dict[str, Any] | None) -> None:
    """The request, whose row is locked, has ended so, and all of its parts have; so has its task, if that was the last
    request of it."""
    _end_forgotten(request, at)
    _end_all([request], outcome, at, error)


def call_off(requests: Sequence[Request], at: datetime) -> None:
    """End requests, whose rows are locked, and of which nothing was ever begun, as cancelled. Many take no more
    questions to the database than one."""
    ids = [request.id for request in requests]
    jobs = db.session.scalars(select(Job).where(Job.request_id.in_(ids)).options(*_WITHOUT_TEXTS)).all()
    parts = rows.lock_all(Task, list({job.task_id for job in jobs} - {request.task_id for request in requests}))
    rows.lock_all(VirtualMachine, [job.vm_id for job in jobs if job.vm_id])
    for job in jobs:
        job.record(Event.ABORTED, at)
    for task in parts:
        if not task.ended:
            task.record(Event.CANCELLED, at)
            _let_go(task)
    _end_all(requests, Event.CANCELLED, at, None)


#: May be long, and is nothing to whoever only ends a job.
_WITHOUT_TEXTS = (defer(Job.replay), defer(Job.trace))


def _end_all(requests: Sequence[Request], outcome: Event, at: datetime, error: dict[str, Any] | None) -> None:
    """The requests, of which all parts have ended, have ended so; so have their tasks, as far as nothing else is asked
    of runners for them."""
    roots = rows.lock_all(Task, [request.task_id for request in requests])
    for request in requests:
        request.outcome, request.waits_in, request.body, request.cancel_asked_at = outcome, None, None, None
    db.session.flush()
    doorbell.ring_after_commit()  # There is room for another one.
    for root in roots:
        outcomes = set(db.session.scalars(select(Request.outcome).filter_by(task_id=root.id).distinct()))
        if None not in outcomes:
            advance_task(root, overall({outcome for outcome in outcomes if outcome}), at, error)


def overall(outcomes: set[Event]) -> Event:
    """How a task ended whose requests ended so: failed, if one did; else cancelled, if one was, because somebody asked
    for that. What its other parts had done by then stays done."""
    if len(outcomes) == 1:
        return next(iter(outcomes))
    if Event.ERROR not in outcomes and Event.CANCELLED in outcomes:
        return Event.CANCELLED
    return Event.ERROR


def _end_forgotten(request: Request, at: datetime) -> None:
    """A VM must not stay locked because a runner said that all has ended, and not how a part of it did."""
    error = {"code": "runner.silent", "message": "the runner ended the request and never said how this task ended"}
    for task in parts_of(request):
        advance_task(task, Event.ERROR, at, error)


def parts_of(request: Request) -> list[Task]:
    """Tasks of the request, but for the root."""
    here = select(Job.task_id).filter_by(request_id=request.id)
    ids = [task_id for task_id in db.session.scalars(here.distinct()) if task_id != request.task_id]
    return rows.lock_all(Task, ids)


# -- tasks


def advance_task(task: Task, event: Event, at: datetime, error: dict[str, Any] | None) -> None:
    """The event happened to the task, whose row is locked; one that ends with it lets its VM go and says so. Nothing
    happens to one that has ended."""
    if task.ended:
        return
    if event is Event.ERROR:
        error = error or _first_error(task)
    task.record(event, at, error)
    if task.ended:
        _end_untold_jobs(task, at)
        _let_go(task)


def _first_error(task: Task) -> dict[str, Any] | None:
    """A task failed because a job of it did, or a part."""
    jobs = select(Job).filter_by(task_id=task.id, state=JobState.FAILED).order_by(Job.ended_at)
    parts = select(Task).filter_by(parent_id=task.id, state=TaskState.FINISHED_UNSUCCESSFULLY).order_by(Task.ended_at)
    failed = db.session.scalars(jobs.limit(1)).first() or db.session.scalars(parts.limit(1)).first()
    return failed.error if failed else None


def _end_untold_jobs(task: Task, at: datetime) -> None:
    """Of a task that has just ended: what became of jobs that had begun, and whose end nobody told, nobody knows."""
    jobs = db.session.scalars(select(Job).filter_by(task_id=task.id)).all()
    untold = [job for job in jobs if is_under_way(job)]
    error = {"code": "runner.silent", "message": "the runner ended the task and never said how this job ended"}
    for job in untold:
        fail_what_is_under_way(job, at, error)
    in_doubt = untold or any(_may_have_left_it(job) for job in jobs)
    vm = vm_of(task) if in_doubt else None
    if vm and (untold or vm.state is VmState.ALLOCATED):
        lose(vm, task, f"nobody said what became of VM {vm.name}, which was being worked on")


def is_under_way(job: Job) -> bool:
    """It, or its undoing, has started and not ended."""
    return job.state is JobState.STARTED or job.rollback_state is RollbackState.STARTED


def fail_what_is_under_way(job: Job, at: datetime, error: dict[str, Any]) -> None:
    """Of the job, or its undoing, nobody will say how it ended: it has failed."""
    if job.rollback_state is RollbackState.STARTED:
        job.record(Event.ROLLBACK_ERROR, at, error)
    if job.state is JobState.STARTED:
        job.record(Event.ERROR, at, error)
        if job.operation is Operation.DISCOVER and (host := db.session.get(Hypervisor, job.hypervisor_id)):
            host.failed(error)


def _may_have_left_it(job: Job) -> bool:
    """It failed half-way, and nobody told that it was undone."""
    half_way = job.state is JobState.FAILED and (job.error or {}).get("begun") is not False
    return job.operation is Operation.CONFIGURE and half_way and job.rollback_state is RollbackState.NONE


def lose(vm: VirtualMachine, task: Task, what: str) -> None:
    """The VM may be anything now, and people have to look."""
    vm.become(VmState.UNKNOWN)
    events.tell(Severity.CRITICAL, task, f"{what}; look what {vm.native_name} is now")


def _let_go(task: Task) -> None:
    """Of a task that has just ended: unlock the VM that it holds, and say so."""
    if vm := vm_of(task):
        vm.release(done=task.state is TaskState.FINISHED_SUCCESSFULLY)
    _tell_end(task)


def vm_of(task: Task) -> VirtualMachine | None:
    """The VM that the task is about, if the task holds it."""
    return held_vm(task.owner_id, task.id) if task.owner_type is OwnerType.VM else None


def held_vm(vm_id: str, task_id: str) -> VirtualMachine | None:
    """The VM, locked until the transaction ends, if the task holds it."""
    vm = next(iter(rows.lock_all(VirtualMachine, [vm_id])), None)
    return vm if vm and vm.task_id == task_id else None


def _tell_end(task: Task) -> None:
    title = f"{task.type} of {task.name}"
    with logs.about(task=task.id):
        log.info("%s: %s", title, task.state)
    if task.state is TaskState.FINISHED_SUCCESSFULLY:
        events.tell(Severity.INFO, task, f"{title} is done")
    elif task.state is TaskState.FINISHED_UNSUCCESSFULLY:
        why = (task.error or {}).get("message", "no reason was given")
        events.tell(Severity.ERROR, task, f"{title} failed: {why}")
    else:
        events.tell(Severity.WARNING, task, f"{title} was {task.state.value.lower()}")
