# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs: which of the jobs that have got a session share one, and the threads that they are carried out on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

from .contract.messages import ErrorReport
from .core.lanes import Lanes, Ticket
from .core.pace import Kind, Pace, kind_of
from .core.steps import Outcome, Start
from .ports import Batch, Ear, JobRunner, Work
from .progress import Progress

log = logging.getLogger(__name__)

#: Seconds between two looks at whether a run may begin.
_POLL = 0.1
#: Seconds that those of a run who are not to be stopped have to end, before it is ended for the sake of one that is.
STOP_PATIENCE = 2.0
#: The same for the sake of one whose turn has not come: it may never come, and then no other's work was in vain.
TURN_PATIENCE = 4.0


class Alike(NamedTuple):
    """What jobs have in common that may share a run."""

    #: Whose sessions they are, and what leads to the hypervisor.
    tenant: str
    hypervisor: tuple[str | bool | None, ...]
    kind: Kind
    undo: bool
    #: Of a job that is alone anyway: it has no VM of its own that tells it from others.
    job_id: str | None


class Member(NamedTuple):
    """One job of a run."""

    progress: Progress
    start: Start
    #: It is to be stopped.
    stop: threading.Event

    @property
    def ticket(self) -> Ticket:
        return self.progress.ticket(self.start.job.id)

    def work(self) -> Work:
        request, start = self.progress.request, self.start
        return Work(request_id=request.id, hypervisor=request.hypervisor, job=start.job, check=start.check)


def member(progress: Progress, start: Start) -> Member:
    return Member(progress, start, threading.Event())


@dataclass
class Team:
    """Jobs that share a run."""

    members: list[Member]
    #: How many of them have a session.
    sessions: int


def alike(progress: Progress, start: Start) -> Alike:
    there, job = progress.request.hypervisor, start.job
    trusted, secret = (there.validate_certs, there.ca_certificates), there.sealed_credentials
    hypervisor = (there.id, there.type, there.url, *trusted, secret)
    alone = None if job.vm_id else job.id
    kind = kind_of(there, job, check=start.check)
    return Alike(progress.request.tenant, hypervisor, kind, start.undo, alone)


class Teams:
    """Puts jobs together that have just got a session, and lets those follow that wait behind them, where such jobs are
    short."""

    def __init__(self, lanes: Lanes, pace: Pace, waiting: Callable[[Ticket], Member | None]):
        """``waiting`` gives a job that waits; None for what cannot share a run."""
        self._lanes = lanes
        self._pace = pace
        self._waiting = waiting

    def of(self, taken: Iterable[Member]) -> list[Team]:
        """Each job is in one team."""
        groups: dict[Alike, list[Member]] = {}
        for one in taken:
            groups.setdefault(alike(one.progress, one.start), []).append(one)
        return [team for kind, group in groups.items() for team in self._teams(kind, group)]

    def _teams(self, kind: Alike, group: list[Member]) -> list[Team]:
        size = self._pace.batch(kind.kind, len(group))
        if size == 1 or kind.job_id is not None or len({one.start.job.vm_id for one in group}) < len(group):
            return [Team([one], 1) for one in group]
        return [Team(group + self._followers(kind, group, size - len(group)), len(group))]

    def _followers(self, kind: Alike, group: list[Member], most: int) -> list[Member]:
        leaders, followers = [one.ticket for one in group], list[Member]()
        vms = {one.start.job.vm_id for one in group}

        def fits(ticket: Ticket) -> bool:
            one = self._waiting(ticket)
            if one is None or alike(one.progress, one.start) != kind or one.start.job.vm_id in vms:
                return False
            vms.add(one.start.job.vm_id)
            followers.append(one)
            return True

        while len(followers) < most and self._lanes.follow(leaders, fits) is not None:
            pass
        return followers


#: Is told of a job how it ended, and after how many seconds.
Told = Callable[[Member, Outcome, float], None]
#: Is told after how many seconds a run's first job has begun; None: it is over, whether one has or not.
Begun = Callable[[float | None], None]


class Runs:
    """Carries teams out on threads of a pool; ``ended`` is called there, once for each job."""

    def __init__(self, runner: JobRunner, pool: ThreadPoolExecutor, ended: Told):
        self._runner = runner
        self._pool = pool
        self._ended = ended

    def begin(self, team: Team, known: threading.Event, begun: Begun) -> None:
        """The team is carried out once the event is set."""
        self._pool.submit(_Course(team, self._ended, begun).run, self._runner, known)


class _Course:
    """A run on its way; for one thread."""

    def __init__(self, team: Team, ended: Told, begun: Begun):
        self._team = team
        self._ended = ended
        self._begun = begun
        self._left = {(one.ticket.request_id, one.ticket.job_id): one for one in team.members}
        self._has_turn: set[tuple[str, str]] = set()
        #: Since when who is to be stopped was seen, by whether its turn has come.
        self._seen: dict[bool, float] = {}
        self._began = time.monotonic()

    def run(self, runner: JobRunner, known: threading.Event) -> None:
        while not (known.wait(_POLL) or self.is_unwanted()):
            pass
        self._began = time.monotonic()
        batch = Batch(works=tuple(one.work() for one in self._team.members), sessions=self._team.sessions)
        ear = Ear(
            cancelled=self.is_unwanted, ended=lambda work, outcome: self._end(work.id, outcome),
            begun=self._turn_of,
        )  # fmt: skip
        try:
            runner.run(batch, ear)
        except Exception as error:  # the outermost loop: a defect must not leave a job without an end
            log.exception("the runner failed")
            self._end_rest(f"{type(error).__name__} in the runner")
        self._end_rest("nobody said how it ended")
        self._begun(None)

    def _end_rest(self, why: str) -> None:
        for work_id in list(self._left):
            self._end(work_id, Outcome(error=ErrorReport(code="runner.failed", message=why)))

    def _turn_of(self, work: Work) -> None:
        if not self._has_turn:
            self._begun(time.monotonic() - self._began)
        self._has_turn.add(work.id)

    def is_unwanted(self) -> bool:
        """Nobody wants what is left of it; or somebody wants it stopped, and the others have had time to end."""
        stopped = [work_id for work_id, one in self._left.items() if one.stop.is_set()]
        if not stopped:
            return False
        return len(stopped) == len(self._left) or any(
            self._has_been_patient(has_turn=work_id in self._has_turn) for work_id in stopped
        )

    def _has_been_patient(self, *, has_turn: bool) -> bool:
        now = time.monotonic()
        patience = STOP_PATIENCE if has_turn else TURN_PATIENCE
        return now - self._seen.setdefault(has_turn, now) > patience

    def _end(self, work_id: tuple[str, str], outcome: Outcome) -> None:
        one = self._left.pop(work_id)
        seconds = time.monotonic() - self._began if outcome.seconds is None else outcome.seconds
        with one.progress.about(one.start.job.id):
            self._ended(one, outcome if one.stop.is_set() else _not_its_fault(outcome), seconds)


def _not_its_fault(outcome: Outcome) -> Outcome:
    """A job that broke off because another one of its run was stopped is run again."""
    error = outcome.error
    if error is None or not outcome.unseen or error.code != "runner.stopped":
        return outcome
    return replace(outcome, innocent=True, error=replace(error, code="runner.no_result"))
