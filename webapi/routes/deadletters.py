# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters."""

from __future__ import annotations

from typing import Any

from flask import url_for

from ..auth import asker
from ..models import DeadLetter
from ..schemas.base import page_of
from ..schemas.deadletters import DeadLetterList, DeadLetterSchema, DeadLetterSummarySchema, RequeuedSchema
from ..services import deadletters
from ..services.paging import Page
from .strict import Blueprint

blueprint = Blueprint("deadletters", __name__, description="Messages that could not be handled")


@blueprint.get("")
@blueprint.arguments(DeadLetterList, location="query")
@blueprint.response(200, page_of(DeadLetterSummarySchema))
def list_deadletters(arguments: dict[str, Any]) -> Page[DeadLetter]:
    """List dead letters, the newest first, without what they say."""
    return deadletters.list_deadletters(**arguments)


@blueprint.get("/<letter_id>")
@blueprint.response(200, DeadLetterSchema)
def get_deadletter(letter_id: str) -> DeadLetter:
    """Show a dead letter with what it says."""
    return deadletters.get(letter_id)


@blueprint.post("/<letter_id>/requeue")
@blueprint.response(202, RequeuedSchema)
def requeue_deadletter(letter_id: str) -> tuple[DeadLetter, int, dict[str, str]]:
    """Have a dead letter sent again, or, of a request whose task has ended, the same asked for anew by a new task. It
    is gone from here once the broker has it, or the task is made."""
    letter = deadletters.ask_to_requeue(letter_id, asker())
    task_id = letter.new_task_id
    return letter, 202, {"Location": url_for("tasks.get_task", task_id=task_id)} if task_id else {}


@blueprint.delete("/<letter_id>")
@blueprint.response(204)
def drop_deadletter(letter_id: str) -> None:
    """Forget a dead letter."""
    deadletters.drop(letter_id)
