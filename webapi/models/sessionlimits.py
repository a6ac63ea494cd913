# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many operations may run on a hypervisor at once, where the hypervisor does not say so itself."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Base, table_arguments

#: The scope of the row that holds for all types.
PLATFORM = "*"


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How many operations may run at once, and whether power operations may start beside them."""

    open_sessions: int
    power_passes: bool = False


class SessionLimit(Base):
    """The bound of a type of hypervisor, or (PLATFORM) of all."""

    __tablename__ = "session_limits"
    __table_args__ = table_arguments()

    #: A type of hypervisor, or PLATFORM.
    scope: Mapped[str] = mapped_column(String(32), primary_key=True)
    open_sessions: Mapped[int]
    #: Power operations may start although all sessions are in use.
    power_passes: Mapped[bool] = mapped_column(default=False)

    @property
    def bound(self) -> Bound:
        return Bound(open_sessions=self.open_sessions, power_passes=self.power_passes)
