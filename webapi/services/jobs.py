# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs, one by one: what became of each, and how a person repeats it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..database import db
from ..models import Job, Task
from . import replay, rows
from .paging import Page, listing


def list_jobs(**arguments: Any) -> Page[Job]:
    return listing(Job, newest_first=True, **arguments)


def get(job_id: str) -> Job:
    return rows.find(Job, job_id)


def requested_by(job: Job) -> str:
    """Who asked for it."""
    task = db.session.get(Task, job.root_id)
    return task.requested_by if task else ""


def replay_of(job: Job) -> dict[str, Any] | None:
    """How a person repeats it; None for a job of an earlier version, of which too little was kept."""
    return asdict(replay.replay(job.operation, job.replay)) if job.replay else None
