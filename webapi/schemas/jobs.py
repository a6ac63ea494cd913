# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs, one by one."""

from __future__ import annotations

from marshmallow import Schema, fields

from runner_service.contract.operations import Operation
from runner_service.contract.states import JobState

from ..services import jobs
from .base import ListArguments
from .tasks import JobSchema


class JobSummarySchema(JobSchema):
    """A job, and where it belongs."""

    task_id = fields.String()
    root_id = fields.String(metadata={"description": "The task that was asked for; task_id may be a part of it."})
    request_id = fields.String(metadata={"description": "The request that asked a runner for it."})
    hypervisor_id = fields.String()


class ReplaySchema(Schema):
    """How a person repeats a job by hand."""

    command = fields.String()
    inventory = fields.String(
        metadata={"description": "What belongs into inventory.yml; nothing of users is a template."}
    )
    files = fields.Dict(metadata={"description": "Files that must stand beside it, and what belongs into each."})


class JobTraceSchema(JobSummarySchema):
    """A job with all that is known of it."""

    requested_by = fields.Function(jobs.requested_by, metadata={"type": "string"})
    timeout = fields.Integer(allow_none=True)
    tries = fields.Integer(allow_none=True, metadata={"description": "How often it was run in its last attempt."})
    trace = fields.Dict(
        allow_none=True, metadata={"description": "What Ansible said of its runs, secrets removed: docs/traces.md."}
    )
    replay = fields.Function(
        lambda job: (found := jobs.replay_of(job)) and ReplaySchema().dump(found), metadata={"nullable": True}
    )


class JobList(ListArguments):
    task_id = fields.String()
    root_id = fields.String()
    vm_id = fields.String()
    state = fields.Enum(JobState, by_value=True)
    operation = fields.Enum(Operation, by_value=True)
