# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that come to no good end: no runner could handle them, nobody can tell what became of them, or what they are
for is gone. All is part of the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from runner_service.contract.operations import Operation
from runner_service.contract.states import Event, JobState

from ..database import db, utc_now
from ..models import Hypervisor, Job, Request, Task
from . import endings, rows
from .updates import Inapplicable


def give_up(request_id: str, reason: str) -> bool:
    """End a request that is among the dead letters as failed, with the reason. False: it is none of ours.

    Part of the caller's transaction."""
    request = endings.locked_request(request_id)
    if request is None:
        return False
    if not request.outcome:
        fail(request, f"no runner could handle the request: {reason}")
    return True


def lose_sight(request_id: str, order: tuple[int, int] | None, reason: str) -> None:
    """End a request, of which an update could not be applied, as failed with the reason. Its runner has it in hand, so
    what its VMs are nobody can tell. What it still says is about what has ended: it changes nothing, and is answered by
    telling it to drop the request.

    Not if it has ended, or if the update (``order``: its attempt and sequence) is older than what was applied: it would
    have changed nothing. Part of the caller's transaction."""
    request = endings.locked_request(request_id)
    if request is None or request.outcome or (order and order <= (request.attempt, request.sequence)):
        return
    error = {"code": Inapplicable.code, "message": reason, "left": []}
    _fail_parts(request, error, in_hand=True)
    endings.end_request(request, Event.ERROR, utc_now(), error)


def end_requests_of(hypervisor_id: str, reason: str) -> None:
    """End what is still being asked of a hypervisor as failed. Part of the caller's transaction."""
    open_ones = select(Request.number).filter_by(hypervisor_id=hypervisor_id, outcome=None)
    for request in endings.locked_by_number(db.session.scalars(open_ones).all()):
        if not request.outcome:
            fail(request, reason)


def fail(request: Request, reason: str, *, code: str = "request.dead", in_hand: bool = False) -> None:
    """End a request, whose row is locked, as failed. ``in_hand``: a runner may work on it, whatever it has said of
    that. Part of the caller's transaction."""
    error = {"code": code, "message": reason, "left": []}
    _fail_parts(request, error, in_hand=in_hand)
    endings.end_request(request, Event.ERROR, utc_now(), error)


def _fail_parts(request: Request, error: dict[str, Any], *, in_hand: bool = False) -> None:
    """``in_hand``: a runner works on it, whatever it has said of that."""
    jobs = select(Job).filter_by(request_id=request.id)
    open_parts = [task for task in endings.parts_of(request) if not task.ended]
    for task in [*open_parts, rows.lock(Task, request.task_id)]:
        own = db.session.scalars(jobs.filter_by(task_id=task.id)).all()
        _fail_jobs(task, own, error, in_hand=in_hand)
        if task.id != request.task_id:
            endings.advance_task(task, Event.ERROR, utc_now(), error)


def _fail_jobs(task: Task, jobs: Iterable[Job], error: dict[str, Any], *, in_hand: bool) -> None:
    jobs = list(jobs)
    begun = in_hand or any(job.attempt for job in jobs)
    for job in jobs:
        if endings.is_under_way(job):
            endings.fail_what_is_under_way(job, utc_now(), error)
        elif job.state is JobState.PENDING:
            job.record(Event.ABORTED, utc_now())
        if job.operation is Operation.DISCOVER and (host := db.session.get(Hypervisor, job.hypervisor_id)):
            host.failed(error)
    if begun and (vm := endings.vm_of(task)):
        endings.lose(vm, task, f"VM {vm.name} was being worked on when its request was given up")
