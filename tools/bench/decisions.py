# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one decision of the lanes costs: a job comes, one ends, one starts, and others follow it in its batch."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from runner_service.core.lanes import Lanes, Priority, Ticket
from tools.bench.chart import Chart, svg
from tools.bench.figures import Figure, Sizes, at_most

DECISION_US = 1_000
#: A decision's cost counts as flat if the largest size costs at most so many times what the smallest does: many jobs do
#: not fit in the processor's caches, which no algorithm changes.
FLAT = 4
TRIES = 3
BY_WAITING = "decision, waiting jobs"
BY_LANES = "decision, lanes"
#: So many jobs follow another one in its batch.
FOLLOWERS = 8
BY_BATCHES = f"decision, a batch of {FOLLOWERS + 1}"


class Busy:
    """Lanes in which all sessions are in use and jobs of several tenants, requests and priorities wait."""

    def __init__(
        self, hypervisors: int, waiting: int, *, max_runs: int = 64, tenants: int = 20,
        priorities: Sequence[Priority] = tuple(Priority),
    ):  # fmt: skip
        self.lanes = Lanes(max_runs)
        self._tenants = [f"tenant-{number}" for number in range(tenants)]
        self._priorities = priorities
        self._hypervisors = [f"hypervisor-{number}" for number in range(hypervisors)]
        self._chance = random.Random(1)
        self._numbers = count()
        for hypervisor in self._hypervisors:
            self.lanes.open(hypervisor, 2)
        for ticket in self.tickets(waiting):
            self.offer(ticket)
        self.running = list(iter(self.lanes.take, None))

    def tickets(self, number: int) -> list[Ticket]:
        return [Ticket(f"request-{self._chance.randrange(1_000)}", f"job-{next(self._numbers)}") for _ in range(number)]

    def offer(self, ticket: Ticket) -> None:
        hypervisor, tenant = self._chance.choice(self._hypervisors), self._chance.choice(self._tenants)
        self.lanes.offer(hypervisor, ticket, priority=self._chance.choice(self._priorities), tenant=tenant)

    def decide(self, ticket: Ticket) -> None:
        """One job comes, one ends, and one starts."""
        self.offer(ticket)
        self.lanes.release(self.running.pop(self._chance.randrange(len(self.running))))
        started = self.lanes.take()
        assert started is not None
        self.running.append(started)

    def decide_on_a_batch(self, ticket: Ticket) -> None:
        """One job comes, one ends, and one starts with others that follow it: these end at once, and come again."""
        self.decide(ticket)
        leader = self.running[-1:]
        followers = [self.lanes.follow(leader, lambda _ticket: True) for _ in range(FOLLOWERS)]
        for follower in filter(None, followers):
            self.lanes.release(follower)
            self.offer(follower)


def crowded(_hypervisors: int, waiting: int) -> Busy:
    """One lane, in which all wait at one seat, so that there is always somebody who can follow."""
    return Busy(1, waiting, tenants=1, priorities=(Priority.ORDINARY,))


Decide = Callable[[Busy, Ticket], None]
Make = Callable[[int, int], Busy]


def costs_of_decisions(
    hypervisors: int, waiting: int, decisions: int, *, make: Make = Busy, decide: Decide = Busy.decide
) -> list[float]:
    """In microseconds, sorted; the garbage collector is on, as in the runner.

    The same decisions are made several times, and the least cost of each counts: what the machine does beside strikes
    another decision each time, while what our own does (a long search, a garbage collection) comes again at the same.
    """
    tries = [list(_series(make, decide, hypervisors, waiting, decisions)) for _ in range(TRIES)]
    return sorted(map(min, zip(*tries, strict=True)))


def _series(make: Make, decide: Decide, hypervisors: int, waiting: int, decisions: int) -> Iterator[float]:
    # So that every series meets the same garbage collections.
    gc.collect()
    busy = make(hypervisors, waiting)
    for ticket in busy.tickets(decisions):
        began = time.thread_time_ns()
        decide(busy, ticket)
        yield (time.thread_time_ns() - began) / 1_000


def decision_figures(case: str, costs: dict[int, list[float]]) -> Iterator[Figure]:
    medians = {}
    for size, sample in costs.items():
        medians[size] = sample[len(sample) // 2]
        ranks = {"median": medians[size], "p99": sample[len(sample) * 99 // 100], "max": sample[-1]}
        for rank, value in ranks.items():
            yield at_most(DECISION_US, f"{case}: {rank}", size, value, "us")
    yield at_most(FLAT, f"{case}: largest / smallest", max(medians), medians[max(medians)] / medians[min(medians)], "x")


def measure_decisions(sizes: Sizes) -> Iterator[Figure]:
    by_waiting = {size: costs_of_decisions(sizes.lanes, size, sizes.decisions) for size in sizes.waiting_steps}
    yield from decision_figures(BY_WAITING, by_waiting)
    by_lanes = {size: costs_of_decisions(size, sizes.waiting, sizes.decisions) for size in sizes.lane_steps}
    yield from decision_figures(BY_LANES, by_lanes)
    in_batches = {
        size: costs_of_decisions(sizes.lanes, size, sizes.decisions, make=crowded, decide=Busy.decide_on_a_batch)
        for size in sizes.waiting_steps
    }
    yield from decision_figures(BY_BATCHES, in_batches)


def picture(figures: list[Figure]) -> str:
    def chart(case: str, title: str, across: str) -> Chart:
        lines = {
            rank: [(figure.size, figure.value) for figure in figures if figure.case == f"{case}: {rank}"]
            for rank in ("median", "p99", "max")
        }
        return Chart(title=title, across=across, up="microseconds", lines=lines, target=DECISION_US)

    return svg(
        [
            chart(BY_WAITING, "Cost of one decision as more jobs wait", "jobs that wait"),
            chart(BY_LANES, "Cost of one decision as there are more lanes", "lanes"),
            chart(BY_BATCHES, f"Cost of one decision on a batch of {FOLLOWERS + 1}", "jobs that wait"),
        ]
    )
