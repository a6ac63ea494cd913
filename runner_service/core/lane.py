# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lane: a hypervisor's sessions, who has them, and who waits for them.

Three levels take turns. **Priorities**: the most urgent first, but one that waits and was passed over ``MAX_PASSED``
times by more urgent ones has its turn. Within a priority **tenants** go round, within a tenant its **requests** go
round, and a request's jobs are first come, first served. Whoever comes, or comes back, joins at the end of its round.

How long can that take? Say N = ``MAX_PASSED``, and count the starts that are made while a session is free (others need
none). A priority that waits is passed over N times, then it is due. Of two that are due the more urgent goes first, and
is not due again before the other has had its turn. That makes at most N + 1 other starts before each turn of ORDINARY
and LONG, and 2 before each of URGENT. A tenant that comes with jobs of a priority while T - 1 others wait with such
jobs has the T-th of these turns at the latest:

    its first job starts after at most T (N + 2) - 1 other starts in the lane (3 T - 1 if it is urgent),

whatever comes meanwhile, and however much of it. Likewise a request that comes while R - 1 others of its tenant wait
starts a job after at most R T (N + 2) - 1 other starts, where T is the most tenants that have waited meanwhile. A
tenant that is held back by its own bound counts anew once it is not.

A start may be that of a batch: jobs of a tenant and a priority that share a run, in the order of their turns, and take
its sessions one after another. Only jobs that are so short that the batch takes about a second (up to five on a busy
machine) are put together (``pace``).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..contract.operations import Priority

#: So often in a row a priority that waits is passed over by more urgent ones.
MAX_PASSED = 4


class Ticket(NamedTuple):
    """Names a waiting or running job."""

    request_id: str
    job_id: str


class Seat(NamedTuple):
    """Where a job waits."""

    hypervisor_id: str
    tenant: str
    priority: Priority


class Line:
    """The jobs that wait at one seat; requests take turns."""

    __slots__ = ("_length", "_requests", "seat")

    def __init__(self, seat: Seat):
        self.seat = seat
        self._requests: OrderedDict[str, OrderedDict[Ticket, None]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Ticket]:
        """In the order in which they are taken."""
        rounds = deque(map(iter, self._requests.values()))
        while rounds:
            if (ticket := next(rounds[0], None)) is None:
                rounds.popleft()
            else:
                rounds.rotate(-1)
                yield ticket

    def add(self, ticket: Ticket) -> None:
        jobs = self._requests.get(ticket.request_id)
        if jobs is None:
            jobs = self._requests[ticket.request_id] = OrderedDict()
        jobs[ticket] = None
        self._length += 1

    @property
    def first(self) -> Ticket | None:
        """Who is taken next."""
        jobs = next(iter(self._requests.values()), None)
        return next(iter(jobs)) if jobs else None

    def take(self) -> Ticket:
        request_id, jobs = self._requests.popitem(last=False)
        ticket, _ = jobs.popitem(last=False)
        if jobs:
            self._requests[request_id] = jobs
        self._length -= 1
        return ticket

    def remove(self, ticket: Ticket) -> None:
        jobs = self._requests[ticket.request_id]
        del jobs[ticket]
        if not jobs:
            del self._requests[ticket.request_id]
        self._length -= 1


class RehearsedLine(Line):
    """Gives what a line would give, and leaves it as it is. Costs nothing before something is taken."""

    __slots__ = ("_rest",)

    def __init__(self, line: Line):
        super().__init__(line.seat)
        self._length = len(line)
        self._rest = iter(line)

    def take(self) -> Ticket:
        self._length -= 1
        return next(self._rest)


@dataclass(slots=True)
class Tenant:
    """One tenant's part in a lane: what of it waits, and how many sessions it has and may have."""

    bound: int | None = None
    in_use: int = 0
    lines: dict[Priority, Line] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return self.bound is not None and self.in_use >= self.bound

    def rehearsal(self) -> Tenant:
        lines: dict[Priority, Line] = {priority: RehearsedLine(line) for priority, line in self.lines.items()}
        return Tenant(self.bound, self.in_use, lines)


@dataclass(slots=True)
class Round:
    """Tenants that have waiting jobs of one priority and may start one, the one whose turn it is first."""

    #: How often it was passed over since its last turn.
    passed: int = 0
    tenants: OrderedDict[str, None] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class Lane:
    """One hypervisor's. No call but ``order`` takes time that grows with what waits; what is empty is dropped."""

    sessions: int
    #: Urgent jobs need no session, and start past the bounds of lane and tenant if these are reached.
    power_passes: bool = False
    #: How many requests have it open.
    users: int = 0
    in_use: int = 0
    waiting: int = 0
    #: What runs, what has run longest first; whose session it has. None: it passes the bounds.
    runs: dict[Ticket, str | None] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    rounds: dict[Priority, Round] = field(default_factory=dict)

    @property
    def can_start(self) -> bool:
        if self.in_use < self.sessions:
            return bool(self.rounds)
        return self.power_passes and Priority.URGENT in self.rounds

    @property
    def is_idle(self) -> bool:
        return not (self.waiting or self.runs)

    def let_power_pass(self, *, passes: bool) -> None:
        """Only a change looks at the tenants of the lane, and settings change rarely."""
        if passes is not self.power_passes:
            self.power_passes = passes
            for name, tenant in self.tenants.items():
                if Priority.URGENT in tenant.lines:
                    self._seat(name, tenant, Priority.URGENT)

    def add(self, ticket: Ticket, seat: Seat, tenant_sessions: int | None) -> Seat:
        """Gives the seat, the same for all who wait there."""
        tenant = self.tenants.setdefault(seat.tenant, Tenant())
        line = tenant.lines.get(seat.priority)
        if line is None:
            line = tenant.lines[seat.priority] = Line(seat)
        line.add(ticket)
        self.waiting += 1
        tenant.bound = tenant_sessions
        self._seat_all(seat.tenant)
        return line.seat

    def bound_tenant(self, name: str, sessions: int | None) -> None:
        """Nothing happens for a tenant that has nothing here."""
        if (tenant := self.tenants.get(name)) is not None:
            tenant.bound = sessions
            self._seat_all(name)

    def remove(self, ticket: Ticket, seat: Seat) -> None:
        self.tenants[seat.tenant].lines[seat.priority].remove(ticket)
        self.waiting -= 1
        self._seat_all(seat.tenant)

    def take(self) -> Ticket:
        """The next job; it runs from now on. Only if ``can_start``."""
        priority = self._next_priority()
        turn = self.rounds[priority]
        name = next(iter(turn.tenants))
        turn.tenants.move_to_end(name)
        tenant = self.tenants[name]
        ticket = tenant.lines[priority].take()
        self.waiting -= 1
        passes = self.in_use >= self.sessions or tenant.is_full
        self.runs[ticket] = None if passes else name
        if not passes:
            self.in_use += 1
            tenant.in_use += 1
        self._seat_all(name)
        return ticket

    def first_at(self, seat: Seat) -> Ticket | None:
        """Who has the next turn of those that wait at the seat."""
        tenant = self.tenants.get(seat.tenant)
        line = tenant.lines.get(seat.priority) if tenant else None
        return line.first if line else None

    def follow(self, seat: Seat) -> Ticket:
        """The next job at the seat; it has no session of its own. Only if there is one."""
        ticket = self.tenants[seat.tenant].lines[seat.priority].take()
        self.waiting -= 1
        self._seat_all(seat.tenant)
        return ticket

    def hand_on(self, ticket: Ticket, to: Ticket) -> None:
        """What the one has, the other has now."""
        self.runs[to] = self.runs.pop(ticket)

    def release(self, ticket: Ticket) -> None:
        name = self.runs.pop(ticket)
        if name is not None:
            self.in_use -= 1
            self.tenants[name].in_use -= 1
            self._seat_all(name)

    def order(self) -> Iterator[Ticket]:
        """Who waits, in the order in which they start if nothing else comes and what has run longest ends first."""
        lane = self._rehearsal()
        while lane.waiting:
            if lane.can_start:
                yield lane.take()
            elif lane.runs:
                lane.release(next(iter(lane.runs)))
            else:
                return

    def _next_priority(self) -> Priority:
        """Whose turn it is, and count it for those that it passes over. Who needs no session passes nobody over."""
        if self.in_use >= self.sessions:
            return Priority.URGENT
        due = [priority for priority, waits in self.rounds.items() if waits.passed >= MAX_PASSED]
        chosen = min(due or self.rounds)
        for priority, waits in self.rounds.items():
            waits.passed += priority > chosen
        self.rounds[chosen].passed = 0
        return chosen

    def _seat_all(self, name: str) -> None:
        """Put a tenant of which something has changed where it belongs now."""
        tenant = self.tenants[name]
        for priority in tuple(tenant.lines):
            self._seat(name, tenant, priority)
        if not tenant.lines and not tenant.in_use:
            del self.tenants[name]

    def _seat(self, name: str, tenant: Tenant, priority: Priority) -> None:
        """A tenant is in the round of a priority as long as it has a line there and may start a job of it."""
        line = tenant.lines[priority]
        if not line:
            del tenant.lines[priority]
        turn = self.rounds.get(priority)
        if line and (not tenant.is_full or (self.power_passes and priority is Priority.URGENT)):
            if turn is None:
                turn = self.rounds[priority] = Round()
            turn.tenants.setdefault(name)
        elif turn is not None:
            turn.tenants.pop(name, None)
            if not turn.tenants:
                del self.rounds[priority]

    def _rehearsal(self) -> Lane:
        """A lane that does what this one would do, and changes nothing of this one."""
        tenants = {name: tenant.rehearsal() for name, tenant in self.tenants.items()}
        rounds = {priority: Round(waits.passed, waits.tenants.copy()) for priority, waits in self.rounds.items()}
        return Lane(
            self.sessions, self.power_passes, self.users, self.in_use, self.waiting, dict(self.runs), tenants, rounds
        )
