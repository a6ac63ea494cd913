# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datacenters."""

from __future__ import annotations

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from runner_service.contract.topology import DEFAULT_PARTITIONS, Topology

from ..database import Base, Name, OwnId, Stamp, table_arguments


class Datacenter(Base):
    """A set of hypervisors served by one set of runners, which hold the private key to ``public_key``."""

    __tablename__ = "datacenters"
    __table_args__ = table_arguments(Index(None, "created_at", "id"))

    id: Mapped[OwnId]
    name: Mapped[Name] = mapped_column(unique=True)
    partitions: Mapped[int] = mapped_column(default=DEFAULT_PARTITIONS)
    public_key: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[Stamp]

    @property
    def topology(self) -> Topology:
        return Topology(self.id, self.partitions)
