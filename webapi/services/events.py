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

#: Characters of an event's text: MySQL's TEXT has 64 KiB, and nobody reads more.
MAX_TEXT = 8_000


def writable(value: Any) -> Any:
    """Text, or plain data, with what no database keeps (lone surrogates) written out."""
    if type(value) is str:  # A word of a table (StrEnum) stays itself.
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {writable(name): writable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(writable(item) for item in value)
    return value


def tell(severity: Severity, task: Task, text: str) -> None:
    """Note that something happened to the owner of a task."""
    _note(severity, task.owner_type, task.owner_id, text, task.id)


def tell_of_datacenter(severity: Severity, datacenter_id: str, text: str) -> None:
    _note(severity, OwnerType.DATACENTER, datacenter_id, text)


def _note(severity: Severity, owner_type: OwnerType, owner_id: str, text: str, task_id: str | None = None) -> None:
    kept = writable(text)[:MAX_TEXT]
    db.session.add(Event(severity=severity, owner_type=owner_type, owner_id=owner_id, task_id=task_id, text=kept))


def list_events(**arguments: Any) -> Page[Event]:
    return listing(Event, newest_first=True, **arguments)
