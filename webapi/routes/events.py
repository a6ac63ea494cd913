# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events."""

from __future__ import annotations

from typing import Any

from ..models import Event
from ..schemas.base import page_of
from ..schemas.events import EventList, EventSchema
from ..services import events
from ..services.paging import Page
from .strict import Blueprint

blueprint = Blueprint("events", __name__, description="What happened")


@blueprint.get("")
@blueprint.arguments(EventList, location="query")
@blueprint.response(200, page_of(EventSchema))
def list_events(arguments: dict[str, Any]) -> Page[Event]:
    """List events, the newest first."""
    return events.list_events(**arguments)
