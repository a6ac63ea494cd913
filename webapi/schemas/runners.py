# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runners."""

from __future__ import annotations

from marshmallow import Schema, fields

from ..services.runners import RunnerState
from .base import ListArguments


class LaneSchema(Schema):
    """What runs and waits at one hypervisor."""

    hypervisor_id = fields.String()
    hypervisor_name = fields.String(allow_none=True)
    sessions = fields.Integer(metadata={"description": "How many operations may run at once."})
    in_use = fields.Integer()
    waiting = fields.Integer(metadata={"description": "How many jobs wait for a session."})


class RunnerSchema(Schema):
    """A process that carries requests out, as it last spoke of itself."""

    id = fields.String(attribute="row.id", metadata={"description": "A new one for every start."})
    name = fields.String(attribute="row.name")
    datacenter_id = fields.String(attribute="row.datacenter_id")
    datacenter_name = fields.String()
    state = fields.Enum(
        RunnerState, by_value=True,
        metadata={"description": "silent and stopped: it has not been heard of for five seconds."},
    )  # fmt: skip
    seen_at = fields.AwareDateTime(
        attribute="row.seen_at", format="iso", metadata={"description": "When it was last heard of."}
    )
    started_at = fields.String(attribute="row.status.started_at")
    partitions = fields.List(fields.Integer(), attribute="row.status.partitions")
    draining = fields.List(
        fields.Integer(), attribute="row.status.draining",
        metadata={"description": "Those of its partitions that it is giving up."},
    )  # fmt: skip
    max_runs = fields.Integer(attribute="row.status.max_runs")
    running = fields.Integer(attribute="row.status.running")
    sessions_in_use = fields.Integer()
    requests = fields.Integer(attribute="row.status.requests", metadata={"description": "How many requests it holds."})
    waiting = fields.Integer(attribute="row.status.waiting", metadata={"description": "Jobs that wait for a session."})
    lanes = fields.List(fields.Nested(LaneSchema), metadata={"description": "Lanes in which something runs or waits."})
    created_at = fields.AwareDateTime(
        attribute="row.created_at", format="iso", metadata={"description": "When it was first heard of."}
    )


class RunnerList(ListArguments):
    datacenter_id = fields.String()
    name = fields.String()
