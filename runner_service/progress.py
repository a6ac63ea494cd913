# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the orchestrator keeps of each request that it works on, and of those that it has done with."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime

from .contract.messages import TaskRequest, Update
from .core.state import TreeState
from .core.steps import Outcome, Report, Start
from .ports import Delivery, Tag


class Progress:
    """One request on its way. Touched by the orchestrator's thread only."""

    def __init__(self, delivery: Delivery):
        self.request: TaskRequest = delivery.request
        self.attempt = delivery.attempt
        #: All deliveries of the request that wait for its end.
        self.tags: list[Tag] = [delivery.tag]
        self.state: TreeState | None = None
        #: Jobs that wait for a session or for their next try, and those that run.
        self.waiting: dict[str, Start] = {}
        self.running: set[str] = set()
        #: The broker may have given the request to somebody else: nothing is started for it.
        self.parked = False
        self._sequence = 0

    @property
    def id(self) -> str:
        return self.request.id

    def attach(self, delivery: Delivery) -> None:
        """The request came again: over a new connection, or published twice."""
        if delivery.tag.connection != self.tags[-1].connection:
            self.tags.clear()
            self.attempt, self._sequence = max(self.attempt + 1, delivery.attempt), 0
        self.tags.append(delivery.tag)
        self.parked = False

    def update(self, report: Report, runner: str) -> Update:
        """The next update of this attempt."""
        self._sequence += 1
        outcome = report.outcome or Outcome()
        return Update(
            request_id=self.id, attempt=self.attempt, sequence=self._sequence, node_id=report.node_id,
            event=report.event, at=datetime.now(UTC).isoformat(), runner=runner, changed=outcome.changed,
            vm=outcome.vm, host=outcome.host, error=outcome.error,
        )  # fmt: skip


class Finished:
    """The ids of requests that ended lately: one that comes again is acknowledged and not carried out again."""

    def __init__(self, size: int = 10_000):
        self._size = size
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, request_id: str) -> None:
        self._ids[request_id] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._ids
