# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a task tree through the core as a runner would, with every choice made by the test. Uses no fake."""

from __future__ import annotations

from collections.abc import Callable

from runner_service.contract.messages import ErrorReport, Task
from runner_service.contract.states import Event
from runner_service.core.orchestrator import after, begin
from runner_service.core.retry import RetryRule
from runner_service.core.state import TreeState
from runner_service.core.steps import Ended, Finish, Outcome, Report, Start, Started, Step, Withdraw

BROKEN = ErrorReport(code="driver.failed", message="it broke")
BUSY = ErrorReport(code="driver.busy", message="later", retryable=True)

Verdict = Callable[[Start], Outcome]


def done(_start: Start) -> Outcome:
    return Outcome(changed=True)


def failing(*job_ids: str, undoing: bool = False) -> Verdict:
    """These jobs fail (or their undoing does); all others are done."""
    return lambda start: (
        Outcome(error=BROKEN) if start.job.id in job_ids and start.undo is undoing else Outcome(changed=True)
    )


class Drive:
    """What came out: ``reports`` in order, as (node id, event)."""

    def __init__(self, task: Task, verdict: Verdict = done, **options: object):
        retry = RetryRule(max_tries=1)
        self.state: TreeState
        self.state, steps = begin(task, **{"retry": retry, **options})  # type: ignore[arg-type]
        self.verdict = verdict
        self.waiting: list[Start] = []
        self.running: list[Start] = []
        self.reports: list[tuple[str, Event]] = []
        self.outcomes: dict[tuple[str, Event], Outcome | None] = {}
        self.starts: list[Start] = []
        self.finished = 0
        self._take(steps)

    def _take(self, steps: tuple[Step, ...]) -> None:
        assert not (steps and self.finished), "nothing follows the end"
        for step in steps:
            match step:
                case Start():
                    self.waiting.append(step)
                case Withdraw(job_id):
                    self.waiting = [start for start in self.waiting if start.job.id != job_id]
                case Report(node_id, event, outcome):
                    self.reports.append((node_id, event))
                    self.outcomes[node_id, event] = outcome
                case Finish():
                    self.finished += 1

    def start(self, place: int = 0) -> Start:
        start = self.waiting.pop(place)
        self.starts.append(start)
        self.running.append(start)
        self._tell(Started(start.job.id))
        return start

    def end(self, place: int = 0) -> None:
        start = self.running.pop(place)
        self._tell(Ended(start.job.id, self.verdict(start)))

    def start_job(self, job_id: str) -> Start:
        return self.start([start.job.id for start in self.waiting].index(job_id))

    def end_job(self, job_id: str) -> None:
        self.end([start.job.id for start in self.running].index(job_id))

    def _tell(self, happening: Started | Ended) -> None:
        before = self.state
        self.state, steps = after(before, happening)
        self._take(steps)

    def to_the_end(self) -> Drive:
        while self.waiting or self.running:
            if self.waiting:
                self.start()
            else:
                self.end()
        return self

    def events(self, node_id: str) -> list[str]:
        return [event.value for node, event in self.reports if node == node_id]

    def ran(self) -> list[str]:
        return [f"{start.job.operation}{' to undo ' + start.job.id if start.undo else ''}" for start in self.starts]
