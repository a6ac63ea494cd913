# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orchestrator's shell: carries out what the core decides, and decides nothing.

One thread owns all state and reads one inbox. Requests, control messages, ends of runs and news of the connection come
in by it; runs are started on threads of a pool, updates and acknowledgements go to the broker.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from .companions import Companions
from .contract.control import Cancel, Control, Heartbeat, RunnerStatus, Sessions, TenantSessions, Word
from .contract.messages import ErrorReport
from .contract.states import Event
from .core import steps
from .core.lanes import Lanes, Ticket, priority_of
from .core.leaving import Move
from .core.orchestrator import after, begin, unasked
from .core.pace import Pace, kind_of
from .core.patience import Patience
from .core.retry import RetryRule
from .core.steps import Ended, Finish, Happening, Outcome, Report, Start, Started, Step, Stop, Withdraw
from .intake import Intake, Requests
from .logs import about
from .membership import FENCE, Membership
from .ports import NOT_BEGUN, Broker, Delivery, JobRunner
from .progress import Progress, Run
from .reporting import Reporter, View
from .runs import Member, Runs, Team, Teams, member
from .suspects import Suspects
from .timers import Timers

log = logging.getLogger(__name__)

#: Seconds between two looks at the connection and the other runners, and two heartbeats.
TICK = 1.0
#: Seconds without a sign of life from the broker, or from ourselves, after which what runs is ended: so long before the
#: broker gives our requests to somebody else (after two heartbeats, connection.HEARTBEAT) that it has ended by then.
CUT_OFF_AFTER = 10.0


@dataclass(frozen=True, kw_only=True)
class OrchestratorRules:
    """Bounds that the orchestrator keeps. Times in seconds."""

    name: str
    max_runs: int = 8
    partitions: int = 1
    retry: RetryRule = RetryRule()
    patience: Patience = Patience()
    fence: float = FENCE
    runner_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Orchestrator:
    """Takes requests, runs their jobs, reports. All public methods may be called from any thread."""

    def __init__(
        self, broker: Broker, runner: JobRunner, rules: OrchestratorRules, companions: Companions | None = None
    ):
        companions = companions or Companions()
        self._broker = broker
        self._rules = rules
        self._alive = companions.alive
        self._metrics = companions.metrics
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lanes = Lanes(rules.max_runs)
        self._timers = Timers()
        self._requests = Requests()
        self._membership = Membership(broker, rules, self._inbox.put)
        self._reporter = Reporter(rules.runner_id, rules.name, rules.max_runs)
        # A run still holds its thread for a moment when its last job has ended and the sessions are free.
        self._pool = ThreadPoolExecutor(2 * rules.max_runs, thread_name_prefix="run")
        self._runs = Runs(runner, self._pool, self._tell_ended)
        self._pace = Pace()
        self._teams = Teams(self._lanes, self._pace, self._waiting)
        self._suspects = Suspects(companions, self._lanes, self._pool, rules.fence)
        self._suspects.tell, self._suspects.finish = self._inbox.put, self._finish
        self._suspects.give_up, self._suspects.leave = self._give_up, self._forget_if_idle
        self._suspects.try_again = self._offer_whole
        self._intake = Intake(broker, self._requests, self._membership, self._timers, rules.name)
        self._intake.begin, self._intake.finish, self._intake.minding = self._begin, self._finish, self._minding
        #: By hypervisor: what was told last, which is newer than what requests say.
        self._bounds: dict[str, Sessions] = {}
        self._ticked = time.monotonic()
        self._stopping = False

    # -- from any thread ----------------------------------------------------------------------------------------------

    def take(self, delivery: Delivery) -> None:
        """Handle the request, unless it is somebody else's by now."""
        self._inbox.put(partial(self._taken, delivery))

    def told(self, message: Control) -> None:
        """Handle what the API, or another runner, says."""
        self._inbox.put(partial(self._told, message))

    def connection_lost(self) -> None:
        """All requests belong to the broker again. What runs is ended, because somebody else may begin it."""
        self._inbox.put(self._lost)

    def stop(self) -> None:
        """Start nothing more; ``run`` returns once what runs has ended."""
        self._inbox.put(self._stop)

    def cancel_runs(self) -> None:
        """End what runs, without a verdict: its requests stay with the broker."""
        self._inbox.put(self._lose_all)

    def run(self) -> None:
        """Work until stopped."""
        self._settle()
        while not (self._stopping and self._is_quiet()):
            happening = self._next()
            if happening is not None:
                happening()
            self._timers.ring()
            if time.monotonic() - self._ticked >= TICK:
                self._tick()
            self._start_runs()
        self._settle()
        self._pool.shutdown()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._inbox.get(timeout=self._timers.pause(max(0.0, self._ticked + TICK - time.monotonic())))
        except queue.Empty:
            return None

    def _is_quiet(self) -> bool:
        return self._lanes.running == 0

    # -- defects ------------------------------------------------------------------------------------------------------

    def _taken(self, delivery: Delivery) -> None:
        try:
            self._intake.taken(delivery)
        except Exception as error:  # its own outermost loop: a request that meets a defect ends, and no other
            with about(request=delivery.request.id):
                log.exception("cannot be taken")
            self._metrics.dead_letter()
            self._broker.give_up(delivery, _defect(error))

    @contextmanager
    def _minding(self, progress: Progress) -> Iterator[None]:
        """What goes wrong meanwhile is the end of this request, and of no other."""
        try:
            yield
        except Exception as error:  # its own outermost loop
            with progress.about():
                log.exception("cannot be carried on with")
            if self._requests.knows(progress) and not progress.is_void:
                progress.defect = _defect(error)
                for run in progress.running.values():
                    run.stop.set()
                self._park([progress])

    def _give_up(self, progress: Progress, reason: str) -> None:
        """The request goes to the dead letters; its task ends as failed, with the reason."""
        self._broker.give_up(progress.delivery, reason)
        for tag in progress.tags:
            if tag != progress.delivery.tag:
                self._broker.acknowledge(tag)
        self._metrics.dead_letter()
        self._requests.finish(progress.id)
        self._forget(progress)

    # -- control ------------------------------------------------------------------------------------------------------

    def _told(self, message: Control) -> None:
        match message:
            case Word():
                for bound in (message.sessions, message.tenant):
                    if bound is not None:
                        self._told(bound)
                self._intake.answered(message)
            case Cancel(request_id=request_id):
                self._cancelled(request_id)
            case Sessions():
                self._bound(message)
            case TenantSessions(tenant=tenant, open_sessions=sessions):
                self._lanes.set_tenant_sessions(tenant, sessions)
            case Heartbeat():
                self._membership.heard(message)

    def _bound(self, told: Sessions) -> None:
        """It holds for requests, too, that were made before it was told."""
        self._bounds[told.hypervisor_id] = told
        self._lanes.set_sessions(told.hypervisor_id, told.open_sessions, power_passes=told.power_passes)

    def _cancelled(self, request_id: str) -> None:
        progress = self._requests.get(request_id)
        if progress is None or progress.cancelled:
            return
        if progress.parked:
            self._stop_forward(progress)
            return
        with progress.about():
            log.info("is to be cancelled")
        progress.cancelled = True
        if progress.state is not None:
            self._advance(progress, steps.Cancel())
            for run in progress.running.values():
                self._limit(progress, run)
        # What waits for a session now is urgent.
        self._hold(progress)
        self._resume(progress)

    def _end_unasked(self, progress: Progress) -> None:
        """A cancelled suspect that has got no session soon enough: it is not handed out any more, and what there is of
        it people have to look for."""
        if progress.parked or progress.running or not self._requests.knows(progress):
            return
        with progress.about():
            log.warning("was cancelled and gets no session: ended without a look at what there is of it")
        self._lanes.withdraw(progress.whole)
        progress.come_home()
        with self._minding(progress):
            self._carry_out(progress, unasked(progress.request.task))

    def _stop_forward(self, progress: Progress) -> None:
        """It will come again, to whomever, and be undone there; but nobody waits for what hangs here."""
        for run in progress.running.values():
            if run.start is not None and not run.start.undo:
                run.stop.set()

    def _limit(self, progress: Progress, run: Run) -> None:
        """The owner of a cancelled task does not wait for ever for what is not stopped at once. What waits in its batch
        for its turn has all of its time from then on."""
        if run.start is None or not self._lanes.has_session(progress.ticket(run.start.job.id)):
            return
        if (patience := self._rules.patience.with_run(run.start)) is not None:
            self._timers.after(patience, partial(self._lose_patience, progress, run))

    def _lose_patience(self, progress: Progress, run: Run) -> None:
        if run.start and progress.running.get(run.start.job.id) is run:
            with progress.about(run.start.job.id):
                log.warning("takes too long for a task that was cancelled: ended")
            run.stop.set()

    # -- the connection, the other runners, and the end ---------------------------------------------------------------

    def _tick(self) -> None:
        """Look at the broker, at ourselves, and at the others; say how we are."""
        now = time.monotonic()
        silence, self._ticked = max(self._broker.silence(), now - self._ticked - TICK), now
        if silence < CUT_OFF_AFTER or self._is_quiet():
            self._alive()
        elif any(not progress.lost for progress in self._requests):
            log.error("nothing was heard of the broker for %.0f s", silence)
            self._broker.reset()
            self._lost()
        self._settle()

    @property
    def status(self) -> RunnerStatus | None:
        """What it last said of itself."""
        return self._reporter.latest

    def _settle(self) -> None:
        """Consume our share of the partitions, give up the rest, and say so."""
        moves = self._membership.settle(self._is_idle)
        for progress in self._requests_in(moves[Move.PAUSE]):
            if self._is_held(progress):
                self._hold(progress)
        for progress in self._requests_in(moves[Move.RESUME]):
            self._resume(progress)
        self._park(self._requests_in(moves[Move.GO]))
        self._membership.release(self._is_idle)
        view = View(requests=self._requests, lanes=self._lanes, claims=self._intake.claims, membership=self._membership)
        for word in self._reporter.words(view, stopping=self._stopping):
            self._broker.tell(word)

    def _is_idle(self, partition: int) -> bool:
        return not any(progress.running for progress in self._requests if progress.partition == partition)

    def _requests_in(self, partitions: Collection[int]) -> list[Progress]:
        return [progress for progress in self._requests if progress.partition in partitions]

    def _hold(self, progress: Progress) -> None:
        """Nothing is started for it until ``_resume``: its partition may be somebody else's soon."""
        for ticket in (progress.whole, *map(progress.ticket, progress.waiting)):
            self._lanes.withdraw(ticket)

    def _is_held(self, progress: Progress) -> bool:
        """Nothing of it is started. What its owner wants ended does not wait for a hand-over."""
        return progress.parked or (self._membership.is_paused(progress.partition) and not progress.cancelled)

    def _resume(self, progress: Progress) -> None:
        if progress.has_lane and progress.alone and not progress.running:
            self._offer_whole(progress)
        for start in progress.waiting.values():
            if not start.delay:
                self._offer(progress, start)

    def _park(self, requests: Iterable[Progress]) -> None:
        """Nothing more is started for these requests; they are forgotten once nothing of them runs."""
        parked = list(requests)
        for progress in parked:
            progress.parked = True
            self._hold(progress)
        for progress in parked:
            self._forget_if_idle(progress)

    def _lost(self) -> None:
        self._membership.lost()
        if len(self._requests):
            log.warning("connection lost: %d requests go back to the broker", len(self._requests))
        for progress in self._requests:
            progress.successors.clear()
        self._lose_all()

    def _lose_all(self) -> None:
        """End what runs; what it says counts nothing any more."""
        for progress in self._requests:
            progress.lost = True
            for run in progress.running.values():
                run.stop.set()
        self._park(self._requests)

    def _stop(self) -> None:
        log.info("stopping: %d runs are let end", self._lanes.running)
        self._stopping = True
        self._membership.stop()
        self._settle()

    # -- runs ---------------------------------------------------------------------------------------------------------

    def _begin(self, progress: Progress) -> None:
        with self._minding(progress):
            self._open_lane(progress)
            if progress.alone:
                self._offer_whole(progress)
                return
            with progress.about():
                log.info("begins, delivery %d", progress.attempt)
            progress.state, taken = begin(progress.request.task, attempt=progress.attempt, retry=self._rules.retry)
            self._carry_out(progress, taken)
            if progress.cancelled:
                self._advance(progress, steps.Cancel())

    def _open_lane(self, progress: Progress) -> None:
        hypervisor = progress.request.hypervisor
        bound = self._bounds.get(hypervisor.id, hypervisor)
        self._lanes.open(hypervisor.id, bound.open_sessions, power_passes=bound.power_passes)
        progress.has_lane = True

    def _start_runs(self) -> None:
        if self._stopping:
            return
        taken: list[Member] = []
        while (ticket := self._lanes.take()) is not None:
            if (one := self._waiting(ticket)) is not None:
                taken.append(one)
                continue
            progress = self._requests[ticket.request_id]
            with progress.about(ticket.job_id):
                self._suspects.start(progress)
        for team in self._teams.of(taken):
            self._start(team)

    def _waiting(self, ticket: Ticket) -> Member | None:
        """A job that waits by itself, and not a whole request."""
        progress = self._requests[ticket.request_id]
        return None if progress.alone else member(progress, progress.waiting[ticket.job_id])

    def _start(self, team: Team) -> None:
        self._alive()
        for one in team.members:
            with one.progress.about(one.start.job.id):
                self._started(one)
        self._runs.begin(team, self._known(team))

    def _started(self, one: Member) -> None:
        progress, start, stop = one
        log.info("starts %s", _named(start))
        now, job = time.monotonic(), start.job
        del progress.waiting[job.id]
        self._metrics.waited(job.operation, now - progress.offered_at.pop(job.id, now))
        run = progress.running[job.id] = Run(stop, start)
        if progress.cancelled:
            self._limit(progress, run)
        self._advance(progress, Started(job.id, start.run))

    def _known(self, team: Team) -> threading.Event:
        """Set once the broker knows what has been reported. A request that comes again is begun only then, so that the
        API can count how often that brought a runner down, however fast it does."""
        known = threading.Event()
        if any(one.progress.attempt > 1 for one in team.members):
            self._broker.after_published(known.set)
        else:
            known.set()
        return known

    def _ended(self, progress: Progress, start: Start, outcome: Outcome, seconds: float) -> None:
        job_id = start.job.id
        self._has_its_turn(self._lanes.release(progress.ticket(job_id)))
        del progress.running[job_id]
        with progress.about(job_id):
            if outcome.error and outcome.error.code == NOT_BEGUN and not progress.is_void:
                self._put_back(progress, start, outcome)
            else:
                self._judge(progress, start, outcome, seconds)
        self._forget_if_idle(progress)

    def _has_its_turn(self, ticket: Ticket | None) -> None:
        progress = self._requests.get(ticket.request_id) if ticket else None
        if ticket and progress and progress.cancelled and (run := progress.running.get(ticket.job_id)):
            self._limit(progress, run)

    def _tell_ended(self, one: Member, outcome: Outcome, seconds: float) -> None:
        """On a thread of the pool."""
        self._inbox.put(partial(self._ended, one.progress, one.start, outcome, seconds))

    def _judge(self, progress: Progress, start: Start, outcome: Outcome, seconds: float) -> None:
        log.info("ended%s: %s", ", and counts nothing" if progress.is_void else "", _verdict(outcome))
        self._metrics.job_ended(start.job.operation, outcome.error.code if outcome.error else None, seconds)
        if outcome.ok and (start.check or outcome.changed):
            self._pace.took(kind_of(progress.request.hypervisor.id, start.job, check=start.check), seconds)
        if not progress.is_void:
            progress.ran(start.job.id, outcome)
            self._advance(progress, Ended(start.job.id, outcome, start.run))

    def _put_back(self, progress: Progress, start: Start, outcome: Outcome) -> None:
        """Its batch ended before its turn. It waits again, as if it had not been taken, if it is still wanted."""
        if progress.cancelled and not start.undo:
            self._advance(progress, Ended(start.job.id, outcome, start.run))
            return
        log.info("was not begun: waits again")
        progress.waiting[start.job.id] = start
        self._offer(progress, start)

    def _stop_run(self, progress: Progress, job_id: str) -> None:
        if (run := progress.running.get(job_id)) is not None:
            run.stop.set()
            return
        # It has been put back: for the core it has started.
        start = progress.waiting.pop(job_id)
        self._lanes.withdraw(progress.ticket(job_id))
        error = ErrorReport(code=NOT_BEGUN, message="was stopped before it had begun", begun=False)
        self._inbox.put(partial(self._ended_unrun, progress, Ended(job_id, Outcome(error=error), start.run)))

    def _ended_unrun(self, progress: Progress, end: Ended) -> None:
        """Its connection may have been lost since, and it with it."""
        if self._requests.knows(progress) and not progress.is_void:
            self._advance(progress, end)

    # -- what is done about it ----------------------------------------------------------------------------------------

    def _advance(self, progress: Progress, happening: Happening) -> None:
        with self._minding(progress):
            assert progress.state is not None
            progress.state, taken = after(progress.state, happening)
            self._carry_out(progress, taken)

    def _carry_out(self, progress: Progress, taken: tuple[Step, ...]) -> None:
        for step in taken:
            match step:
                case Start():
                    progress.waiting[step.job.id] = step
                    self._offer(progress, step)
                case Withdraw(job_id):
                    progress.waiting.pop(job_id, None)
                    self._lanes.withdraw(progress.ticket(job_id))
                case Stop(job_id):
                    self._stop_run(progress, job_id)
                case Report():
                    self._broker.publish(progress.update(step, self._rules.name))
                case Finish():
                    self._finish(progress)

    def _offer(self, progress: Progress, start: Start) -> None:
        """Queue the job in its lane, or set the timer that does; while its request is held, it stays where it is."""
        if progress.parked:
            return
        if start.delay:
            self._metrics.retried(start.job.operation)
            self._timers.after(start.delay, partial(self._retry, progress, start))
            return
        if self._is_held(progress):
            return
        request = progress.request
        progress.offered_at[start.job.id] = time.monotonic()
        self._lanes.offer(
            request.hypervisor.id, progress.ticket(start.job.id),
            priority=priority_of(start.job.operation, undo=start.undo or progress.cancelled), tenant=request.tenant,
            tenant_sessions=request.tenant_sessions,
        )  # fmt: skip

    def _offer_whole(self, progress: Progress) -> None:
        if self._is_held(progress):
            return
        self._suspects.offer(progress)
        if progress.cancelled:
            self._timers.after(self._rules.patience.asking, partial(self._end_unasked, progress))

    def _retry(self, progress: Progress, start: Start) -> None:
        if progress.waiting.get(start.job.id) is start and self._requests.knows(progress):
            now = progress.waiting[start.job.id] = start._replace(delay=0.0)
            self._offer(progress, now)

    def _finish(self, progress: Progress) -> None:
        with progress.about():
            log.info("has ended")
        self._requests.finish(progress.id)
        for tag in progress.tags:
            self._broker.acknowledge(tag)
        self._forget(progress)

    def _forget_if_idle(self, progress: Progress) -> None:
        if not progress.parked or progress.running or not self._requests.knows(progress):
            return
        if progress.defect is not None and not progress.lost:
            self._give_up(progress, progress.defect)
            return
        if progress.state is not None and not progress.lost:
            self._broker.publish(progress.update(Report(progress.request.task.id, Event.BACK), self._rules.name))
        self._forget(progress)

    def _forget(self, progress: Progress) -> None:
        self._requests.remove(progress)
        if progress.has_lane:
            self._lanes.close(progress.request.hypervisor.id)
        self._intake.release(progress)


def _defect(error: Exception) -> str:
    return f"a defect in the runner ({type(error).__name__}), of which its log has more"


def _named(start: Start) -> str:
    what = f"{start.job.operation}{' to undo it' if start.undo else ''}"
    return f"{what} in check mode" if start.check else what


def _verdict(outcome: Outcome) -> str:
    if outcome.error is None:
        return "done" if outcome.changed else "done, nothing to change"
    return f"{outcome.error.code}: {' '.join(outcome.error.message.split())}"
