# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates from runners, applied: one transaction each, in order, once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import plain
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import VmState
from runner_service.contract.control import Word
from runner_service.contract.messages import InvalidMessage, Update
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event, IllegalTransition, JobState, RollbackState, TaskState

from .. import logs
from ..database import db, transaction, utc_now
from ..models import Hypervisor, Job, Request, Severity, Task, VirtualMachine
from ..models.tasks import OwnerType
from . import doorbell, events, rows, traces, words
from .vm_states import state_after

log = logging.getLogger(__name__)


class Inapplicable(InvalidMessage):
    """The update is about something that is not ours, or cannot have happened."""

    code = "update.inapplicable"


@transaction
def apply(update: Update) -> Word | None:
    """Take an update over; give the word that its runner asks for, if it does. Repeated and older updates, and those
    about what has ended, change nothing.

    Raises Inapplicable for an update that can never be applied.
    """
    update = _writable(update)
    request = _locked_request(update.request_id)
    if update.event is Event.AGAIN:
        _end_if_all_parts_have(request, update)
        return words.answer(request, update)
    if request is None:
        raise Inapplicable(f"there is no request {update.request_id}")
    if request.outcome or (update.attempt, update.sequence) <= (request.attempt, request.sequence):
        return None
    request.attempt, request.sequence = update.attempt, update.sequence
    # A runner that hands a request back in good order has not broken off.
    request.begun_attempt = 0 if update.event is Event.BACK else update.attempt
    # Whoever answers has got it, even if the relay died before it could write that down.
    request.published_at = request.published_at or utc_now()
    if update.event is Event.BACK:
        return None
    try:
        _apply_to_node(request, update)
    except IllegalTransition as error:
        raise Inapplicable(f"{update.node_id}: {error}") from error
    return None


def _writable(update: Update) -> Update:
    """The update with texts that every database keeps."""
    fields = events.writable(vars(update))
    if update.error:
        fields["error"] = replace(update.error, **events.writable(vars(update.error)))
    return replace(update, **fields)


#: How a request ended whose only part ended so.
_OUTCOMES = {
    TaskState.FINISHED_SUCCESSFULLY: Event.DONE,
    TaskState.FINISHED_UNSUCCESSFULLY: Event.ERROR,
    TaskState.ABORTED: Event.ABORTED,
    TaskState.CANCELLED: Event.CANCELLED,
}


def _end_if_all_parts_have(request: Request | None, update: Update) -> None:
    """A runner may die after it reported the end of the last part, and before that of the request itself. Then nothing
    is left to do, and the parts' VMs may be somebody else's by now."""
    if request is None or request.outcome or update.attempt < request.attempt:
        return
    parts = _parts(request)
    if parts and all(part.ended for part in parts):
        error = next((part.error for part in parts if part.error), None)
        _end_request(request, overall({_OUTCOMES[part.state] for part in parts}), utc_now(), error)


def _locked_request(request_id: str) -> Request | None:
    return db.session.scalars(select(Request).filter_by(id=request_id).with_for_update()).one_or_none()


def _apply_to_node(request: Request, update: Update) -> None:
    if update.node_id == request.task_id:
        _apply_to_root(request, update)
    elif task := next((task for task in _parts(request) if task.id == update.node_id), None):
        _advance_task(task, update.event, _moment(update), _error(update))
    elif (job := db.session.get(Job, update.node_id)) and job.request_id == request.id:
        _apply_to_job(job, update)
    else:
        raise Inapplicable(f"request {request.id} has no task or job {update.node_id}")


def _moment(update: Update) -> datetime:
    """When the runner says that it happened; our own clock if it cannot tell."""
    try:
        moment = datetime.fromisoformat(update.at)
    except ValueError:
        return utc_now()
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _error(update: Update) -> dict[str, Any] | None:
    return plain(update.error) if update.error else None


# -- tasks


def _apply_to_root(request: Request, update: Update) -> None:
    """The root of several requests starts with the first of them, and ends when the last does."""
    if update.event is Event.START:
        root = rows.lock(Task, request.task_id)
        _advance_task(root, Event.START, _moment(update), None)
    else:
        _end_request(request, update.event, _moment(update), _error(update))


def _end_request(request: Request, outcome: Event, at: datetime, error: dict[str, Any] | None) -> None:
    root = rows.lock(Task, request.task_id)
    request.outcome, request.waits_in, request.body, request.cancel_asked_at = outcome, None, None, None
    db.session.flush()
    doorbell.ring_after_commit()  # There is room for another one.
    outcomes = set(db.session.scalars(select(Request.outcome).filter_by(task_id=root.id).distinct()))
    _end_forgotten(request, at)
    if None not in outcomes:
        _advance_task(root, overall({outcome for outcome in outcomes if outcome}), at, error)


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
    for task in _parts(request):
        _advance_task(task, Event.ERROR, at, error)


def _parts(request: Request) -> list[Task]:
    """Tasks of the request, but for the root."""
    here = select(Job.task_id).filter_by(request_id=request.id)
    ids = [task_id for task_id in db.session.scalars(here.distinct()) if task_id != request.task_id]
    return rows.lock_all(Task, ids)


def _advance_task(task: Task, event: Event, at: datetime, error: dict[str, Any] | None) -> None:
    if task.ended:
        return
    if event is Event.ERROR:
        error = error or _first_error(task)
    task.record(event, at, error)
    if task.ended:
        _end_untold_jobs(task, at)
        _release(task)
        _tell_end(task)


def _first_error(task: Task) -> dict[str, Any] | None:
    """A task failed because a job of it did, or a part."""
    jobs = select(Job).filter_by(task_id=task.id, state=JobState.FAILED).order_by(Job.ended_at)
    parts = select(Task).filter_by(parent_id=task.id, state=TaskState.FINISHED_UNSUCCESSFULLY).order_by(Task.ended_at)
    failed = db.session.scalars(jobs.limit(1)).first() or db.session.scalars(parts.limit(1)).first()
    return failed.error if failed else None


def _end_untold_jobs(task: Task, at: datetime) -> None:
    """Of a task that has just ended: what became of jobs that had begun, and whose end nobody told, nobody knows."""
    jobs = db.session.scalars(select(Job).filter_by(task_id=task.id)).all()
    untold = [job for job in jobs if _is_under_way(job)]
    error = {"code": "runner.silent", "message": "the runner ended the task and never said how this job ended"}
    for job in untold:
        _fail_what_is_under_way(job, at, error)
    in_doubt = untold or any(_may_have_left_it(job) for job in jobs)
    vm = _vm_of(task) if in_doubt else None
    if vm and (untold or vm.state is VmState.ALLOCATED):
        _lose(vm, task, f"nobody said what became of VM {vm.name}, which was being worked on")


def _is_under_way(job: Job) -> bool:
    return job.state is JobState.STARTED or job.rollback_state is RollbackState.STARTED


def _fail_what_is_under_way(job: Job, at: datetime, error: dict[str, Any]) -> None:
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


def _lose(vm: VirtualMachine, task: Task, what: str) -> None:
    """The VM may be anything now, and people have to look."""
    vm.become(VmState.UNKNOWN)
    events.tell(Severity.CRITICAL, task, f"{what}; look what {vm.native_name} is now")


def _release(task: Task) -> None:
    """Unlock the VM that the task holds."""
    if vm := _vm_of(task):
        vm.release(done=task.state is TaskState.FINISHED_SUCCESSFULLY)


def _vm_of(task: Task) -> VirtualMachine | None:
    """The VM that the task is about, if the task holds it."""
    return _held_vm(task.owner_id, task.id) if task.owner_type is OwnerType.VM else None


def _held_vm(vm_id: str, task_id: str) -> VirtualMachine | None:
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


# -- jobs


def _apply_to_job(job: Job, update: Update) -> None:
    task = rows.lock(Task, job.task_id)
    if task.ended:
        return
    job.hear(update.attempt, update.runner)
    job.record(update.event, _moment(update), _error(update))
    job.trace = traces.extended(job.trace, update)
    job.tries = update.tries if update.tries is not None else job.tries
    if update.event is Event.DONE:
        job.changed = update.changed
    if job.operation is Operation.DISCOVER:
        _discovered(job, update)
    elif job.vm_id and (vm := _held_vm(job.vm_id, task.id)):
        _seen(vm, job, task, update)


def _seen(vm: VirtualMachine, job: Job, task: Task, update: Update) -> None:
    state = state_after(job.operation, update.event, update.vm, update.error)
    if state:
        vm.become(state)
    if update.vm is not None:
        vm.observe(update.vm)
    if update.event is Event.ROLLBACK_ERROR:
        _tell_left(vm, job, task, f"undoing {job.operation}")
    elif job.operation is Operation.UNCONFIGURE and update.event is Event.ERROR and state:
        _tell_left(vm, job, task, job.operation)
    elif job.operation is Operation.GET_STATE and update.event is Event.DONE and update.vm is None:
        events.tell(Severity.WARNING, task, f"VM {vm.name} is not at {job.hypervisor_name} any more")


def _tell_left(vm: VirtualMachine, job: Job, task: Task, what: str) -> None:
    left = ", ".join((job.error or {}).get("left", ())) or "unknown remains"
    why = (job.error or {}).get("rollback", job.error or {}).get("message", "")
    events.tell(
        Severity.CRITICAL, task,
        f"{what} of VM {vm.name} failed; left at {job.hypervisor_name}: {left}. {why}",
    )  # fmt: skip


def _discovered(job: Job, update: Update) -> None:
    hypervisor = next(iter(rows.lock_all(Hypervisor, [job.hypervisor_id])), None)
    if hypervisor is None:
        return
    if update.event is Event.DONE:
        hypervisor.answered(update.host, _moment(update))
    elif update.event is Event.ERROR:
        hypervisor.failed(_error(update))


# -- requests that no runner could handle


def give_up(request_id: str, reason: str) -> bool:
    """End a request that is among the dead letters as failed, with the reason. False: it is none of ours.

    Part of the caller's transaction."""
    request = _locked_request(request_id)
    if request is None:
        return False
    if not request.outcome:
        fail(request, f"no runner could handle the request: {reason}")
    return True


def lose_sight(request_id: str, order: tuple[int, int] | None, reason: str) -> None:
    """End a request, of which an update could not be applied, as failed with the reason. Its runner has it in hand and
    goes on, so what its VMs are, and will be, nobody can tell. What it still says is about what has ended, and changes
    nothing.

    Not if it has ended, or if the update (``order``: its attempt and sequence) is older than what was applied: it would
    have changed nothing. Part of the caller's transaction."""
    request = _locked_request(request_id)
    if request is None or request.outcome or (order and order <= (request.attempt, request.sequence)):
        return
    error = {"code": Inapplicable.code, "message": reason, "left": []}
    _fail_parts(request, error, in_hand=True)
    _end_request(request, Event.ERROR, utc_now(), error)


def end_requests_of(hypervisor_id: str, reason: str) -> None:
    """End what is still being asked of a hypervisor as failed. Part of the caller's transaction."""
    open_ones = select(Request).filter_by(hypervisor_id=hypervisor_id, outcome=None)
    for request in db.session.scalars(open_ones.with_for_update()).all():
        fail(request, reason)


def fail(request: Request, reason: str) -> None:
    """End a request, whose row is locked, as failed. Part of the caller's transaction."""
    error = {"code": "request.dead", "message": reason, "left": []}
    _fail_parts(request, error)
    _end_request(request, Event.ERROR, utc_now(), error)


def _fail_parts(request: Request, error: dict[str, Any], *, in_hand: bool = False) -> None:
    """``in_hand``: a runner works on it, whatever it has said of that."""
    jobs = select(Job).filter_by(request_id=request.id)
    open_parts = [task for task in _parts(request) if not task.ended]
    for task in [*open_parts, rows.lock(Task, request.task_id)]:
        own = db.session.scalars(jobs.filter_by(task_id=task.id)).all()
        _fail_jobs(task, own, error, in_hand=in_hand)
        if task.id != request.task_id:
            _advance_task(task, Event.ERROR, utc_now(), error)


def _fail_jobs(task: Task, jobs: Iterable[Job], error: dict[str, Any], *, in_hand: bool) -> None:
    jobs = list(jobs)
    begun = in_hand or any(job.attempt for job in jobs)
    for job in jobs:
        if _is_under_way(job):
            _fail_what_is_under_way(job, utc_now(), error)
        elif job.state is JobState.PENDING:
            job.record(Event.ABORTED, utc_now())
        if job.operation is Operation.DISCOVER and (host := db.session.get(Hypervisor, job.hypervisor_id)):
            host.failed(error)
    if begun and (vm := _vm_of(task)):
        _lose(vm, task, f"VM {vm.name} was being worked on when its request was given up")


# -- requests that no runner has heard of


def call_off(request: Request) -> None:
    """End a request, whose row is locked, and which was never published, as cancelled. Part of the caller's
    transaction."""
    for job in db.session.scalars(select(Job).filter_by(request_id=request.id)):
        job.record(Event.ABORTED, utc_now())
    for task in _parts(request):
        _advance_task(task, Event.CANCELLED, utc_now(), None)
    _end_request(request, Event.CANCELLED, utc_now(), None)
