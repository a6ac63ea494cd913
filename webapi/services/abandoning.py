# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Abandoning tasks: the way out for operators where no runner will ever end one, as its message is lost.

Its requests end as failed. From then on whatever is still said of them changes nothing, a message that turns up after
all is not carried out (its runner asks, or is told to drop it at its first report), and who has it in hand is told to
drop it at once. What had begun, nobody can tell how far it came: its VM is UNKNOWN, and a refresh looks at it.

As with cancelling, to ask is one short transaction, which marks; what is marked ends in batches, the first at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, select, update

from runner_service.contract.topology import Topology

from ..database import db, transaction, utc_now
from ..errors import Refused
from ..models import Datacenter, Hypervisor, Request, Severity, Task
from . import cancelling, doorbell, endings, events, failing, missing, rows, tasks

#: For so long runners are told to drop what was abandoned, whether they name it or not.
TOLD_FOR = timedelta(minutes=1)


def abandon(task_id: str, by: str, *, force: bool = False) -> Task:
    """End those requests of a task, or of one VM's part of it, whose messages are lost; the task with all below it.

    ``force``: and those of which nobody can tell, or that a runner has in hand, as far as they were published. Raises
    Refused where there is none, or if the task has ended.
    """
    end_abandoned(_ask(task_id, by, force=force))
    return tasks.get(task_id)


@transaction
def _ask(task_id: str, by: str, *, force: bool) -> list[int]:
    """Mark them, and give their numbers. They are locked before tasks, as by updates."""
    numbers = cancelling.lock_requests_of(rows.find(Task, task_id))
    task = rows.lock(Task, task_id)
    cancelling.refuse_ended(task)
    open_ones = db.session.scalars(select(Request).where(Request.number.in_(numbers), Request.outcome.is_(None))).all()
    chosen = [request.number for request in open_ones if _may_end(request, force=force)]
    if not chosen:
        raise Refused(why_not(task, open_ones, "abandoned"), code="task.not_lost", task_id=task.id, state=task.state)
    marks = {"abandoned_by": by, "abandoned_at": utc_now()} | ({"abandoned_by_force": True} if force else {})
    db.session.execute(update(Request).where(Request.number.in_(chosen)).values(marks))
    events.tell(Severity.WARNING, task, f"{by} abandoned {task.type} of {task.name}{' by force' if force else ''}")
    doorbell.ring_after_commit()
    return chosen


def _may_end(request: Request, *, force: bool) -> bool:
    return request.waits_in is None if force else missing.is_known_to_be_lost(request)


def why_not(task: Task, requests: Sequence[Request], what: str) -> str:
    """Why its open requests do not count as lost."""
    said = f"task {task.id} is not to be {what}: "
    if not any(request.waits_in is None for request in requests):
        return said + "it waits for its turn to be published; cancel it"
    if names := missing.holders([request for request in requests if request.waits_in is None]):
        return said + f"runner {', '.join(names)} has it in hand; cancel it"
    return said + (
        f"that its message is lost is known only once a runner has been there for {missing.LOST_AFTER.seconds} seconds "
        "without it, its queue was empty, and a relay was at work; wait, or cancel it, or abandon it by force"
    )


@transaction
def end_abandoned(among: Collection[int] | None = None) -> int:
    """Have done with some of the requests that were abandoned, of these numbers or of all; how many there were."""
    abandoned = select(Request.number).where(Request.abandoned_at.is_not(None), Request.outcome.is_(None))
    if among is not None:
        abandoned = abandoned.where(Request.number.in_(among))
    numbers = db.session.scalars(abandoned.order_by(Request.number).limit(cancelling.BATCH)).all()
    # Somebody else may have ended some of them just now.
    requests = [each for each in endings.locked_by_number(numbers) if not each.outcome] if numbers else []
    for request in requests:
        _end(request)
    return len(requests)


def _end(request: Request) -> None:
    """One that was found again since it was marked goes on, unless it was to end all the same."""
    if missing.is_lost(request):
        reason = f"{request.abandoned_by} abandoned it, as no runner and no queue had it any more"
        failing.fail(request, reason, code="request.abandoned")
    elif request.abandoned_by_force:
        reason = f"{request.abandoned_by} abandoned it by force; a runner may have had it in hand"
        failing.fail(request, reason, code="request.abandoned", in_hand=True)
    else:
        request.abandoned_by = request.abandoned_at = None


@transaction
def to_drop() -> dict[str, Topology]:
    """Requests that runners are to drop, as they have ended without them, and where these runners are: what was
    abandoned lately, and what a runner still names, as no relay may have been there to tell it."""
    lately = utc_now() - TOLD_FOR
    found = _ended(Request.abandoned_at > lately)
    if db.session.scalar(select(Request.number).where(Request.abandoned_at <= lately).limit(1)) is not None:
        found |= _ended(Request.abandoned_at.is_not(None), Request.id.in_(missing.held()))
    return found


def _ended(*which: ColumnElement[bool]) -> dict[str, Topology]:
    asked = (
        select(Request.id, Datacenter)
        .join(Hypervisor, Hypervisor.id == Request.hypervisor_id)
        .join(Datacenter, Datacenter.id == Hypervisor.datacenter_id)
        .where(Request.outcome.is_not(None), *which)
    )
    return {request_id: datacenter.topology for request_id, datacenter in db.session.execute(asked)}
