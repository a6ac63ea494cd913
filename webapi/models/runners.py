# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runners, as they last spoke of themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Base, Name, Ref, Stamp, table_arguments


class Runner(Base):
    """One process. Its row goes some time after it was last heard of."""

    __tablename__ = "runners"
    __table_args__ = table_arguments(
        Index(None, "datacenter_id"), Index(None, "seen_at"), Index(None, "created_at", "id")
    )

    #: A new one for every start of a runner.
    id: Mapped[Ref] = mapped_column(primary_key=True)
    datacenter_id: Mapped[Ref] = mapped_column(ForeignKey("datacenters.id"))
    name: Mapped[Name]
    sequence: Mapped[int]
    stopping: Mapped[bool]
    #: What it said (contract.control.RunnerStatus), as plain data.
    status: Mapped[dict[str, Any]]
    seen_at: Mapped[datetime]
    created_at: Mapped[Stamp]
