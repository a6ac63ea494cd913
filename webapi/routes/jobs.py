# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs."""

from __future__ import annotations

from typing import Any

from ..models import Job
from ..schemas.base import page_of
from ..schemas.jobs import JobList, JobSummarySchema, JobTraceSchema
from ..services import jobs
from ..services.paging import Page
from .strict import Blueprint

blueprint = Blueprint("jobs", __name__, description="Single operations, and how each went")


@blueprint.get("")
@blueprint.arguments(JobList, location="query")
@blueprint.response(200, page_of(JobSummarySchema))
def list_jobs(arguments: dict[str, Any]) -> Page[Job]:
    """List jobs, the newest first."""
    return jobs.list_jobs(**arguments)


@blueprint.get("/<job_id>")
@blueprint.response(200, JobTraceSchema)
def get_job(job_id: str) -> Job:
    """Show a job with the trace of its runs, and how to repeat it by hand."""
    return jobs.get(job_id)
