# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relays' rows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Base, table_arguments


class Relay(Base):
    """Two rows. Whoever has the first one locked is the relay that publishes; its ``seen_at`` is when one last did its
    rounds. That of the second one is when one last had applied all updates that had come."""

    PUBLISHES, APPLIES = 1, 2

    __tablename__ = "relays"
    __table_args__ = table_arguments()

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seen_at: Mapped[datetime | None]
    #: Where its doorbell is (services.doorbell), address:port.
    bell: Mapped[str | None] = mapped_column(String(64))
