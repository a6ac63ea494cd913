# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks."""

from __future__ import annotations

from typing import Any

from ..auth import asker
from ..models import Task
from ..schemas.base import page_of
from ..schemas.tasks import AbandonInput, TaskList, TaskSchema, TaskSummarySchema
from ..services import abandoning, cancelling, resending, tasks
from ..services.paging import Page
from .answers import Accepted, accepted
from .strict import Blueprint

blueprint = Blueprint("tasks", __name__, description="What was asked for, and what became of it")


@blueprint.get("")
@blueprint.arguments(TaskList, location="query")
@blueprint.response(200, page_of(TaskSummarySchema))
def list_tasks(arguments: dict[str, Any]) -> Page[Task]:
    """List tasks, the newest first, without what is below them."""
    return tasks.list_tasks(**arguments)


@blueprint.get("/<task_id>")
@blueprint.response(200, TaskSchema)
def get_task(task_id: str) -> Task:
    """Show a task with all that is below it."""
    return tasks.get(task_id)


@blueprint.post("/<task_id>/cancel")
@blueprint.response(202, TaskSchema)
def cancel_task(task_id: str) -> Accepted:
    """Stop a task, or one VM's part of it. What it did is taken back; parts that have ended stay."""
    return accepted(cancelling.cancel(task_id, asker()))


@blueprint.post("/<task_id>/resend")
@blueprint.response(202, TaskSchema)
def resend_task(task_id: str) -> Accepted:
    """Have the messages of a task, or of one VM's part of it, sent again that the broker has lost. What is done already
    is found done."""
    return accepted(resending.resend(task_id, asker()))


@blueprint.post("/<task_id>/abandon")
@blueprint.arguments(AbandonInput)
@blueprint.response(202, TaskSchema)
def abandon_task(wanted: dict[str, Any], task_id: str) -> Accepted:
    """End a task, or one VM's part of it, that no runner will ever end, because its message is lost. Nothing is taken
    back: VMs that were being worked on are UNKNOWN afterwards."""
    return accepted(abandoning.abandon(task_id, asker(), **wanted))
