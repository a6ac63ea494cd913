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
from runner_service.core.steps import (
    Cancel,
    Ended,
    Finish,
    Happening,
    Outcome,
    Report,
    Start,
    Started,
    Step,
    Stop,
    Withdraw,
)

BROKEN = ErrorReport(code="driver.failed", message="it broke")
BUSY = ErrorReport(code="driver.busy", message="later", retryable=True)
#: The end of a run that nobody saw.
UNSEEN = Outcome(error=ErrorReport(code="runner.deadline", message="it took too long"), unseen=True)

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
        #: Jobs whose runs are to be stopped; how these end is the verdict's affair.
        self.stopped: set[str] = set()
        self.reports: list[tuple[str, Event]] = []
        self.outcomes: dict[tuple[str, Event], Outcome | None] = {}
        self.starts: list[Start] = []
        self.told: list[Happening] = []
        self.finished = 0
        self._take(steps)

    def _take(self, steps: tuple[Step, ...]) -> None:
        assert not (steps and self.finished), "nothing follows the end"
        for step in steps:
            match step:
                case Start():
                    busy = [start.job.id for start in (*self.waiting, *self.running)]
                    assert step.job.id not in busy, "a job is handed out once at a time"
                    self.waiting.append(step)
                case Withdraw(job_id):
                    [withdrawn] = [start for start in self.waiting if start.job.id == job_id]
                    self.waiting.remove(withdrawn)
                case Stop(job_id):
                    assert job_id in [start.job.id for start in self.running], "what is stopped runs"
                    self.stopped.add(job_id)
                case Report(node_id, event, outcome):
                    self.reports.append((node_id, event))
                    self.outcomes[node_id, event] = outcome
                case Finish():
                    self.finished += 1

    def start(self, place: int = 0) -> Start:
        start = self.waiting.pop(place)
        self.starts.append(start)
        self.running.append(start)
        self._tell(Started(start.job.id, start.run))
        return start

    def end(self, place: int = 0) -> None:
        start = self.running.pop(place)
        outcome = self.verdict(start)
        self.stopped.discard(start.job.id)
        self._tell(Ended(start.job.id, outcome, start.run))

    def cancel(self) -> None:
        self._tell(Cancel())

    def start_job(self, job_id: str) -> Start:
        return self.start([start.job.id for start in self.waiting].index(job_id))

    def end_job(self, job_id: str) -> None:
        self.end([start.job.id for start in self.running].index(job_id))

    def _tell(self, happening: Happening) -> None:
        self.told.append(happening)
        self.state, steps = after(self.state, happening)
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
        return [_named(start) for start in self.starts]


def _named(start: Start) -> str:
    undone = f" to undo {start.job.id}" if start.undo else ""
    return f"{'check ' if start.check else ''}{start.job.operation}{undone}"
