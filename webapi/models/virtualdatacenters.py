# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual datacenters."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Base, Name, OwnId, Ref, Stamp, table_arguments


class VirtualDatacenter(Base):
    """A tenant's slice of a datacenter, of one hypervisor type."""

    __tablename__ = "virtualdatacenters"
    __table_args__ = table_arguments(UniqueConstraint("datacenter_id", "name"), Index(None, "created_at", "id"))

    id: Mapped[OwnId]
    datacenter_id: Mapped[Ref] = mapped_column(ForeignKey("datacenters.id"))
    name: Mapped[Name]
    hypervisor_type: Mapped[str] = mapped_column(String(32))
    #: How many of its operations may run on one hypervisor at once, within the hypervisor's bound; None: as many.
    open_sessions: Mapped[int | None]
    created_at: Mapped[Stamp]
