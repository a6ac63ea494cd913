# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health, for load balancers and people."""

from __future__ import annotations

from typing import Any

from ..schemas.health import HealthSchema
from ..services import health
from .strict import Blueprint

blueprint = Blueprint("health", __name__, description="Whether the service works")


@blueprint.get("", endpoint="Health")
@blueprint.response(200, HealthSchema)
@blueprint.alt_response(503, schema=HealthSchema)
def get_health() -> tuple[dict[str, Any], int]:
    """Whether the database answers and has our tables; when a relay last gave a sign of life."""
    found = health.health()
    return found, 200 if found["status"] == "ok" else 503
