# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: what happened, for people."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Base, OwnId, Ref, Stamp, table_arguments
from .tasks import OwnerType


class Severity(StrEnum):
    INFO = "INFO"
    WARNING = "WARNING"
    #: Something was asked for and did not happen.
    ERROR = "ERROR"
    #: Somebody has to look: something is left where it should not be.
    CRITICAL = "CRITICAL"


class Event(Base):
    """One thing that happened to something. It outlives what it is about."""

    __tablename__ = "events"
    __table_args__ = table_arguments(Index(None, "created_at", "id"), Index(None, "owner_id"), Index(None, "task_id"))

    id: Mapped[OwnId]
    severity: Mapped[Severity]
    owner_type: Mapped[OwnerType]
    owner_id: Mapped[Ref]
    text: Mapped[str] = mapped_column(Text)
    task_id: Mapped[Ref | None]
    created_at: Mapped[Stamp]
