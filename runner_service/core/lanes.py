# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes: which waiting job runs next, so that no hypervisor has more open sessions than it may have.

A lane is one hypervisor's. Every call takes time that grows neither with the lanes nor with the jobs that wait.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple


class Ticket(NamedTuple):
    """Names a waiting or running job."""

    request_id: str
    job_id: str


def _queue() -> OrderedDict[Ticket, None]:
    return OrderedDict()


@dataclass
class Lane:
    """One hypervisor's sessions, and who waits for them: undoing before new work, then first come, first served."""

    sessions: int
    #: How many requests have it open.
    users: int = 0
    in_use: int = 0
    urgent: OrderedDict[Ticket, None] = field(default_factory=_queue)
    ordinary: OrderedDict[Ticket, None] = field(default_factory=_queue)

    @property
    def can_start(self) -> bool:
        return self.in_use < self.sessions and bool(self.urgent or self.ordinary)

    def take(self) -> Ticket:
        self.in_use += 1
        return (self.urgent or self.ordinary).popitem(last=False)[0]

    def place(self, ticket: Ticket) -> int:
        """How many are served before it, and itself."""
        return [*self.urgent, *self.ordinary].index(ticket) + 1


class Lanes:
    """All lanes of a runner; lanes take turns when the runner itself is the bottleneck."""

    def __init__(self, max_runs: int):
        self._max_runs = max_runs
        self._lanes: dict[str, Lane] = {}
        self._lane_of: dict[Ticket, str] = {}
        #: Lanes that can start a job, the one that has waited longest for its turn first.
        self._turns: OrderedDict[str, None] = OrderedDict()
        self.running = 0

    def open(self, hypervisor_id: str, sessions: int) -> None:
        """A request has work for the lane, and says how many sessions it has; runs beyond a lowered bound end, and none
        follows them."""
        lane = self._lanes.setdefault(hypervisor_id, Lane(sessions))
        lane.sessions = sessions
        lane.users += 1
        self._refresh(hypervisor_id)

    def close(self, hypervisor_id: str) -> None:
        """A request has no more work for the lane. With its last one it is forgotten, so that a runner does not grow
        with all it has ever seen; while a request waits for its next try, nothing of it is in the lane."""
        self._lanes[hypervisor_id].users -= 1
        if not self._lanes[hypervisor_id].users:
            del self._lanes[hypervisor_id]

    def offer(self, hypervisor_id: str, ticket: Ticket, *, urgent: bool) -> None:
        """The job waits for a session from now on."""
        lane = self._lanes[hypervisor_id]
        (lane.urgent if urgent else lane.ordinary)[ticket] = None
        self._lane_of[ticket] = hypervisor_id
        self._refresh(hypervisor_id)

    def withdraw(self, ticket: Ticket) -> None:
        """The job waits no more; nothing happens if it does not wait."""
        hypervisor_id = self._lane_of.pop(ticket, None)
        if hypervisor_id is not None:
            lane = self._lanes[hypervisor_id]
            lane.urgent.pop(ticket, None)
            lane.ordinary.pop(ticket, None)
            self._refresh(hypervisor_id)

    def take(self) -> Ticket | None:
        """The job to start now; it has a session until ``release``. None: all that may run runs."""
        if not self._turns or self.running >= self._max_runs:
            return None
        hypervisor_id, _ = self._turns.popitem(last=False)
        ticket = self._lanes[hypervisor_id].take()
        del self._lane_of[ticket]
        self.running += 1
        self._refresh(hypervisor_id)
        return ticket

    def release(self, hypervisor_id: str) -> None:
        """A run of the lane is over."""
        self._lanes[hypervisor_id].in_use -= 1
        self.running -= 1
        self._refresh(hypervisor_id)

    def place(self, ticket: Ticket) -> int | None:
        """Place of a waiting job in its lane, from 1; for people, as it looks at all that wait. None: not waiting."""
        hypervisor_id = self._lane_of.get(ticket)
        return self._lanes[hypervisor_id].place(ticket) if hypervisor_id is not None else None

    def _refresh(self, hypervisor_id: str) -> None:
        lane = self._lanes[hypervisor_id]
        if lane.can_start:
            self._turns.setdefault(hypervisor_id)
        else:
            self._turns.pop(hypervisor_id, None)
