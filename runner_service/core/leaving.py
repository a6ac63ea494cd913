# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a partition is handed over to another runner: while nothing of it runs. Pure.

So that this comes to pass, nothing is started for it for a while. If something runs all the same (a copy may take
hours), work goes on for ``REST`` times as long before the next pause, which is twice as long. So requests are held up
for a fifth of the time at most, and a partition whose longest run takes L seconds is handed over within ``PATIENCE``
seconds, or within 11 L.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

#: Seconds of the first pause.
PATIENCE = 30.0
#: So many times as long work goes on after a pause that was too short.
REST = 4


class Move(Enum):
    STAY = auto()
    PAUSE = auto()
    RESUME = auto()
    GO = auto()


@dataclass(frozen=True)
class Leaving:
    """A partition on its way out; ``until`` is a moment on the own clock."""

    until: float
    patience: float = PATIENCE
    #: Nothing is started for it.
    paused: bool = True

    def after(self, now: float, *, idle: bool) -> tuple[Leaving, Move]:
        """``idle``: nothing of it runs."""
        if idle:
            return self, Move.GO
        if now < self.until:
            return self, Move.STAY
        if self.paused:
            rest = REST * self.patience
            return replace(self, paused=False, until=now + rest, patience=2 * self.patience), Move.RESUME
        return replace(self, paused=True, until=now + self.patience), Move.PAUSE
