# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters."""

from __future__ import annotations

from marshmallow import Schema, fields

from ..services import deadletters
from .base import ListArguments, moment_field


class DeadLetterSummarySchema(Schema):
    """A message that could not be handled, without what it says."""

    id = fields.String()
    datacenter_id = fields.String()
    queue = fields.String(metadata={"description": "The queue that it was taken from."})
    reason = fields.String(metadata={"description": "Why it could not be handled."})
    request_id = fields.String(
        allow_none=True, metadata={"description": "The request that it is, or is about, if that can be told."}
    )
    task_id = fields.String(allow_none=True, metadata={"description": "The task of that request."})
    requeue_asked_at = moment_field("When somebody asked to send it again; the relay has not done so yet.")
    created_at = moment_field()


class RequeuedSchema(DeadLetterSummarySchema):
    """A dead letter that is to be sent again, or that is gone because its operation was asked for anew."""

    new_task_id = fields.String(
        allow_none=True, metadata={"description": "The task that was made for it; null: the message itself is sent."}
    )


class DeadLetterSchema(DeadLetterSummarySchema):
    """A message that could not be handled."""

    kind = fields.Function(
        deadletters.kind_of,
        metadata={"type": "string", "nullable": True, "description": "request, update, or null: no message of ours."},
    )
    body = fields.String(metadata={"description": "The message as it came; secrets in it are sealed."})
    message = fields.Function(
        deadletters.contents, metadata={"nullable": True, "description": "The same as data, if it is JSON."}
    )


class DeadLetterList(ListArguments):
    datacenter_id = fields.String()
    request_id = fields.String()
    task_id = fields.String()
