# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that are due at a later moment, on the orchestrator's own thread."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count


class Timers:
    """A heap of moments. Nothing is ever taken out: a call looks for itself whether it still has a point."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._numbers), call))

    def pause(self, longest: float) -> float:
        """Seconds until the next call is due, at most ``longest``."""
        return max(0.0, min(longest, self._heap[0][0] - time.monotonic())) if self._heap else longest

    def ring(self) -> None:
        """Make the calls that are due."""
        while self._heap and self._heap[0][0] <= time.monotonic():
            heapq.heappop(self._heap)[2]()
