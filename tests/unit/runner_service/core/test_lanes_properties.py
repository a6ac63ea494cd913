# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for lanes whatever comes, goes, ends or changes, in any order: bounds, no loss, and bounded waiting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count, product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runner_service.core.lane import MAX_PASSED
from runner_service.core.lanes import Lanes, Priority, Ticket

HYPERVISORS = ("h", "g")
TENANTS = ("", "t", "u", "v")


def most_starts_before(priority: Priority, tenants: int) -> int:
    """The bound that ``lane`` states: other starts before the first job of one of so many tenants."""
    return tenants * (3 if priority is Priority.URGENT else MAX_PASSED + 2) - 1


class Waits(NamedTuple):
    """A waiting job, as the model knows it."""

    hypervisor: str
    tenant: str
    priority: Priority
    request: str


@dataclass
class Wait:
    """How long one tenant, or one request of it, has waited in a lane: in starts of others; and how long it may."""

    bound: int
    starts: int = 0


class LanesMachine(RuleBasedStateMachine):
    """Drives lanes beside a model that is as simple as it can be."""

    @initialize(sessions=st.lists(st.integers(1, 3), min_size=2, max_size=2), max_runs=st.integers(1, 6))
    def begin(self, sessions: list[int], max_runs: int) -> None:
        self.lanes = Lanes(max_runs)
        self.max_runs = max_runs
        self.sessions = dict(zip(HYPERVISORS, sessions, strict=True))
        self.passing = dict.fromkeys(HYPERVISORS, False)
        self.bounds: dict[tuple[str, str], int | None] = {}
        self.waiting: dict[Ticket, Waits] = {}
        #: Whether a run has a session, or passes the bounds.
        self.running: dict[Ticket, tuple[Waits, bool]] = {}
        self.tenant_waits: dict[tuple[str, str, Priority], Wait] = {}
        self.numbers = count()
        for hypervisor, bound in self.sessions.items():
            self.lanes.open(hypervisor, bound)

    # -- the model ----------------------------------------------------------------------------------------------------

    def in_use(self, hypervisor: str, tenant: str | None = None) -> int:
        runs = [waits for waits, has_session in self.running.values() if has_session]
        return sum(run.hypervisor == hypervisor and tenant in (None, run.tenant) for run in runs)

    def is_full(self, hypervisor: str, tenant: str) -> bool:
        bound = self.bounds.get((hypervisor, tenant))
        return bound is not None and self.in_use(hypervisor, tenant) >= bound

    def has_free_session(self, hypervisor: str) -> bool:
        return self.in_use(hypervisor) < self.sessions[hypervisor]

    def passes(self, hypervisor: str, priority: Priority) -> bool:
        return self.passing[hypervisor] and priority is Priority.URGENT

    def is_held(self, waits: Waits) -> bool:
        """By its tenant's bound."""
        return not self.passes(waits.hypervisor, waits.priority) and self.is_full(waits.hypervisor, waits.tenant)

    def can_start(self, waits: Waits) -> bool:
        free = self.has_free_session(waits.hypervisor) or self.passes(waits.hypervisor, waits.priority)
        return free and not self.is_held(waits)

    def observe_waits(self) -> None:
        """Begin to count for who waits and is not held since now; forget who does not wait any more, or is held."""
        now = {waits[:3] for waits in self.waiting.values() if not self.is_held(waits)}
        self.tenant_waits = {key: wait for key, wait in self.tenant_waits.items() if key in now}
        beside = Counter((hypervisor, priority) for hypervisor, _, priority in now)
        for key in now - set(self.tenant_waits):
            bound = most_starts_before(key[2], beside[key[0], key[2]])
            self.tenant_waits[key] = Wait(bound)

    def count_start(self, started: Waits) -> None:
        if self.has_free_session(started.hypervisor):
            self.tenant_waits.pop(started[:3])
            for key, wait in self.tenant_waits.items():
                wait.starts += key[0] == started.hypervisor
        elif started[:3] in self.tenant_waits:
            del self.tenant_waits[started[:3]]

    # -- what happens -------------------------------------------------------------------------------------------------

    @rule(
        place=st.tuples(st.sampled_from(HYPERVISORS), st.sampled_from(TENANTS), st.sampled_from(Priority)),
        request=st.integers(0, 2),
        bound=st.none() | st.integers(1, 3),
        jobs=st.integers(1, 4),
    )
    def offer(self, place: tuple[str, str, Priority], request: int, bound: int | None, jobs: int) -> None:
        hypervisor, tenant, priority = place
        for _ in range(jobs):
            ticket = Ticket(f"{tenant}-{request}", str(next(self.numbers)))
            self.lanes.offer(hypervisor, ticket, priority=priority, tenant=tenant, tenant_sessions=bound)
            self.waiting[ticket] = Waits(hypervisor, tenant, priority, ticket.request_id)
        self.bounds[hypervisor, tenant] = bound
        self.observe_waits()

    @rule()
    def take(self) -> None:
        expected = len(self.running) < self.max_runs and any(map(self.can_start, self.waiting.values()))
        ticket = self.lanes.take()
        assert (ticket is not None) == expected, "all that may start starts, and nothing else"
        if ticket is not None:
            waits = self.waiting[ticket]
            assert self.can_start(waits)
            self.count_start(waits)
            del self.waiting[ticket]
            has_session = self.has_free_session(waits.hypervisor) and not self.is_full(waits.hypervisor, waits.tenant)
            self.running[ticket] = waits, has_session
            self.observe_waits()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(list(self.running)))
        self.lanes.release(ticket)
        del self.running[ticket]
        self.observe_waits()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(list(self.waiting)))
        for _ in range(2):
            self.lanes.withdraw(ticket)
        del self.waiting[ticket]
        self.observe_waits()

    @rule(hypervisor=st.sampled_from(HYPERVISORS), sessions=st.integers(1, 4))
    def set_sessions(self, hypervisor: str, sessions: int) -> None:
        self.lanes.set_sessions(hypervisor, sessions)
        self.sessions[hypervisor] = sessions

    @rule(hypervisor=st.sampled_from(HYPERVISORS), passes=st.booleans())
    def another_request_opens_and_closes(self, hypervisor: str, passes: bool) -> None:
        self.lanes.open(hypervisor, self.sessions[hypervisor], power_passes=passes)
        self.lanes.close(hypervisor)
        self.passing[hypervisor] = passes
        self.observe_waits()

    # -- what holds ---------------------------------------------------------------------------------------------------

    @invariant()
    def the_numbers_are_right(self) -> None:
        assert self.lanes.running == len(self.running) <= self.max_runs
        waiting = Counter(waits.hypervisor for waits in self.waiting.values())
        shown = {view.hypervisor_id: view for view in self.lanes.overview()}
        for hypervisor in HYPERVISORS:
            runs = any(waits.hypervisor == hypervisor for waits, _ in self.running.values())
            assert (hypervisor in shown) == (runs or waiting[hypervisor] > 0)
            if hypervisor in shown:
                numbers = (self.sessions[hypervisor], self.in_use(hypervisor), waiting[hypervisor])
                assert shown[hypervisor][1:] == numbers

    @invariant()
    def nobody_waits_longer_than_the_bound_says(self) -> None:
        assert all(wait.starts <= wait.bound for wait in self.tenant_waits.values())

    @invariant()
    def the_order_names_all_that_wait_once(self) -> None:
        for hypervisor in HYPERVISORS:
            order = self.lanes.order(hypervisor, 1_000)
            assert sorted(order) == sorted(t for t, waits in self.waiting.items() if waits.hypervisor == hypervisor)
            assert [self.lanes.place(ticket) for ticket in order[-2:]] == list(range(1, len(order) + 1))[-2:]

    def teardown(self) -> None:
        """All that waits starts in the end, once, and nothing is kept of lanes that are done with."""
        if not hasattr(self, "lanes"):
            return
        while self.waiting or self.running:
            self.take()
            if self.running and (
                len(self.running) == self.max_runs or not any(map(self.can_start, self.waiting.values()))
            ):
                self.lanes.release(first := next(iter(self.running)))
                del self.running[first]
                self.observe_waits()
            self.nobody_waits_longer_than_the_bound_says()
        for hypervisor in HYPERVISORS:
            self.lanes.close(hypervisor)
        assert not (self.lanes._lanes or self.lanes._waiting or self.lanes._running or self.lanes._turns)


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

arrivals = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.sampled_from(Priority), st.integers(0, 3), st.none() | st.integers(1, 2)),
    max_size=40,
)


def fill(lanes: Lanes, waiting: list[tuple[str, Priority, int, int | None]]) -> None:
    for number, (tenant, priority, request, bound) in enumerate(waiting):
        ticket = Ticket(f"{tenant}-{request}", str(number))
        lanes.offer("h", ticket, priority=priority, tenant=tenant, tenant_sessions=bound)


@given(arrivals, st.integers(1, 4), st.integers(0, 10), st.booleans())
def test_the_order_comes_true_if_nothing_else_comes_and_what_runs_longest_ends_first(
    waiting: list[tuple[str, Priority, int, int | None]], sessions: int, before: int, passes: bool
) -> None:
    lanes = Lanes(1_000)
    lanes.open("h", sessions, power_passes=passes)
    fill(lanes, waiting)
    running = [ticket for _ in range(before) if (ticket := lanes.take()) is not None]
    foretold = lanes.order("h", 1_000)
    assert [lanes.place(ticket) for ticket in foretold] == list(range(1, len(foretold) + 1))
    assert lanes.order("h", 3) == foretold[:3]
    started = []
    while len(started) < len(foretold):
        if (ticket := lanes.take()) is not None:
            started.append(ticket)
            running.append(ticket)
        else:
            lanes.release(running.pop(0))
    assert started == foretold


@given(arrivals, st.integers(1, 4), st.data())
def test_without_bounds_of_tenants_the_order_comes_true_whatever_ends_first(
    waiting: list[tuple[str, Priority, int, int | None]], sessions: int, data: st.DataObject
) -> None:
    lanes = Lanes(1_000)
    lanes.open("h", sessions)
    fill(lanes, [(*arrival[:3], None) for arrival in waiting])
    foretold, started, running = lanes.order("h", 1_000), [], []
    while len(started) < len(foretold):
        if (ticket := lanes.take()) is not None:
            started.append(ticket)
            running.append(ticket)
        else:
            lanes.release(running.pop(data.draw(st.integers(0, len(running) - 1))))
    assert started == foretold


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(Priority),
    st.integers(1, 6),
    st.integers(1, 3),
    st.lists(st.lists(st.tuples(st.sampled_from(Priority), st.booleans()), max_size=4), max_size=60),
)
def test_no_adversary_makes_a_tenant_wait_longer_than_the_bound(
    priority: Priority, others: int, sessions: int, attack: list[list[tuple[Priority, bool]]]
) -> None:
    """The adversary chooses what comes before every start: more of tenants that are there, or of new ones."""
    lanes, numbers = Lanes(1_000), count()
    lanes.open("h", sessions)
    tenants = [f"t{number}" for number in range(others)]

    def come(at: Priority, tenant: str) -> None:
        number = next(numbers)
        lanes.offer("h", Ticket(f"r{number}", str(number)), priority=at, tenant=tenant)

    for tenant in tenants:
        for at in Priority:
            come(at, tenant)
    victim = Ticket("victim", "job")
    lanes.offer("h", victim, priority=priority, tenant="victim")
    bound = most_starts_before(priority, others + 1)
    for starts in range(bound + 1):
        for at, is_new in attack[starts % len(attack)] if attack else ():
            come(at, f"new {starts}" if is_new else tenants[starts % others])
        if (ticket := lanes.take()) == victim:
            return
        assert ticket is not None
        lanes.release(ticket)
    pytest.fail(f"the victim waited for more than {bound} others")


@pytest.mark.parametrize("tenants", [1, 2, 5])
def test_the_bound_of_the_lowest_priority_is_reached_so_it_cannot_be_stated_tighter(tenants: int) -> None:
    lanes, numbers = Lanes(1_000), count()
    lanes.open("h", 1)

    def come(at: Priority, tenant: str) -> None:
        number = next(numbers)
        lanes.offer("h", Ticket(f"r{number}", str(number)), priority=at, tenant=tenant)

    for number in range(tenants):
        come(Priority.LONG, f"t{number}")
    victim = lanes.order("h", tenants)[-1]
    starts = 0
    for at in (Priority.URGENT, Priority.ORDINARY):
        for _ in range(100):
            come(at, "busy")
    while (ticket := lanes.take()) != victim:
        assert ticket is not None
        lanes.release(ticket)
        starts += 1
    assert starts == most_starts_before(Priority.LONG, tenants)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(Priority), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_a_request_waits_for_its_turn_among_its_tenants_requests_and_no_longer(
    priority: Priority, tenants: int, requests: int, flood: int
) -> None:
    lanes, numbers = Lanes(1_000), count()
    lanes.open("h", 1)

    def come(at: Priority, tenant: str, request: str) -> None:
        lanes.offer("h", Ticket(request, str(next(numbers))), priority=at, tenant=tenant)

    for tenant, request in product(range(tenants), range(requests)):
        come(priority, f"t{tenant}", f"t{tenant}-{request}")
    victim = Ticket(f"t0-{requests - 1}", str(requests - 1))
    bound = requests * (most_starts_before(priority, tenants) + 1) - 1
    for starts in range(bound + 1):
        for at, tenant, number in product(Priority, range(tenants), range(flood)):
            come(at, f"t{tenant}", f"t{tenant}-new {starts} {number}")
        if (ticket := lanes.take()) == victim:
            return
        assert ticket is not None, starts
        lanes.release(ticket)
    pytest.fail(f"the request waited for more than {bound} others")
