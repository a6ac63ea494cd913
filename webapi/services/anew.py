# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking again for what a request asked for that has ended without being carried out."""

from __future__ import annotations

from sqlalchemy import select

from ..database import db
from ..errors import Refused
from ..models import Hypervisor, Job, Request, Task, VirtualMachine
from ..models.tasks import OwnerType, TaskType
from . import tasks, vms
from .guards import ACTIONS, Action

_ACTION_OF = {rule.task_type: action for action, rule in ACTIONS.items() if rule.task_type}


def ask_anew(request: Request, by: str) -> Task:
    """The same of the same VM or hypervisor, as a new task; guards are checked as for any other.

    Part of the caller's transaction. Raises Refused where the VM's state does not allow it any more, where there is
    no such VM any more, and for a change of a definition, which is made of what the VM is now.
    """
    job = db.session.scalars(select(Job).filter_by(request_id=request.id).order_by(Job.position)).first()
    part = db.session.get(Task, job.task_id) if job else None
    if job is None or part is None or not _is_there(part):
        raise Refused(
            f"what task {request.task_id} was about is not there any more; drop the dead letter",
            code="deadletter.gone", task_id=request.task_id,
        )  # fmt: skip
    if part.owner_type is OwnerType.HYPERVISOR:
        return tasks.ask_for_hypervisor(db.session.get_one(Hypervisor, part.owner_id), by)
    return vms.ask_within(part.owner_id, _action(part), by, tasks.Told(timeout=job.timeout, options=job.options or {}))


def _is_there(part: Task) -> bool:
    model = Hypervisor if part.owner_type is OwnerType.HYPERVISOR else VirtualMachine
    return db.session.get(model, part.owner_id) is not None


def _action(part: Task) -> Action:
    if part.type in (TaskType.RECONFIGURE, TaskType.REVERT):
        raise Refused(
            f"task {part.root_id} has ended, and {part.name!r} may have been changed since; ask for the change anew "
            "(the dead letter says what it was)",
            code="deadletter.ended", task_id=part.root_id,
        )  # fmt: skip
    return _ACTION_OF[part.type]
