# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to runners: the outbox, and how far their updates have been applied."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from runner_service.contract.states import Event

from ..database import Base, LongText, Ref, Stamp, new_id, table_arguments


class Request(Base):
    """One message to one hypervisor's runner. A row with ``waits_in`` waits for its turn to be published.

    ``outcome`` is how the runner's work on it ended; afterwards nothing about it changes any more. A task whose
    children run at once has a request for each of them: none waits for another one, or is done again with it.
    """

    __tablename__ = "requests"
    __table_args__ = table_arguments(
        # Whose turn it is: lines (queue, tenant, priority), and the first of each.
        Index("ix_requests_waiting", "waits_in", "tenant", "priority", "number", "hypervisor_id"),
        # What is out: that without ``published_at`` is being published.
        Index("ix_requests_out", "outcome", "waits_in", "published_at", "hypervisor_id", "tenant", "priority"),
        Index(None, "task_id"),
        Index(None, "hypervisor_id"),
        Index(None, "cancel_asked_at"),
        Index(None, "abandoned_at"),
    )

    #: The order of publication within a line.
    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    id: Mapped[Ref] = mapped_column(unique=True, default=new_id)
    task_id: Mapped[Ref] = mapped_column(ForeignKey("tasks.id"))
    #: Not a foreign key: a request outlives the hypervisor that it was for.
    hypervisor_id: Mapped[Ref]
    #: The queue that it waits for; None once the relay has set about publishing it, or it has ended.
    waits_in: Mapped[str | None] = mapped_column(String(80))
    #: Whose work it is (a virtual datacenter), and how urgent: tenants and priorities take turns.
    tenant: Mapped[Ref] = mapped_column(default="")
    priority: Mapped[int]
    #: None once there is an outcome: nobody needs it any more.
    body: Mapped[str | None] = mapped_column(LongText)
    #: When the relay set about publishing it; one that it sets about again may have been published before.
    publishing_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    #: Somebody asked to cancel it; runners are told so again and again until it has an outcome.
    cancel_asked_at: Mapped[datetime | None]
    #: Since when, without a break, no runner and no queue has had it (services.missing).
    missing_since: Mapped[datetime | None]
    #: Somebody ended it without a runner, and who and when, and whether it was to end even if it is not lost.
    abandoned_by: Mapped[str | None] = mapped_column(String(255))
    abandoned_at: Mapped[datetime | None]
    abandoned_by_force: Mapped[bool | None]
    #: How often a runner broke off after it had begun to carry it out.
    crashes: Mapped[int] = mapped_column(default=0)
    #: The newest attempt that has begun to carry it out.
    begun_attempt: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    sequence: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[Event | None]
    created_at: Mapped[Stamp]
