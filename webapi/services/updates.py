# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates from runners, applied: in order, once, and together where they come together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import plain
from runner_service.contract.control import Drop, Word
from runner_service.contract.messages import InvalidMessage, Update
from runner_service.contract.operations import ON_SNAPSHOTS, Operation
from runner_service.contract.states import Event, IllegalTransition, TaskState

from ..database import db, transaction, utc_now
from ..models import Hypervisor, Job, Relay, Request, Severity, Task, VirtualMachine
from . import captures, endings, events, rows, settling, snapshots, traces, words
from .vm_states import Before, state_after

#: How often a relay that applies updates says so.
_SIGN_OF_LIFE = timedelta(seconds=2)


class Inapplicable(InvalidMessage):
    """The update is about something that is not ours, or cannot have happened."""

    code = "update.inapplicable"


@transaction
def apply(*together: Update) -> list[Word | Drop | None]:
    """Take updates over, in this order and in one transaction; give for each what its runner is to be told: the word
    that it asks for, or to drop what has ended. Repeated and older updates, and those about what has ended, change
    nothing.

    Raises Inapplicable if one of them can never be applied; then none is.
    """
    said = [_writable(update) for update in together]
    requests = endings.locked_requests(update.request_id for update in said)
    # Whoever changes a job has locked its request.
    asked = select(Job).where(Job.id.in_({update.node_id for update in said}))
    jobs = {job.id: job for job in db.session.scalars(asked)}
    # At once, and so in the order in which everybody locks them.
    rows.lock_all(Task, [job.task_id for job in jobs.values()])
    rows.lock_all(VirtualMachine, [job.vm_id for job in jobs.values() if job.vm_id])
    return [_apply(update, requests.get(update.request_id), jobs.get(update.node_id)) for update in said]


@transaction
def tell_that_all_is_applied() -> None:
    """All updates that have come to this relay are applied; whoever looks after the platform wants to know."""
    row = db.session.get(Relay, Relay.APPLIES)
    if row and (row.seen_at is None or utc_now() - row.seen_at > _SIGN_OF_LIFE):
        row.seen_at = utc_now()


def _apply(update: Update, request: Request | None, job: Job | None) -> Word | Drop | None:
    """``job``: the one that it is about, if it is about a job."""
    if update.event is Event.AGAIN:
        _end_if_all_parts_have(request, update)
        return words.answer(request, update)
    if request is None:
        raise Inapplicable(f"there is no request {update.request_id}")
    if request.outcome:
        return Drop(request_id=request.id)
    if (update.attempt, update.sequence) <= (request.attempt, request.sequence):
        return None
    request.attempt, request.sequence, request.missing_since = update.attempt, update.sequence, None
    # A runner that hands a request back in good order has not broken off.
    request.begun_attempt = 0 if update.event is Event.BACK else update.attempt
    # Whoever answers has got it, even if the relay died before it could write that down.
    request.published_at = request.published_at or utc_now()
    if update.event is Event.BACK:
        return None
    try:
        _apply_to_node(request, job, update)
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
    parts = endings.parts_of(request)
    if parts and all(part.ended for part in parts):
        error = next((part.error for part in parts if part.error), None)
        endings.end_request(request, endings.overall({_OUTCOMES[part.state] for part in parts}), utc_now(), error)


def _apply_to_node(request: Request, job: Job | None, update: Update) -> None:
    if update.node_id == request.task_id:
        _apply_to_root(request, update)
    elif job and job.request_id == request.id:
        _apply_to_job(job, update)
    elif task := next((task for task in endings.parts_of(request) if task.id == update.node_id), None):
        endings.advance_task(task, update.event, _moment(update), _error(update))
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
        endings.advance_task(root, Event.START, _moment(update), None)
    else:
        endings.end_request(request, update.event, _moment(update), _error(update))


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
    elif job.vm_id and (vm := endings.held_vm(job.vm_id, task.id)):
        _seen(vm, job, task, update)


def _seen(vm: VirtualMachine, job: Job, task: Task, update: Update) -> None:
    state = state_after(job.operation, update.event, update.vm, update.error, Before.of(vm.state, job.options))
    if state:
        vm.become(state)
    if update.vm is not None:
        vm.observe(update.vm)
    if update.event in (Event.DONE, Event.ROLLBACK_DONE):
        _take_over(vm, job, task, update)
    if update.event is Event.ROLLBACK_ERROR and state is None:
        _stays_changed(vm, job, task, update)
    elif update.event is Event.ROLLBACK_ERROR:
        _tell_left(vm, job, task, f"undoing {job.operation}")
    elif job.operation is Operation.UNCONFIGURE and update.event is Event.ERROR and state:
        _tell_left(vm, job, task, job.operation)
    elif job.operation is Operation.GET_STATE and update.event is Event.DONE and update.vm is None:
        events.tell(Severity.WARNING, task, f"VM {vm.name} is not at {job.hypervisor_name} any more")


def _take_over(vm: VirtualMachine, job: Job, task: Task, update: Update) -> None:
    """What there is beside the VM itself, now that the job is done or undone."""
    if job.operation in ON_SNAPSHOTS or job.operation is Operation.GET_STATE:
        snapshots.take_over(vm, job, task, update)
    elif job.operation is Operation.CAPTURE:
        captures.register(vm, job, task, update)
    if job.operation is Operation.GET_STATE:
        vm.definition = settling.with_grown(vm.definition, update.vm)


def _stays_changed(vm: VirtualMachine, job: Job, task: Task, update: Update) -> None:
    """What cannot be taken back is what the VM is defined as from now on, as far as it was seen."""
    if wanted := vm.pending_definition:
        vm.definition = settling.settled(vm.definition, wanted, vm.native(wanted), update.vm)
    text = f"what {job.operation} of VM {vm.name} has changed stays changed: {_why(job)}"
    events.tell(Severity.CRITICAL, task, text)


def _tell_left(vm: VirtualMachine, job: Job, task: Task, what: str) -> None:
    left = ", ".join((job.error or {}).get("left", ())) or "unknown remains"
    events.tell(
        Severity.CRITICAL, task,
        f"{what} of VM {vm.name} failed; left at {job.hypervisor_name}: {left}. {_why(job)}",
    )  # fmt: skip


def _why(job: Job) -> str:
    """Why the job, or rather its undoing, failed."""
    return str((job.error or {}).get("rollback", job.error or {}).get("message", ""))


def _discovered(job: Job, update: Update) -> None:
    hypervisor = next(iter(rows.lock_all(Hypervisor, [job.hypervisor_id])), None)
    if hypervisor is None:
        return
    if update.event is Event.DONE:
        hypervisor.answered(update.host, _moment(update))
    elif update.event is Event.ERROR:
        hypervisor.failed(_error(update))
