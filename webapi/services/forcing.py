# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a request that cannot be ended as it should be, because a defect of ours is in the way.

It uses nothing of what usually ends requests (``endings``), and does what cannot be left out: what was asked for has an
end, and no VM stays locked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import VmState
from runner_service.contract.states import Event, JobState, RollbackState

from ..database import db, utc_now
from ..models import Job, Request, Severity, Task, VirtualMachine
from . import events, rows


def fail_by_force(request_id: str, reason: str) -> None:
    """End a request as failed with the reason, and all of its tasks and jobs that have not ended. If a runner has said
    anything of it, its VMs are UNKNOWN, and an event calls for somebody. Nothing happens if it has ended, or is none of
    ours. Part of the caller's transaction."""
    request = db.session.scalars(select(Request).filter_by(id=request_id).with_for_update()).one_or_none()
    if request is None or request.outcome:
        return
    request.outcome, request.waits_in, request.body, request.cancel_asked_at = Event.ERROR, None, None, None
    db.session.flush()
    jobs = db.session.scalars(select(Job).filter_by(request_id=request.id)).all()
    error = {"code": "request.dead", "message": f"no runner could handle the request: {reason}", "left": []}
    for task in _tasks_to_end(request, jobs):
        task.record(Event.ERROR, utc_now(), error)
        _let_go(task, begun=any(job.attempt for job in jobs if job.task_id == task.id))
    for job in jobs:
        _end(job, error)


def _tasks_to_end(request: Request, jobs: Sequence[Job]) -> list[Task]:
    """The root is one of them if nothing else of it is under way."""
    ids = {job.task_id for job in jobs} - {request.task_id}
    open_ones = select(Request.id).filter_by(task_id=request.task_id, outcome=None).limit(1)
    if db.session.scalars(open_ones).first() is None:
        ids.add(request.task_id)
    return [task for task in rows.lock_all(Task, list(ids)) if not task.ended]


def _let_go(task: Task, *, begun: bool) -> None:
    for vm in rows.lock_all(VirtualMachine, [task.owner_id]):
        if vm.task_id != task.id:
            continue
        if begun:
            vm.become(VmState.UNKNOWN)
            text = f"VM {vm.name} was being worked on when its request was given up; look what {vm.native_name} is now"
            events.tell(Severity.CRITICAL, task, text)
        vm.release(done=False)


def _end(job: Job, error: dict[str, Any]) -> None:
    if job.rollback_state is RollbackState.STARTED:
        job.record(Event.ROLLBACK_ERROR, utc_now(), error)
    if job.state is JobState.STARTED:
        job.record(Event.ERROR, utc_now(), error)
    elif not job.ended:
        job.record(Event.ABORTED, utc_now())
