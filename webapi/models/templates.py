# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat

from ..database import Base, Name, OwnId, Ref, Stamp, table_arguments


class Template(Base):
    """A disk image at the hypervisors of a datacenter that VMs are made from."""

    __tablename__ = "templates"
    __table_args__ = table_arguments(UniqueConstraint("datacenter_id", "name"), Index(None, "created_at", "id"))

    id: Mapped[OwnId]
    datacenter_id: Mapped[Ref] = mapped_column(ForeignKey("datacenters.id"))
    name: Mapped[Name]
    path: Mapped[str] = mapped_column(String(1024))
    format: Mapped[DiskFormat]
    description: Mapped[str] = mapped_column(String(1024), default="")
    created_at: Mapped[Stamp]
