# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's word on a request that may have been begun before: whether a runner is to carry it out."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from runner_service.contract.control import PAUSED_AFTER, SUSPECT_AFTER, Word
from runner_service.contract.messages import Update

from ..database import db, utc_now
from ..models import Job, Request, Severity, Task
from . import endings, events, rows, sessions


def answer(request: Request | None, update: Update) -> Word | None:
    """Note that a runner was handed the request, whose row is locked, and give it our word.

    What was to be cancelled before anything of it was begun ends so. Who asks again is answered again, as a word may
    get lost. One whose request was handed to another one since gets none: it is cut off, and what it holds is not its
    own any more. Of what has ended, or has no row any more, everybody is told so. Part of the caller's transaction.
    """
    if request is None or request.outcome:
        return _word(request, update)
    if update.attempt < request.attempt:
        return None
    _take_note(request, update)
    if request.cancel_asked_at and not _was_begun(request):
        endings.call_off([request], utc_now())
    return _word(request, update)


def _was_begun(request: Request) -> bool:
    """A runner begins a job when its START is in the queue; what asks stands behind that."""
    begun = select(Job.id).filter(Job.request_id == request.id, Job.attempt > 0)
    return db.session.scalars(begun.limit(1)).first() is not None


def _take_note(request: Request, update: Update) -> None:
    """From now on everything that an older attempt still says is old."""
    if (update.attempt, update.sequence) > (request.attempt, request.sequence):
        request.attempt, request.sequence = update.attempt, update.sequence
    request.published_at = request.published_at or utc_now()
    if 0 < request.begun_attempt < update.attempt:
        request.crashes += 1
        # One that broke off is counted once, however often is asked.
        request.begun_attempt = 0
        _tell_of_suspect(request)


def _tell_of_suspect(request: Request) -> None:
    """Nobody can tell one that brings its runners down from one that was there whenever somebody killed them; people
    may know."""
    if request.crashes in (SUSPECT_AFTER, PAUSED_AFTER):
        severity = Severity.WARNING if request.crashes == SUSPECT_AFTER else Severity.ERROR
        text = (
            f"{request.crashes} runners broke off while they carried out request {request.id}. {_FROM_NOW_ON[severity]}"
        )
        events.tell(severity, rows.find(Task, request.task_id), text)


_FROM_NOW_ON = {
    Severity.WARNING: "It is carried out in a process of its own from now on",
    Severity.ERROR: "It is begun after ever longer pauses from now on; if it is what brings its runner down, "
    "`millwright task abandon --force` ends its task",
}


def _word(request: Request | None, update: Update) -> Word:
    asked: dict[str, Any] = {"request_id": update.request_id, "attempt": update.attempt}
    if request is None or request.outcome:
        return Word(**asked, go=False, crashes=request.crashes if request else 0)
    return Word(
        **asked, go=True, crashes=request.crashes, sessions=sessions.bound_now(request.hypervisor_id),
        tenant=sessions.tenant_bound_now(request.tenant),
    )  # fmt: skip
