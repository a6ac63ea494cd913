# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancelling tasks: runners are asked at once to stop what they may have heard of, and the rest ends without them.

A task may have thousands of requests. So to ask is one short transaction, which marks them: from then on runners are
told, and nothing more of them is published. What no runner has heard of then ends in batches, a transaction each, so
that nobody else who has to do with the task waits for all of them; the first at once, the others by the relay. A relay
that dies between two batches leaves marked rows to the next one, and a second one finds what the first has left."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, update

from runner_service.contract.topology import Topology

from ..database import db, transaction, utc_now
from ..errors import Refused
from ..models import Datacenter, Hypervisor, Job, Request, Severity, Task
from . import doorbell, endings, events, rows, tasks

#: Requests that end in one transaction: some tenths of a second, for which updates of the task's other parts may wait.
BATCH = 50


def cancel(task_id: str, by: str) -> Task:
    """Ask for a task, or one VM's part of it, to be stopped and taken back; the task with all that is below it.

    Parts that have ended stay as they are. Asking twice is asking once. Raises Refused if it has ended.
    """
    end_unpublished(_ask(task_id, by))
    return tasks.get(task_id)


@transaction
def _ask(task_id: str, by: str) -> list[int]:
    """Mark it, and give the numbers of its requests. They are locked before tasks, as by updates."""
    numbers = lock_requests_of(rows.find(Task, task_id))
    task = rows.lock(Task, task_id)
    refuse_ended(task)
    _mark(task, by)
    still_open = (Request.number.in_(numbers), Request.outcome.is_(None), Request.cancel_asked_at.is_(None))
    db.session.execute(update(Request).where(*still_open).values(cancel_asked_at=utc_now()))
    doorbell.ring_after_commit()
    return numbers


def refuse_ended(task: Task) -> None:
    """Raises Refused for a task, whose row is locked, that has ended."""
    if task.ended:
        raise Refused(
            f"task {task.id} has ended already: it is {task.state}", code="task.ended", task_id=task.id,
            state=task.state,
        )  # fmt: skip


def lock_requests_of(task: Task) -> list[int]:
    """Lock the requests of a task, or of one VM's part of it, without reading their bodies; give their numbers."""
    jobs = select(Job.request_id).filter_by(root_id=task.root_id)
    if task.parent_id is not None:
        jobs = jobs.filter_by(task_id=task.id)
    asked = select(Request.number).where(Request.id.in_(set(db.session.scalars(jobs.distinct()))))
    return endings.lock_numbers(db.session.scalars(asked).all())


def _mark(task: Task, by: str) -> None:
    """Who asked first is remembered. With a task all parts of it are marked that have not ended."""
    now = utc_now()
    parts = (Task.parent_id == task.id, Task.ended_at.is_(None), Task.cancel_asked_at.is_(None))
    db.session.execute(update(Task).where(*parts).values(cancel_asked_by=by, cancel_asked_at=now))
    if task.cancel_asked_at is None:
        task.cancel_asked_by, task.cancel_asked_at = by, now
        events.tell(Severity.WARNING, task, f"{by} asked to cancel {task.type} of {task.name}")


@transaction
def end_unpublished(among: Collection[int] | None = None) -> int:
    """End some of the requests that are to be cancelled, of these numbers or of all, and that no runner can have heard
    of, as cancelled; how many there were."""
    unpublished = select(Request.number).where(Request.cancel_asked_at.is_not(None), Request.waits_in.is_not(None))
    if among is not None:
        unpublished = unpublished.where(Request.number.in_(among))
    numbers = db.session.scalars(unpublished.order_by(Request.number).limit(BATCH)).all()
    # Somebody else may have ended some of them just now.
    requests = [request for request in endings.locked_by_number(numbers) if request.waits_in] if numbers else []
    if requests:
        endings.call_off(requests, utc_now())
    return len(requests)


@transaction
def open_requests() -> dict[str, Topology]:
    """Requests that runners are to stop, and where these runners are."""
    asked = (
        select(Request.id, Datacenter)
        .join(Hypervisor, Hypervisor.id == Request.hypervisor_id)
        .join(Datacenter, Datacenter.id == Hypervisor.datacenter_id)
        .where(Request.cancel_asked_at.is_not(None), Request.outcome.is_(None), Request.waits_in.is_(None))
    )
    return {request_id: datacenter.topology for request_id, datacenter in db.session.execute(asked)}
