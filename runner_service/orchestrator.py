# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orchestrator's shell: carries out what the core decides, and decides nothing.

One thread owns all state and reads one inbox. Requests, control messages, ends of runs and news of the connection come
in by it; runs are started on threads of a pool, updates and acknowledgements go to the broker. What it knows is in the
``context``. What it does to a request is in parts: ``intake`` leads it to its beginning, ``scheduling`` offers its jobs
to lanes, ``dispatcher`` has them run, ``cancelling`` ends it before its time, and ``settlement`` is its end.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from .cancelling import Cancelling
from .companions import Companions
from .context import Context, OrchestratorRules
from .contract.control import Cancel, Control, Drop, Heartbeat, RunnerStatus, Sessions, TenantSessions, Word
from .core import steps
from .core.leaving import Move
from .core.orchestrator import after, begin
from .core.steps import Finish, Happening, Report, Start, Step, Stop, Withdraw
from .dispatcher import Dispatcher
from .intake import Intake
from .ports import Broker, Delivery, JobRunner
from .progress import Progress
from .reporting import Reporter, View
from .scheduling import Scheduling
from .settlement import Settlement
from .suspects import Suspects

__all__ = ["Orchestrator", "OrchestratorRules"]

log = logging.getLogger(__name__)

#: Seconds between two looks at the connection and the other runners, and two heartbeats.
TICK = 1.0
#: Seconds without a sign of life from the broker, or from ourselves, after which what runs is ended: so long before the
#: broker gives our requests to somebody else (after two heartbeats, connection.HEARTBEAT) that it has ended by then.
CUT_OFF_AFTER = 10.0


class Orchestrator:
    """Takes requests, runs their jobs, reports. All public methods may be called from any thread."""

    def __init__(
        self, broker: Broker, runner: JobRunner, rules: OrchestratorRules, companions: Companions | None = None
    ):
        companions = companions or Companions()
        self._context = context = Context(broker, rules, companions)
        self._broker = broker
        self._rules = rules
        self._inbox = context.inbox
        self._lanes = context.lanes
        self._requests = context.requests
        self._membership = context.membership
        self._reporter = Reporter(rules.runner_id, rules.name, rules.max_runs)
        # A run still holds its thread for a moment when its last job has ended and the sessions are free.
        self._pool = ThreadPoolExecutor(2 * rules.max_runs, thread_name_prefix="run")
        self._suspects = Suspects(companions, self._lanes, self._pool, rules.fence)
        self._intake = Intake(broker, self._requests, self._membership, context.timers, rules.name)
        self._scheduling = Scheduling(context, self._suspects)
        self._settlement = Settlement(context, self._scheduling, self._intake)
        self._dispatcher = Dispatcher(context, self._scheduling, self._suspects, runner, self._pool)
        self._cancelling = Cancelling(context, self._scheduling, self._settlement)
        self._connect()
        #: By hypervisor: what was told last, which is newer than what requests say.
        self._bounds: dict[str, Sessions] = {}
        self._ticked = time.monotonic()
        self._stopping = False

    def _connect(self) -> None:
        """The parts tell each other what they have to."""
        settlement, suspects = self._settlement, self._suspects
        suspects.tell, suspects.finish = self._inbox.put, settlement.finish
        suspects.give_up, suspects.leave = settlement.give_up, settlement.leave_if_idle
        suspects.try_again = self._scheduling.offer_whole
        intake, dispatcher, cancelling = self._intake, self._dispatcher, self._cancelling
        intake.begin, intake.finish, intake.minding = self._begin, settlement.finish, settlement.minding
        dispatcher.advance, dispatcher.limit = self._advance, cancelling.limit
        dispatcher.leave_if_idle = settlement.leave_if_idle
        cancelling.advance, cancelling.carry_out = self._advance, self._carry_out
        self._scheduling.gets_no_session = cancelling.end_unasked

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
        self._inbox.put(self._settlement.lose_all)

    def run(self) -> None:
        """Work until stopped."""
        self._rebalance()
        while not (self._stopping and self._is_quiet()):
            happening = self._next()
            if happening is not None:
                happening()
            self._context.timers.ring()
            if time.monotonic() - self._ticked >= TICK:
                self._tick()
            if not self._stopping and self._broker.silence() < CUT_OFF_AFTER:
                self._dispatcher.start_runs()
        self._rebalance()
        self._pool.shutdown()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._inbox.get(timeout=self._context.timers.pause(max(0.0, self._ticked + TICK - time.monotonic())))
        except queue.Empty:
            return None

    def _is_quiet(self) -> bool:
        return self._lanes.running == 0

    def _taken(self, delivery: Delivery) -> None:
        try:
            self._intake.taken(delivery)
        except Exception as error:  # noqa: BLE001  # its own outermost loop: it ends with its defect, and no other does
            self._settlement.refuse(delivery, error)

    # -- control ------------------------------------------------------------------------------------------------------

    def _told(self, message: Control) -> None:
        match message:
            case Word():
                self._answered(message)
            case Cancel(request_id=request_id):
                self._cancelling.cancel(request_id)
            case Drop(request_id=request_id):
                self._settlement.drop(request_id)
            case Sessions():
                self._bound(message)
            case TenantSessions(tenant=tenant, open_sessions=sessions):
                self._lanes.set_tenant_sessions(tenant, sessions)
            case Heartbeat():
                self._membership.heard(message)

    def _answered(self, word: Word) -> None:
        for bound in (word.sessions, word.tenant):
            if bound is not None:
                self._told(bound)
        self._intake.answered(word)

    def _bound(self, told: Sessions) -> None:
        """It holds for requests, too, that were made before it was told."""
        self._bounds[told.hypervisor_id] = told
        self._lanes.set_sessions(told.hypervisor_id, told.open_sessions, power_passes=told.power_passes)

    # -- the connection, the other runners, and the end ---------------------------------------------------------------

    def _tick(self) -> None:
        """Look at the broker, at ourselves, and at the others; say how we are."""
        now = time.monotonic()
        silence, self._ticked = max(self._broker.silence(), now - self._ticked - TICK), now
        has_requests = any(not progress.lost for progress in self._requests)
        if silence < CUT_OFF_AFTER or not (has_requests or self._lanes.running):
            self._context.alive()
        elif has_requests:
            log.error("nothing was heard of the broker for %.0f s", silence)
            self._broker.reset()
            self._lost()
        self._rebalance()

    @property
    def status(self) -> RunnerStatus | None:
        """What it last said of itself."""
        return self._reporter.latest

    def _rebalance(self) -> None:
        """Consume our share of the partitions, give up the rest, and say so."""
        moves = self._membership.settle(self._is_idle)
        for progress in self._requests_in(moves[Move.PAUSE]):
            if self._scheduling.is_held(progress):
                self._scheduling.hold(progress)
        for progress in self._requests_in(moves[Move.RESUME]):
            self._scheduling.resume(progress)
        self._settlement.park(self._requests_in(moves[Move.GO]))
        self._membership.release(self._is_idle)
        view = View(requests=self._requests, lanes=self._lanes, claims=self._intake.claims, membership=self._membership)
        for word in self._reporter.words(view, stopping=self._stopping):
            self._broker.tell(word)

    def _is_idle(self, partition: int) -> bool:
        return not any(progress.running for progress in self._requests if progress.partition == partition)

    def _requests_in(self, partitions: Collection[int]) -> list[Progress]:
        return [progress for progress in self._requests if progress.partition in partitions]

    def _lost(self) -> None:
        self._membership.lost()
        if len(self._requests):
            log.warning("connection lost: %d requests go back to the broker", len(self._requests))
        for progress in self._requests:
            progress.successors.clear()
        self._settlement.lose_all()

    def _stop(self) -> None:
        log.info("stopping: %d runs are let end", self._lanes.running)
        self._stopping = True
        self._membership.stop()
        self._rebalance()

    # -- what the core says -------------------------------------------------------------------------------------------

    def _begin(self, progress: Progress) -> None:
        with self._settlement.minding(progress):
            self._open_lane(progress)
            if progress.alone:
                self._scheduling.offer_whole(progress)
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

    def _advance(self, progress: Progress, happening: Happening) -> None:
        with self._settlement.minding(progress):
            assert progress.state is not None
            progress.state, taken = after(progress.state, happening)
            self._carry_out(progress, taken)

    def _carry_out(self, progress: Progress, taken: tuple[Step, ...]) -> None:
        for step in taken:
            match step:
                case Start():
                    progress.waiting[step.job.id] = step
                    self._scheduling.offer(progress, step)
                case Withdraw(job_id):
                    self._scheduling.withdraw(progress, job_id)
                case Stop(job_id):
                    self._dispatcher.stop(progress, job_id)
                case Report():
                    self._broker.publish(progress.update(step, self._rules.name))
                case Finish():
                    self._settlement.finish(progress)
