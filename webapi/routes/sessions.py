# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds of sessions."""

from __future__ import annotations

from typing import Any

from ..schemas.sessions import LimitsInput, LimitsSchema
from ..services import sessions
from .strict import Blueprint

blueprint = Blueprint("sessions", __name__, description="How many operations may run on a hypervisor at once")


@blueprint.get("")
@blueprint.response(200, LimitsSchema)
def get_limits() -> sessions.Limits:
    """Show the bounds of hypervisors that have none of their own."""
    return sessions.limits()


@blueprint.put("")
@blueprint.arguments(LimitsInput)
@blueprint.response(200, LimitsSchema)
def replace_limits(wanted: dict[str, Any]) -> sessions.Limits:
    """Say all of these bounds anew. Runners learn of it within seconds."""
    return sessions.replace(**wanted)
