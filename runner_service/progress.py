# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the orchestrator keeps of each request that it works on."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .contract.messages import TaskRequest, Update
from .contract.states import Event
from .core.lanes import Ticket
from .core.state import TreeState
from .core.steps import Outcome, Report, Start
from .logs import about
from .ports import ERRAND_UPDATES, Delivery, Errand, Tag

#: What is kept of a job's runs: the last ones.
TRACES = 10
_ENDS = frozenset({Event.DONE, Event.ERROR, Event.ROLLBACK_DONE, Event.ROLLBACK_ERROR})


class Run(NamedTuple):
    """What runs of a request; ``start`` None: all of it, in a process of its own."""

    stop: threading.Event
    start: Start | None = None


class Progress:
    """One request on its way. Touched by the orchestrator's thread only, but for the flags that stop runs."""

    def __init__(self, delivery: Delivery):
        self.delivery = delivery
        self.request: TaskRequest = delivery.request
        self.attempt = delivery.attempt
        self.partition = delivery.partition
        #: All deliveries of the request that wait for its end.
        self.tags: list[Tag] = [delivery.tag]
        #: It may have been begun before, and the API has not said yet that it is to be carried out.
        self.needs_word = delivery.again
        #: How often a runner broke off after it had begun it, as the API says.
        self.crashes = 0
        #: Until when it is not begun, so that other work gets on if it brings runners down.
        self.paused_until = 0.0
        #: It may bring down whoever carries it out, and is carried out in a process of its own.
        self.alone = False
        #: Its owner wants it stopped and undone.
        self.cancelled = False
        #: It is in the queues for its VMs, or holds them.
        self.has_claimed = False
        #: It has its hypervisor's lane open.
        self.has_lane = False
        self.state: TreeState | None = None
        #: Jobs that wait for a session or for their next try, and those that run.
        self.waiting: dict[str, Start] = {}
        self.running: dict[str, Run] = {}
        #: Nothing more is started for it. It is forgotten once nothing of it runs, and comes again.
        self.parked = False
        #: The broker may have given it to somebody else: what its runs say counts nothing.
        self.lost = False
        #: A defect of ours that it met: nothing more is started for it, and it is given up once nothing of it runs.
        self.defect: str | None = None
        #: It has ended without us: nothing more is started for it, and it is acknowledged once nothing of it runs.
        self.dropped = False
        #: The request as it came again before the runs of this one had ended.
        self.successors: list[Delivery] = []
        #: How often the API was asked for its word.
        self.questions = 0
        #: By job: when it could have run, how often it was run, and what Ansible said of its runs.
        self.offered_at: dict[str, float] = {}
        self._runs: Counter[str] = Counter()
        self._traces: dict[str, list[dict[str, Any]]] = {}
        #: How often a process of its own was brought down by it.
        self.strikes = 0
        #: How often it was offered to its lane as a whole.
        self.offers = 0
        self._sequence = delivery.sequence

    @property
    def id(self) -> str:
        return self.request.id

    def about(self, job_id: str | None = None) -> AbstractContextManager[None]:
        """Lines that are logged meanwhile are about the request, and the job."""
        return about(request=self.id, task=self.request.task.id, job=job_id, hypervisor=self.request.hypervisor.id)

    def ran(self, job_id: str, outcome: Outcome) -> None:
        """A run of the job has ended."""
        self._runs[job_id] += 1
        if outcome.trace is not None:
            self._traces.setdefault(job_id, []).append(outcome.trace)
            del self._traces[job_id][:-TRACES]

    def ticket(self, job_id: str) -> Ticket:
        return Ticket(self.id, job_id)

    @property
    def whole(self) -> Ticket:
        """Stands for all of the request in its lane, if it is carried out alone."""
        return self.ticket(next(self.request.task.jobs()).id)

    @property
    def is_void(self) -> bool:
        """What its runs say counts nothing."""
        return self.lost or self.dropped or self.defect is not None

    @property
    def is_paused(self) -> bool:
        """It is not begun yet. Whoever cancelled it does not wait for that."""
        return not self.cancelled and time.monotonic() < self.paused_until

    def errand(self) -> Errand:
        """What a process of its own is given."""
        sequence = self._sequence + self.strikes * ERRAND_UPDATES
        return Errand(request=self.request, attempt=self.attempt, sequence=sequence)

    def stop_runs(self) -> None:
        """End what runs of it."""
        for run in self.running.values():
            run.stop.set()

    def come_home(self) -> None:
        """It is not carried out by a process of its own any more: our updates are newer than those of all of them."""
        self.alone = False
        self._sequence += self.strikes * ERRAND_UPDATES

    def join(self, delivery: Delivery) -> None:
        """The same request came once more: published twice. Before anything is begun, the newest attempt counts."""
        self.tags.append(delivery.tag)
        if self.needs_word and delivery.attempt > self.attempt:
            self.attempt, self._sequence = delivery.attempt, 0

    def question(self, runner: str) -> Update:
        """Asks the API whether the request is to be carried out."""
        self.questions += 1
        return self.update(Report(self.request.task.id, Event.AGAIN), runner)

    def update(self, report: Report, runner: str) -> Update:
        """The next update of this attempt."""
        self._sequence += 1
        outcome = report.outcome or Outcome()
        runs = self._traces.pop(report.node_id, None) if report.event in _ENDS else None
        return Update(
            request_id=self.id, attempt=self.attempt, sequence=self._sequence, node_id=report.node_id,
            event=report.event, at=datetime.now(UTC).isoformat(), runner=runner, changed=outcome.changed,
            vm=outcome.vm, snapshots=outcome.snapshots, template=outcome.template, host=outcome.host,
            error=outcome.error,
            tries=self._runs.get(report.node_id) if report.event in _ENDS else None,
            trace={"runs": runs} if runs else None,
        )  # fmt: skip
