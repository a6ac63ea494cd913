# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes: which waiting job runs next, so that no hypervisor has more open sessions than it may have.

A lane is one hypervisor's; who goes first in it, and how long one can wait, is told in ``lane``. Every call but
``place``, ``order`` and ``overview``, which are for people, takes time that grows neither with the lanes nor with the
jobs that wait (but for the rare call in which one of Python's hash tables, of requests or of lanes, is copied to make
room: a millisecond for 10,000 of them).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from ..contract.operations import OPERATIONS, Operation, Priority
from .lane import MAX_PASSED, Lane, Seat, Ticket

__all__ = ["LaneView", "Lanes", "Priority", "Ticket", "priority_of"]


#: One of so many places of a runner is kept for urgent jobs.
KEPT_FREE = 8


def priority_of(operation: Operation, *, undo: bool) -> Priority:
    """Undoing is urgent, and so is what has to be known before: what it takes back holds resources and a lock."""
    return Priority.URGENT if undo else OPERATIONS[operation].priority


class LaneView(NamedTuple):
    """A lane in numbers; what runs past the bounds has no session in use."""

    hypervisor_id: str
    sessions: int
    in_use: int
    waiting: int


class _Seats:
    """Where jobs wait. One table for each request, because Python copies a table that is full, at once and all of it:
    none may have an entry for each job that waits."""

    def __init__(self) -> None:
        self._of_requests: dict[str, dict[str, Seat]] = {}

    def __bool__(self) -> bool:
        """Whether any job waits."""
        return bool(self._of_requests)

    def __contains__(self, ticket: Ticket) -> bool:
        return self.get(ticket) is not None

    def get(self, ticket: Ticket) -> Seat | None:
        seats = self._of_requests.get(ticket.request_id)
        return seats.get(ticket.job_id) if seats else None

    def add(self, ticket: Ticket, seat: Seat) -> None:
        seats = self._of_requests.get(ticket.request_id)
        if seats is None:
            seats = self._of_requests[ticket.request_id] = {}
        seats[ticket.job_id] = seat

    def remove(self, ticket: Ticket) -> Seat | None:
        """The seat; None if the job does not wait."""
        seats = self._of_requests.get(ticket.request_id)
        seat = seats.pop(ticket.job_id, None) if seats else None
        if seats is not None and not seats:
            del self._of_requests[ticket.request_id]
        return seat


class Lanes:
    """All lanes of a runner; lanes take turns when the runner itself is the bottleneck."""

    def __init__(self, max_runs: int):
        self._max_runs = max_runs
        #: Places for what is not urgent.
        self._ordinary_runs = max_runs - max_runs // KEPT_FREE
        self._lanes: dict[str, Lane] = {}
        self._waiting = _Seats()
        #: By tenant: the bound that was told last, which is newer than what offers say.
        self._tenant_bounds: dict[str, int | None] = {}
        #: What has a session, and where it waited.
        self._running: dict[Ticket, Seat] = {}
        #: By job of a batch: those of the batch that have no session yet, and get one when another job ends.
        self._behind: dict[Ticket, dict[Ticket, None]] = {}
        #: Lanes that can start a job, the one that has waited longest for its turn first; and those of them that can
        #: start an urgent one.
        self._turns: OrderedDict[str, None] = OrderedDict()
        self._urgent: OrderedDict[str, None] = OrderedDict()
        #: How many turns in a row have been those of urgent jobs.
        self._passed = 0

    @property
    def running(self) -> int:
        """How many sessions are in use, over all lanes."""
        return len(self._running)

    def open(self, hypervisor_id: str, sessions: int, *, power_passes: bool = False) -> None:
        """A request has work for the lane, and says how many sessions it has (at least 1), and whether urgent jobs
        pass the bounds; runs beyond a lowered bound end, and none follows them."""
        lane = self._lanes.setdefault(hypervisor_id, Lane(sessions))
        lane.users += 1
        self.set_sessions(hypervisor_id, sessions, power_passes=power_passes)

    def close(self, hypervisor_id: str) -> None:
        """A request has no more work for the lane. After its last one the lane is forgotten once nothing runs, so that
        a runner does not grow with all it has ever seen; while a request waits for its next try, nothing of it is in
        the lane."""
        self._lanes[hypervisor_id].users -= 1
        self._refresh(hypervisor_id)

    def set_sessions(self, hypervisor_id: str, sessions: int, *, power_passes: bool | None = None) -> None:
        """The bound has changed (``power_passes`` only if given). Nothing happens for a lane that is not open; a batch
        under way keeps the sessions that it has."""
        lane = self._lanes.get(hypervisor_id)
        if lane is None:
            return
        lane.sessions = sessions
        if power_passes is not None:
            lane.let_power_pass(passes=power_passes)
        self._refresh(hypervisor_id)

    def set_tenant_sessions(self, tenant: str, sessions: int | None) -> None:
        """The tenant's bound in every lane is another one, also for what is offered later. Only a change looks at the
        lanes."""
        if tenant in self._tenant_bounds and self._tenant_bounds[tenant] == sessions:
            return
        self._tenant_bounds[tenant] = sessions
        for hypervisor_id, lane in list(self._lanes.items()):
            lane.bound_tenant(tenant, sessions)
            self._refresh(hypervisor_id)

    def offer(
        self,
        hypervisor_id: str,
        ticket: Ticket,
        *,
        priority: Priority,
        tenant: str = "",
        tenant_sessions: int | None = None,
    ) -> None:
        """The job waits for a session from now on; one that waits already keeps its place. It must not be running.

        ``tenant_sessions`` (at least 1) bounds the tenant within the lane, as its latest offer says, unless
        ``set_tenant_sessions`` has said so.
        """
        assert ticket not in self._running and ticket not in self._behind, f"{ticket} runs"
        lane = self._lanes[hypervisor_id]
        if ticket not in self._waiting:
            bound = self._tenant_bounds.get(tenant, tenant_sessions)
            self._waiting.add(ticket, lane.add(ticket, Seat(hypervisor_id, tenant, priority), bound))
            self._refresh(hypervisor_id)

    def withdraw(self, ticket: Ticket) -> None:
        """The job waits no more; nothing happens if it does not wait."""
        seat = self._waiting.remove(ticket)
        if seat is not None:
            self._lanes[seat.hypervisor_id].remove(ticket, seat)
            self._refresh(seat.hypervisor_id)

    def take(self) -> Ticket | None:
        """The job to start now; it runs until ``release``. None: all that may run runs.

        Lanes take turns; those with an urgent job go first, but not more than ``MAX_PASSED`` times in a row. The last
        of the runner's places are kept for urgent jobs: copies of disks elsewhere do not keep a VM from being powered
        on."""
        is_urgent = bool(self._urgent) and (self._passed < MAX_PASSED or self.running >= self._ordinary_runs)
        if not is_urgent and self.running >= self._ordinary_runs:
            return None
        self._passed = self._passed + 1 if is_urgent else 0
        return self._take(next(iter(self._urgent if is_urgent else self._turns), None))

    def take_beside(self, other: Ticket) -> Ticket | None:
        """Like ``take``, but only of the lane in which the other one runs."""
        hypervisor_id = self._running[other].hypervisor_id
        if self.running >= self._ordinary_runs and hypervisor_id not in self._urgent:
            return None
        return self._take(hypervisor_id if hypervisor_id in self._turns else None)

    def _take(self, hypervisor_id: str | None) -> Ticket | None:
        if hypervisor_id is None or self.running >= self._max_runs:
            return None
        del self._turns[hypervisor_id]
        self._urgent.pop(hypervisor_id, None)
        ticket = self._lanes[hypervisor_id].take()
        seat = self._waiting.remove(ticket)
        assert seat is not None, f"{ticket} waits"
        self._running[ticket] = seat
        self._refresh(hypervisor_id)
        return ticket

    def follow(self, leaders: Sequence[Ticket], fits: Callable[[Ticket], bool]) -> Ticket | None:
        """The job that waits next where the leaders have waited, if it fits: it shares their run (they have just been
        taken, and all waited at one seat), and gets a session of theirs when one of the batch has ended. It runs until
        ``release``."""
        seat = self._running[leaders[0]]
        lane = self._lanes[seat.hypervisor_id]
        ticket = lane.first_at(seat)
        if ticket is None or not fits(ticket):
            return None
        lane.follow(seat)
        self._waiting.remove(ticket)
        self._refresh(seat.hypervisor_id)
        behind = self._behind.setdefault(leaders[0], {})
        for one in (*leaders, ticket):
            self._behind[one] = behind
        behind[ticket] = None
        return ticket

    def has_session(self, ticket: Ticket) -> bool:
        """Not one that runs in a batch, and whose turn there has not come."""
        return ticket in self._running

    def release(self, ticket: Ticket) -> Ticket | None:
        """The job has ended. Its session is the next one's of its batch, which is given, if there is one."""
        behind = self._behind.pop(ticket, {})
        if ticket not in self._running:
            del behind[ticket]
            return None
        seat = self._running.pop(ticket)
        if behind:
            successor = next(iter(behind))
            del behind[successor]
            self._running[successor] = seat
            self._lanes[seat.hypervisor_id].hand_on(ticket, successor)
            return successor
        self._lanes[seat.hypervisor_id].release(ticket)
        self._refresh(seat.hypervisor_id)
        return None

    def place(self, ticket: Ticket) -> int | None:
        """Place of a waiting job in the order of its lane, from 1. None: it does not wait."""
        seat = self._waiting.get(ticket)
        if seat is None:
            return None
        order = self._lanes[seat.hypervisor_id].order()
        return next((place for place, other in enumerate(order, 1) if other == ticket), None)

    def order(self, hypervisor_id: str, most: int) -> list[Ticket]:
        """Who waits in a lane (at most ``most`` of them), in the order in which they start if nothing else comes and
        what has run longest ends first."""
        lane = self._lanes.get(hypervisor_id)
        return list(islice(lane.order(), most)) if lane is not None else []

    def overview(self) -> list[LaneView]:
        """The lanes in which something runs or waits."""
        return [
            LaneView(hypervisor_id, lane.sessions, lane.in_use, lane.waiting)
            for hypervisor_id, lane in self._lanes.items()
            if not lane.is_idle
        ]

    def _refresh(self, hypervisor_id: str) -> None:
        lane = self._lanes[hypervisor_id]
        if lane.can_start:
            self._turns.setdefault(hypervisor_id)
        else:
            self._turns.pop(hypervisor_id, None)
        if lane.can_start and Priority.URGENT in lane.rounds:
            self._urgent.setdefault(hypervisor_id)
        else:
            self._urgent.pop(hypervisor_id, None)
        if not lane.can_start and not lane.users and lane.is_idle:
            del self._lanes[hypervisor_id]
