# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that several nouns give."""

from __future__ import annotations

from flask import url_for

from ..models import Task

Accepted = tuple[Task, int, dict[str, str]]


def accepted(task: Task) -> Accepted:
    """202: the task will do it, and there it can be watched."""
    return task, 202, {"Location": url_for("tasks.get_task", task_id=task.id)}
