# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events."""

from __future__ import annotations

from marshmallow import Schema, fields

from ..models import Severity
from ..models.tasks import OwnerType
from .base import ListArguments, moment_field
from .tasks import OwnerSchema


class EventSchema(Schema):
    id = fields.String()
    severity = fields.Enum(Severity, by_value=True)
    owner = fields.Function(lambda row: OwnerSchema().dump(row), metadata={"type": "object"})
    text = fields.String()
    task_id = fields.String(allow_none=True)
    created_at = moment_field()


class EventList(ListArguments):
    severity = fields.Enum(Severity, by_value=True)
    owner_id = fields.String()
    owner_type = fields.Enum(OwnerType, by_value=True)
    task_id = fields.String()
