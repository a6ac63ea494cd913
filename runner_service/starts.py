# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many runs are at their start at once.

To start a run is processor time and nothing else, while the jobs in it mostly wait for their hypervisor. Many starts at
once only slow each other down, and whatever else runs. Those that have to wait for a start lose little by it: what
comes to their lane meanwhile can share their run.
"""

from __future__ import annotations

import time
from itertools import count

#: Seconds after which a start counts no more: whatever holds it up, it is not the processor.
START_PATIENCE = 5.0


class Starts:
    """For the orchestrator's thread."""

    def __init__(self, most: int, patience: float = START_PATIENCE):
        self._most = most
        self._patience = patience
        self._numbers = count()
        #: When each of them began, the longest ago first.
        self._under_way: dict[int, float] = {}

    @property
    def is_free(self) -> bool:
        """Whether another run may start."""
        forgotten = time.monotonic() - self._patience
        while self._under_way and next(iter(self._under_way.values())) <= forgotten:
            del self._under_way[next(iter(self._under_way))]
        return len(self._under_way) < self._most

    def begin(self) -> int:
        """A run is at its start; the number is for its end."""
        number = next(self._numbers)
        self._under_way[number] = time.monotonic()
        return number

    def end(self, number: int) -> None:
        """It has started, or never will. May be called more than once."""
        self._under_way.pop(number, None)
