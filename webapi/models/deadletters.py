# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters: messages that could not be handled, kept with the reason until an operator has dealt with them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Base, LongText, OwnId, Ref, Stamp, table_arguments


class DeadLetter(Base):
    """One message. ``body`` is as it came, with what is no text replaced; secrets in it are sealed."""

    __tablename__ = "dead_letters"
    __allow_unmapped__ = True
    __table_args__ = table_arguments(
        Index(None, "created_at", "id"), Index(None, "datacenter_id"), Index(None, "requeue_asked_at")
    )

    id: Mapped[OwnId]
    datacenter_id: Mapped[Ref] = mapped_column(ForeignKey("datacenters.id"))
    #: The queue that it was taken from: requests that no runner could handle, or updates that the API could not.
    queue: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(LongText)
    #: The request that it is, or is about, if that can be told.
    request_id: Mapped[Ref | None]
    task_id: Mapped[Ref | None]
    #: Somebody asked to send it again; the row goes once the broker has confirmed it.
    requeue_asked_at: Mapped[datetime | None]
    created_at: Mapped[Stamp]

    #: The task that asks for the same anew, made just now; not a column.
    new_task_id: str | None = None
