# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from runner_service.contract.messages import Hypervisor as HypervisorMessage

from ..database import Base, Name, OwnId, Ref, Stamp, table_arguments
from .datacenters import Datacenter
from .sessionlimits import Bound


class HypervisorState(StrEnum):
    #: Registered, and not yet tried.
    CHECKING = "CHECKING"
    #: It answered last time.
    MANAGED = "MANAGED"
    #: It did not answer, or did not let us in; ``error`` says why.
    UNREACHABLE = "UNREACHABLE"


class Hypervisor(Base):
    """One management endpoint of a datacenter. Credentials are sealed to the datacenter's key before they come here."""

    __tablename__ = "hypervisors"
    __allow_unmapped__ = True
    __table_args__ = table_arguments(
        UniqueConstraint("datacenter_id", "name"),
        # Two rows for one endpoint would give it twice its sessions.
        UniqueConstraint("datacenter_id", "type", "url"),
        Index(None, "created_at", "id"),
    )

    id: Mapped[OwnId]
    datacenter_id: Mapped[Ref] = mapped_column(ForeignKey("datacenters.id"))
    name: Mapped[Name]
    type: Mapped[str] = mapped_column(String(32))
    url: Mapped[str] = mapped_column(String(512))
    sealed_credentials: Mapped[str | None] = mapped_column(Text)
    validate_certs: Mapped[bool] = mapped_column(default=True)
    #: In PEM; None: runners trust those of their own hosts.
    ca_certificates: Mapped[str | None] = mapped_column(Text)
    #: Its own bound; None: that of its type, or of the platform (session_limits).
    open_sessions: Mapped[int | None]
    state: Mapped[HypervisorState] = mapped_column(default=HypervisorState.CHECKING)
    error: Mapped[dict[str, Any] | None]
    host: Mapped[dict[str, Any] | None]
    last_seen_at: Mapped[datetime | None]
    created_at: Mapped[Stamp]

    datacenter: Mapped[Datacenter] = relationship(lazy="joined", innerjoin=True)

    #: The bound that holds for it, where a service has worked it out; not a column.
    effective_sessions: int | None = None

    def answered(self, host: dict[str, Any] | None, at: datetime) -> None:
        """Discovery went well: the host's facts are fresh, and VMs may be placed here."""
        self.state, self.error, self.host, self.last_seen_at = HypervisorState.MANAGED, None, host or self.host, at

    def failed(self, error: dict[str, Any] | None) -> None:
        """Discovery failed: nothing is placed here until it goes well again."""
        self.state, self.error = HypervisorState.UNREACHABLE, error

    def message(self, bound: Bound) -> HypervisorMessage:
        """It as runners are told of it, with the bound that holds for it."""
        return HypervisorMessage(
            id=self.id,
            type=self.type,
            url=self.url,
            sealed_credentials=self.sealed_credentials,
            validate_certs=self.validate_certs,
            ca_certificates=self.ca_certificates,
            open_sessions=bound.open_sessions,
            power_passes=bound.power_passes,
        )
