# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending the messages of a task again that the broker has lost, so that a runner carries the task to its end."""

from __future__ import annotations

from sqlalchemy import select, update

from ..database import db, transaction
from ..errors import Refused
from ..models import Request, Severity, Task
from . import abandoning, cancelling, doorbell, events, missing, rows, tasks


def resend(task_id: str, by: str) -> Task:
    """Have those requests of a task, or of one VM's part of it, published again whose messages are lost; the task with
    all below it.

    They look as if a relay had died while it published them, and so they are published as such that may have been begun
    before: whoever gets one asks first, and looks what is done already. Raises Refused where none is lost, or if the
    task has ended.
    """
    _mark(task_id, by)
    return tasks.get(task_id)


@transaction
def _mark(task_id: str, by: str) -> None:
    numbers = cancelling.lock_requests_of(rows.find(Task, task_id))
    task = rows.lock(Task, task_id)
    cancelling.refuse_ended(task)
    open_ones = db.session.scalars(select(Request).where(Request.number.in_(numbers), Request.outcome.is_(None))).all()
    lost = [request.number for request in open_ones if missing.is_known_to_be_lost(request)]
    if not lost:
        why = abandoning.why_not(task, open_ones, "sent again")
        raise Refused(why, code="task.not_lost", task_id=task.id, state=task.state)
    again = {"published_at": None, "missing_since": None}
    db.session.execute(update(Request).where(Request.number.in_(lost)).values(again))
    events.tell(Severity.INFO, task, f"{by} had the lost messages of {task.type} of {task.name} sent again")
    doorbell.ring_after_commit()
