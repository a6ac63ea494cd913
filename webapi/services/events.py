# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: written beside what they tell of, in the same transaction."""

from __future__ import annotations

from typing import Any

from ..database import db
from ..models import Event, Severity, Task
from ..models.tasks import OwnerType
from .paging import Page, listing


def tell(severity: Severity, task: Task, text: str) -> None:
    """Note that something happened to the owner of a task."""
    db.session.add(
        Event(severity=severity, owner_type=task.owner_type, owner_id=task.owner_id, task_id=task.id, text=text)
    )


def tell_of_datacenter(severity: Severity, datacenter_id: str, text: str) -> None:
    db.session.add(Event(severity=severity, owner_type=OwnerType.DATACENTER, owner_id=datacenter_id, text=text))


def list_events(**arguments: Any) -> Page[Event]:
    return listing(Event, newest_first=True, **arguments)
