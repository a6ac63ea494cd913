# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs: which of the jobs that have got a session share one, and the threads that they are carried out on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from .contract.messages import ErrorReport
from .contract.operations import Operation
from .core.lanes import Lanes, Ticket
from .core.pace import Kind, Pace
from .core.steps import Outcome, Start
from .ports import Batch, JobRunner, Work
from .progress import Progress

log = logging.getLogger(__name__)

#: Seconds between two looks at whether a run is still wanted.
_POLL = 0.1


class Alike(NamedTuple):
    """Jobs of one request that may share a run."""

    request_id: str
    operation: Operation
    undo: bool
    check: bool
    #: Of a job that is alone anyway: it has no VM of its own that tells it from others.
    job_id: str | None


@dataclass
class Team:
    """Jobs that share a run."""

    progress: Progress
    starts: list[Start]
    #: How many of them have a session.
    sessions: int
    stop: threading.Event = field(default_factory=threading.Event)


def alike(progress: Progress, start: Start) -> Alike:
    job = start.job
    return Alike(progress.id, job.operation, start.undo, start.check, None if job.vm_id else job.id)


def kind_of(progress: Progress, start: Start) -> Kind:
    return Kind(progress.request.hypervisor.id, start.job.operation, start.check)


def teams_of(taken: Iterable[tuple[Progress, Start]], lanes: Lanes, pace: Pace) -> list[Team]:
    """Put those together that have just got a session, and let more of their requests follow them, where such jobs are
    short; each job in one team."""
    groups: dict[Alike, list[tuple[Progress, Start]]] = {}
    for progress, start in taken:
        groups.setdefault(alike(progress, start), []).append((progress, start))
    return [team for group in groups.values() for team in _teams(group, lanes, pace)]


def _teams(group: Sequence[tuple[Progress, Start]], lanes: Lanes, pace: Pace) -> list[Team]:
    progress, first = group[0]
    starts = [start for _, start in group]
    size = pace.batch(kind_of(progress, first), len(starts))
    if size == 1 or first.job.vm_id is None:
        return [Team(progress, [start], 1) for start in starts]
    return [Team(progress, starts + _followers(progress, starts, lanes, size), len(starts))]


def _followers(progress: Progress, leaders: list[Start], lanes: Lanes, size: int) -> list[Start]:
    kind = alike(progress, leaders[0])

    def fits(ticket: Ticket) -> bool:
        return alike(progress, progress.waiting[ticket.job_id]) == kind

    tickets, followers = [progress.ticket(start.job.id) for start in leaders], list[Start]()
    while len(leaders) + len(followers) < size and (ticket := lanes.follow(tickets, fits)) is not None:
        followers.append(progress.waiting.pop(ticket.job_id))
    return followers


#: Is told of a job of a team how it ended, and after how many seconds.
Told = Callable[[Team, Start, Outcome, float], None]


class Runs:
    """Carries teams out on threads of a pool; ``ended`` is called there, once for each job."""

    def __init__(self, runner: JobRunner, pool: ThreadPoolExecutor, ended: Told):
        self._runner = runner
        self._pool = pool
        self._ended = ended

    def begin(self, team: Team, known: threading.Event) -> None:
        """The team is carried out once the event is set."""
        self._pool.submit(self._run, team, known)

    def _run(self, team: Team, known: threading.Event) -> None:
        while not (known.wait(_POLL) or team.stop.is_set()):
            pass
        waiting, began = {start.job.id: start for start in team.starts}, time.monotonic()

        def ended(job_id: str, outcome: Outcome) -> None:
            seconds = time.monotonic() - began if outcome.seconds is None else outcome.seconds
            self._ended(team, waiting.pop(job_id), outcome, seconds)

        with team.progress.about(team.starts[0].job.id):
            try:
                self._runner.run(_batch(team), team.stop.is_set, lambda work, outcome: ended(work.job.id, outcome))
            except Exception as error:  # the outermost loop: a defect must not leave a job without an end
                log.exception("the runner failed")
                what = f"{type(error).__name__} in the runner"
                for job_id in list(waiting):
                    ended(job_id, Outcome(error=ErrorReport(code="runner.failed", message=what)))


def _batch(team: Team) -> Batch:
    work = partial(Work, request_id=team.progress.id, hypervisor=team.progress.request.hypervisor)
    works = tuple(work(job=start.job, check=start.check) for start in team.starts)
    return Batch(works=works, sessions=team.sessions)
