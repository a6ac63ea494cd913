# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancelling tasks: what no runner has heard of ends at once, and runners are asked to stop the rest."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from runner_service.contract.states import Event
from runner_service.contract.topology import Topology

from ..database import db, transaction, utc_now
from ..errors import Refused
from ..models import Datacenter, Hypervisor, Job, Request, Severity, Task
from . import doorbell, endings, events, rows, tasks


def cancel(task_id: str, by: str) -> Task:
    """Ask for a task, or one VM's part of it, to be stopped and taken back; the task with all that is below it.

    Parts that have ended stay as they are. Asking twice is asking once. Raises Refused if it has ended.
    """
    _ask(task_id, by)
    return tasks.get(task_id)


@transaction
def _ask(task_id: str, by: str) -> None:
    """Requests are locked before tasks, as by updates."""
    requests = _requests_of(rows.find(Task, task_id))
    task = rows.lock(Task, task_id)
    if task.ended:
        raise Refused(
            f"task {task.id} has ended already: it is {task.state}", code="task.ended", task_id=task.id,
            state=task.state,
        )  # fmt: skip
    _mark(task, by)
    doorbell.ring_after_commit()
    for request in requests:
        if not request.outcome:
            _stop(request)


def _requests_of(task: Task) -> Sequence[Request]:
    jobs = select(Job.request_id).filter_by(root_id=task.root_id)
    if task.parent_id is not None:
        jobs = jobs.filter_by(task_id=task.id)
    return list(endings.locked_requests(db.session.scalars(jobs.distinct())).values())


def _mark(task: Task, by: str) -> None:
    """Who asked first is remembered. With a task all parts of it are marked that have not ended."""
    parts = list(db.session.scalars(select(Task.id).filter_by(parent_id=task.id)))
    for each in [task, *rows.lock_all(Task, parts)]:
        if not each.ended and each.cancel_asked_at is None:
            each.cancel_asked_by, each.cancel_asked_at = by, utc_now()
            if each is task:
                events.tell(Severity.WARNING, task, f"{by} asked to cancel {task.type} of {task.name}")


def _stop(request: Request) -> None:
    request.cancel_asked_at = request.cancel_asked_at or utc_now()
    if request.publishing_at is None and request.published_at is None:
        call_off(request)


def call_off(request: Request) -> None:
    """End a request, whose row is locked, and of which nothing was ever begun, as cancelled. Part of the caller's
    transaction."""
    for job in db.session.scalars(select(Job).filter_by(request_id=request.id)):
        job.record(Event.ABORTED, utc_now())
    for task in endings.parts_of(request):
        endings.advance_task(task, Event.CANCELLED, utc_now(), None)
    endings.end_request(request, Event.CANCELLED, utc_now(), None)


@transaction
def open_requests() -> dict[str, Topology]:
    """Requests that runners are to stop, and where these runners are."""
    asked = (
        select(Request.id, Datacenter)
        .join(Hypervisor, Hypervisor.id == Request.hypervisor_id)
        .join(Datacenter, Datacenter.id == Hypervisor.datacenter_id)
        .where(Request.cancel_asked_at.is_not(None), Request.outcome.is_(None))
    )
    return {request_id: datacenter.topology for request_id, datacenter in db.session.execute(asked)}
