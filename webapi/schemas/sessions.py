# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds of sessions."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from runner_service.contract.operations import HYPERVISOR_TYPES

from .base import Input

SESSIONS = validate.Range(1, 256)


class BoundSchema(Input):
    open_sessions = fields.Integer(
        required=True, validate=SESSIONS,
        metadata={"description": "How many operations may run on a hypervisor at once."},
    )  # fmt: skip
    power_passes = fields.Boolean(
        load_default=False,
        metadata={"description": "Whether power operations may start although all sessions are in use."},
    )


class _Limits(Schema):
    platform = fields.Nested(
        BoundSchema, required=True, metadata={"description": "Of hypervisors that nothing else is said for."}
    )
    types = fields.Dict(
        keys=fields.String(validate=validate.OneOf(HYPERVISOR_TYPES, error="must be one of: {choices}")),
        values=fields.Nested(BoundSchema),
        load_default=dict,
        metadata={"description": "Of types of hypervisors; types that are not named have the platform's."},
    )


class LimitsInput(_Limits, Input):
    """All bounds anew."""


class LimitsSchema(_Limits):
    """What holds for hypervisors that have no bound of their own."""


class OwnSessionsInput(Input):
    """A bound of one's own."""

    open_sessions = fields.Integer(
        required=True, allow_none=True, validate=SESSIONS, metadata={"description": "null: what holds in general."}
    )
