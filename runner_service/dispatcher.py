# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a free session to a run, and from the end of a run to what the core makes of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from .context import Context
from .contract.messages import ErrorReport
from .core.lanes import Ticket
from .core.pace import Pace, kind_of
from .core.steps import Ended, Happening, Outcome, Start, Started
from .ports import NOT_BEGUN, JobRunner
from .progress import Progress, Run
from .runs import Member, Runs, Team, Teams, member
from .scheduling import Scheduling
from .starts import Starts
from .suspects import Suspects

log = logging.getLogger(__name__)


class Dispatcher:
    """``advance`` tells the core what happened, ``limit`` looks that a run of a cancelled task does not take too long,
    and ``leave_if_idle`` is told that a run of a request has ended."""

    def __init__(
        self, context: Context, scheduling: Scheduling, suspects: Suspects, runner: JobRunner, pool: ThreadPoolExecutor
    ):
        self._context = context
        self._lanes = context.lanes
        self._requests = context.requests
        self._metrics = context.metrics
        self._scheduling = scheduling
        self._suspects = suspects
        self._runs = Runs(runner, pool, self._tell_ended)
        self._starts = Starts(context.rules.starts)
        self._pace = Pace()
        self._teams = Teams(self._lanes, self._pace, self._waiting)
        self.advance: Callable[[Progress, Happening], None]
        self.limit: Callable[[Progress, Run], None]
        self.leave_if_idle: Callable[[Progress], None]

    # -- begin --------------------------------------------------------------------------------------------------------

    def start_runs(self) -> None:
        """All that may run runs, or will once fewer runs are at their start."""
        while self._starts.is_free and (first := self._lanes.take()) is not None:
            taken = [one for ticket in self._of_its_lane(first) if (one := self._taken(ticket)) is not None]
            for team in self._teams.of(taken):
                self._start(team)

    def _of_its_lane(self, first: Ticket) -> Iterator[Ticket]:
        """The job, and all of its lane that may run beside it: they may share a run."""
        yield first
        while (ticket := self._lanes.take_beside(first)) is not None:
            yield ticket

    def _taken(self, ticket: Ticket) -> Member | None:
        """A job that can share a run; None: it was a whole request, and has been started."""
        if (one := self._waiting(ticket)) is not None:
            return one
        progress = self._requests[ticket.request_id]
        with progress.about(ticket.job_id):
            self._suspects.start(progress)
        return None

    def _waiting(self, ticket: Ticket) -> Member | None:
        """A job that waits by itself, and not a whole request."""
        progress = self._requests[ticket.request_id]
        return None if progress.alone else member(progress, progress.waiting[ticket.job_id])

    def _start(self, team: Team) -> None:
        self._context.alive()
        for one in team.members:
            with one.progress.about(one.start.job.id):
                self._started(one)
        start = self._starts.begin()
        self._runs.begin(team, self._known(team), partial(self._tell_begun, start))

    def _started(self, one: Member) -> None:
        progress, start, stop = one
        log.info("starts %s", _named(start))
        now, job = time.monotonic(), start.job
        del progress.waiting[job.id]
        self._metrics.waited(job.operation, now - progress.offered_at.pop(job.id, now))
        run = progress.running[job.id] = Run(stop, start)
        if progress.cancelled:
            self.limit(progress, run)
        self.advance(progress, Started(job.id, start.run))

    def _known(self, team: Team) -> threading.Event:
        """Set once the broker knows what has been reported. A request that comes again is begun only then, so that the
        API can count how often that brought a runner down, however fast it does."""
        known = threading.Event()
        if any(one.progress.attempt > 1 for one in team.members):
            self._context.broker.after_published(known.set)
        else:
            known.set()
        return known

    def _tell_begun(self, start: int, seconds: float | None) -> None:
        """On a thread of the pool."""
        self._context.inbox.put(partial(self._begun, start, seconds))

    def _begun(self, start: int, seconds: float | None) -> None:
        self._starts.end(start)
        if seconds is not None:
            self._pace.started(seconds)

    # -- end ----------------------------------------------------------------------------------------------------------

    def _tell_ended(self, one: Member, outcome: Outcome, seconds: float) -> None:
        """On a thread of the pool."""
        self._context.inbox.put(partial(self._ended, one.progress, one.start, outcome, seconds))

    def _ended(self, progress: Progress, start: Start, outcome: Outcome, seconds: float) -> None:
        job_id = start.job.id
        self._has_its_turn(self._lanes.release(progress.ticket(job_id)))
        del progress.running[job_id]
        with progress.about(job_id):
            if outcome.error and outcome.error.code == NOT_BEGUN and not progress.is_void:
                self._put_back(progress, start, outcome)
            else:
                self._judge(progress, start, outcome, seconds)
        self.leave_if_idle(progress)

    def _has_its_turn(self, ticket: Ticket | None) -> None:
        """A job has got the session of another one of its batch."""
        progress = self._requests.get(ticket.request_id) if ticket else None
        if ticket and progress and progress.cancelled and (run := progress.running.get(ticket.job_id)):
            self.limit(progress, run)

    def _judge(self, progress: Progress, start: Start, outcome: Outcome, seconds: float) -> None:
        log.info("ended%s: %s", ", and counts nothing" if progress.is_void else "", _verdict(outcome))
        self._metrics.job_ended(start.job.operation, outcome.error.code if outcome.error else None, seconds)
        if outcome.ok and (start.check or outcome.changed):
            self._pace.took(kind_of(progress.request.hypervisor, start.job, check=start.check), seconds)
        if not progress.is_void:
            progress.ran(start.job.id, outcome)
            self.advance(progress, Ended(start.job.id, outcome, start.run))

    def _put_back(self, progress: Progress, start: Start, outcome: Outcome) -> None:
        """Its batch ended before its turn. It waits again, as if it had not been taken, if it is still wanted."""
        if progress.cancelled and not start.undo:
            self.advance(progress, Ended(start.job.id, outcome, start.run))
            return
        log.info("was not begun: waits again")
        progress.waiting[start.job.id] = start
        self._scheduling.offer(progress, start)

    # -- stop ---------------------------------------------------------------------------------------------------------

    def stop(self, progress: Progress, job_id: str) -> None:
        """End the job's run; how it ended is told to the core later."""
        if (run := progress.running.get(job_id)) is not None:
            run.stop.set()
            return
        # It has been put back: for the core it has started.
        start = progress.waiting[job_id]
        self._scheduling.withdraw(progress, job_id)
        error = ErrorReport(code=NOT_BEGUN, message="was stopped before it had begun", begun=False)
        end = Ended(job_id, Outcome(error=error), start.run)
        self._context.inbox.put(partial(self._ended_unrun, progress, end))

    def _ended_unrun(self, progress: Progress, end: Ended) -> None:
        """Its connection may have been lost since, and it with it."""
        if self._requests.knows(progress) and not progress.is_void:
            self.advance(progress, end)


def _named(start: Start) -> str:
    what = f"{start.job.operation}{' to undo it' if start.undo else ''}"
    return f"{what} in check mode" if start.check else what


def _verdict(outcome: Outcome) -> str:
    if outcome.error is None:
        return "done" if outcome.changed else "done, nothing to change"
    return f"{outcome.error.code}: {' '.join(outcome.error.message.split())}"
