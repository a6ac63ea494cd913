# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks and jobs."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import Schema, fields, validate

from runner_service.contract.control import WaitsFor
from runner_service.contract.messages import Mode
from runner_service.contract.operations import Operation
from runner_service.contract.states import JobState, RollbackState, TaskState

from ..models import Job, TaskType
from ..models.tasks import OwnerType
from ..services.places import Before
from .base import Input, ListArguments, moment_field, permit_field


class WaitSchema(Schema):
    """What a job waits for."""

    for_ = fields.String(attribute="for", data_key="for", validate=validate.OneOf([*WaitsFor, *Before]))
    place = fields.Integer(allow_none=True, metadata={"description": "Its place in the lane, from 1."})
    text = fields.String(metadata={"description": 'For people; goes on after "waiting for".'})


class JobSchema(Schema):
    """One operation on one VM, or on the hypervisor itself."""

    kind = fields.Constant("job")
    id = fields.String()
    operation = fields.Enum(Operation, by_value=True)
    vm_id = fields.String(allow_none=True)
    vm_name = fields.String(allow_none=True)
    hypervisor_name = fields.String()
    state = fields.Enum(JobState, by_value=True)
    rollback_state = fields.Enum(RollbackState, by_value=True)
    waits_for = fields.Nested(
        WaitSchema, allow_none=True, metadata={"description": "null: it does not wait, or nobody has looked."}
    )
    changed = fields.Boolean(allow_none=True)
    error = fields.Dict(allow_none=True)
    attempt = fields.Integer(metadata={"description": "Which delivery of the request the last report is of."})
    runner = fields.String()
    created_at = moment_field()
    started_at = moment_field()
    ended_at = moment_field()


class OwnerSchema(Schema):
    type = fields.Enum(OwnerType, by_value=True, attribute="owner_type")
    id = fields.String(attribute="owner_id")


class TaskSummarySchema(Schema):
    """A task without what is below it."""

    kind = fields.Constant("task")
    id = fields.String()
    parent_id = fields.String(allow_none=True)
    type = fields.Enum(TaskType, by_value=True)
    name = fields.String(metadata={"description": "Name of its owner."})
    owner = fields.Function(lambda row: OwnerSchema().dump(row), metadata={"type": "object"})
    mode = fields.Enum(Mode, by_value=True)
    state = fields.Enum(TaskState, by_value=True)
    error = fields.Dict(allow_none=True)
    requested_by = fields.String()
    cancel_asked_by = fields.String(allow_none=True, metadata={"description": "Who asked to cancel it, if anybody."})
    cancel_asked_at = moment_field()
    created_at = moment_field()
    started_at = moment_field()
    ended_at = moment_field()


#: Made once: to make a schema takes longer than to use it, and a task may have thousands of jobs.
_JOB = JobSchema()


@cache
def _task_schema() -> TaskSchema:
    return TaskSchema()


class NodeField(fields.Field[Any]):
    """A child of a task: a task or a job."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return (_JOB if isinstance(value, Job) else _task_schema()).dump(value)


class TaskSchema(TaskSummarySchema):
    """A task and all that is below it."""

    children = fields.List(
        NodeField(metadata={"oneOf": [{"$ref": "#/components/schemas/Task"}, {"$ref": "#/components/schemas/Job"}]})
    )


class TaskList(ListArguments):
    state = fields.Enum(TaskState, by_value=True)
    type = fields.Enum(TaskType, by_value=True)
    owner_id = fields.String()


class AbandonInput(Input):
    force = permit_field("Also where nobody can tell whether the message is lost, or a runner has it in hand.")
