# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the orchestrator keeps of each request that it works on."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from .contract.messages import TaskRequest, Update
from .contract.states import Event
from .core.lanes import Ticket
from .core.state import TreeState
from .core.steps import Outcome, Report, Start
from .ports import ERRAND_UPDATES, Delivery, Errand, Tag


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
        #: Its owner wants it stopped and undone.
        self.cancelled = False
        #: It is in the queues for its VMs, or holds them.
        self.has_claimed = False
        self.state: TreeState | None = None
        #: Jobs that wait for a session or for their next try, and those that run, with the flag that stops each.
        self.waiting: dict[str, Start] = {}
        self.running: dict[str, threading.Event] = {}
        #: Nothing more is started for it. It is forgotten once nothing of it runs, and comes again.
        self.parked = False
        #: The broker may have given it to somebody else: what its runs say counts nothing.
        self.lost = False
        #: The request as it came again before the runs of this one had ended.
        self.successor: Delivery | None = None
        #: How often a process of its own was brought down by it.
        self.strikes = 0
        self._sequence = delivery.sequence

    @property
    def id(self) -> str:
        return self.request.id

    def ticket(self, job_id: str) -> Ticket:
        return Ticket(self.id, job_id)

    def errand(self) -> Errand:
        """What a process of its own is given."""
        sequence = self._sequence + self.strikes * ERRAND_UPDATES
        return Errand(request=self.request, attempt=self.attempt, sequence=sequence)

    def question(self, runner: str) -> Update:
        """Asks the API whether the request is to be carried out."""
        return self.update(Report(self.request.task.id, Event.AGAIN), runner)

    def update(self, report: Report, runner: str) -> Update:
        """The next update of this attempt."""
        self._sequence += 1
        outcome = report.outcome or Outcome()
        return Update(
            request_id=self.id, attempt=self.attempt, sequence=self._sequence, node_id=report.node_id,
            event=report.event, at=datetime.now(UTC).isoformat(), runner=runner, changed=outcome.changed,
            vm=outcome.vm, host=outcome.host, error=outcome.error,
        )  # fmt: skip
