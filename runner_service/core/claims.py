# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims: requests that touch the same VM are handled one after the other, in the order in which they came."""

from __future__ import annotations

from collections import deque
from itertools import count


class Claims:
    """Who holds which VMs, and who waits for them. A call takes time by the VMs of its request only."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[str]] = {}
        self._vms: dict[str, frozenset[str]] = {}
        #: For how many of its VMs a request still waits.
        self._missing: dict[str, int] = {}
        self._arrivals = count()
        self._arrived: dict[str, int] = {}

    def claim(self, request_id: str, vms: frozenset[str]) -> bool:
        """Queue for the VMs; whether the request holds them all already."""
        self._vms[request_id] = vms
        missing = 0
        for vm in vms:
            queue = self._queues.setdefault(vm, deque())
            queue.append(request_id)
            missing += queue[0] != request_id
        self._missing[request_id] = missing
        self._arrived[request_id] = next(self._arrivals)
        return missing == 0

    def release(self, request_id: str) -> list[str]:
        """Let the VMs go, held or waited for. Gives the requests that hold all of theirs now, longest wait first."""
        admitted = []
        for vm in sorted(self._vms.pop(request_id)):
            queue = self._queues[vm]
            was_first = queue[0] == request_id
            queue.remove(request_id)
            if not queue:
                del self._queues[vm]
            elif was_first:
                self._missing[queue[0]] -= 1
                if self._missing[queue[0]] == 0:
                    admitted.append(queue[0])
        del self._missing[request_id], self._arrived[request_id]
        return sorted(admitted, key=self._arrived.__getitem__)

    def holder(self, request_id: str) -> str | None:
        """A request that this one waits for."""
        firsts = (self._queues[vm][0] for vm in sorted(self._vms[request_id]))
        return next((first for first in firsts if first != request_id), None)
