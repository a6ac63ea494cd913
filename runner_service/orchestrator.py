# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orchestrator's shell: carries out what the core decides, and decides nothing.

One thread owns all state and reads one inbox. Requests, ends of runs and news of the connection come in by it; runs
are started on threads of a pool, updates and acknowledgements go to the broker.
"""

from __future__ import annotations

import heapq
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from .contract.messages import ErrorReport
from .core.claims import Claims
from .core.lanes import Lanes, Ticket
from .core.orchestrator import after, begin
from .core.retry import RetryRule
from .core.steps import Ended, Finish, Happening, Outcome, Report, Start, Started, Step, Withdraw
from .ports import Broker, Delivery, JobRunner, Work
from .progress import Finished, Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OrchestratorRules:
    """Bounds that the orchestrator keeps."""

    name: str
    max_runs: int = 8
    retry: RetryRule = RetryRule()


class Orchestrator:
    """Takes requests, runs their jobs, reports. All public methods may be called from any thread."""

    def __init__(self, broker: Broker, runner: JobRunner, rules: OrchestratorRules):
        self._broker = broker
        self._runner = runner
        self._rules = rules
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._progress: dict[str, Progress] = {}
        self._finished = Finished()
        self._claims = Claims()
        self._lanes = Lanes(rules.max_runs)
        #: Jobs that wait to be tried again: (when, ticket).
        self._timers: list[tuple[float, Ticket]] = []
        self._stopping = False
        self._cancel = threading.Event()
        self._pool = ThreadPoolExecutor(rules.max_runs, thread_name_prefix="run")

    # -- from any thread ----------------------------------------------------------------------------------------------

    def take(self, delivery: Delivery) -> None:
        """Handle the request, unless the orchestrator is stopping."""
        self._inbox.put(partial(self._taken, delivery))

    def connection_lost(self) -> None:
        """All requests belong to the broker again. What runs is let end; nothing new starts for them."""
        self._inbox.put(self._lost)

    def stop(self) -> None:
        """Start nothing more; ``run`` returns once what runs has ended."""
        self._inbox.put(self._stop)

    def cancel_runs(self) -> None:
        """End what runs, without a verdict: its requests stay with the broker."""
        self._cancel.set()

    def run(self) -> None:
        """Work until stopped."""
        while not (self._stopping and self._lanes.running == 0):
            happening = self._next()
            if happening is not None:
                happening()
            self._ring_timers()
            self._start_runs()
        self._pool.shutdown()

    # -- what happens -------------------------------------------------------------------------------------------------

    def _next(self) -> Callable[[], None] | None:
        timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        try:
            return self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None

    def _taken(self, delivery: Delivery) -> None:
        request = delivery.request
        if self._stopping:
            return
        if request.id in self._finished:
            log.info("request %s: came again after its end, acknowledged", request.id)
            self._broker.acknowledge(delivery.tag)
        elif request.id in self._progress:
            self._attach(self._progress[request.id], delivery)
        else:
            self._admit(Progress(delivery))

    def _attach(self, progress: Progress, delivery: Delivery) -> None:
        """The request came again while it is in progress: go on, do not begin anew."""
        log.info("request %s: delivery %d joins what is in progress", progress.id, delivery.attempt)
        was_parked = progress.parked
        progress.attach(delivery)
        if was_parked:
            for start in progress.waiting.values():
                self._offer(progress, start)

    def _admit(self, progress: Progress) -> None:
        request = progress.request
        self._progress[request.id] = progress
        vms = frozenset(job.vm_id for job in request.task.jobs() if job.vm_id is not None)
        if self._claims.claim(request.id, vms):
            self._begin(progress)
        else:
            log.info("request %s: waits for request %s", request.id, self._claims.holder(request.id))

    def _begin(self, progress: Progress) -> None:
        request = progress.request
        log.info("request %s: task %s begins, delivery %d", request.id, request.task.id, progress.attempt)
        self._lanes.open(request.hypervisor.id, request.hypervisor.open_sessions)
        progress.state, steps = begin(request.task, attempt=progress.attempt, retry=self._rules.retry)
        self._carry_out(progress, steps)

    def _lost(self) -> None:
        log.warning("connection lost: %d requests go back to the broker", len(self._progress))
        for progress in self._progress.values():
            progress.parked = True
            for job_id in progress.waiting:
                self._lanes.withdraw(Ticket(progress.id, job_id))
        for progress in list(self._progress.values()):
            self._forget_if_idle(progress)

    def _stop(self) -> None:
        log.info("stopping: %d runs are let end", self._lanes.running)
        self._stopping = True

    def _ended(self, progress: Progress, job_id: str, outcome: Outcome) -> None:
        self._lanes.release(progress.request.hypervisor.id)
        progress.running.discard(job_id)
        if not self._cancel.is_set():
            log.info("request %s: job %s ended: %s", progress.id, job_id, _verdict(outcome))
            self._advance(progress, Ended(job_id, outcome))
        self._forget_if_idle(progress)

    # -- what is done about it ----------------------------------------------------------------------------------------

    def _advance(self, progress: Progress, happening: Happening) -> None:
        assert progress.state is not None
        progress.state, steps = after(progress.state, happening)
        self._carry_out(progress, steps)

    def _carry_out(self, progress: Progress, steps: tuple[Step, ...]) -> None:
        for step in steps:
            match step:
                case Start():
                    progress.waiting[step.job.id] = step
                    self._offer(progress, step)
                case Withdraw(job_id):
                    del progress.waiting[job_id]
                    self._lanes.withdraw(Ticket(progress.id, job_id))
                case Report():
                    self._broker.publish(progress.update(step, self._rules.name))
                case Finish():
                    self._finish(progress)

    def _offer(self, progress: Progress, start: Start) -> None:
        """Queue the job in its lane, or set the timer that does; a parked request's job stays where it is."""
        ticket = Ticket(progress.id, start.job.id)
        if progress.parked:
            return
        if start.delay:
            heapq.heappush(self._timers, (time.monotonic() + start.delay, ticket))
        else:
            self._lanes.offer(progress.request.hypervisor.id, ticket, urgent=start.undo)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("request %s: job %s waits, place %s", *ticket, self._lanes.place(ticket))

    def _ring_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            _, ticket = heapq.heappop(self._timers)
            progress = self._progress.get(ticket.request_id)
            if progress is not None and ticket.job_id in progress.waiting:
                start = progress.waiting[ticket.job_id] = replace(progress.waiting[ticket.job_id], delay=0.0)
                self._offer(progress, start)

    def _start_runs(self) -> None:
        while not self._stopping and (ticket := self._lanes.take()) is not None:
            progress = self._progress[ticket.request_id]
            start = progress.waiting.pop(ticket.job_id)
            progress.running.add(ticket.job_id)
            log.info("request %s: job %s starts %s", progress.id, start.job.id, start.job.operation)
            self._advance(progress, Started(ticket.job_id))
            self._pool.submit(self._run_job, progress, start)

    def _run_job(self, progress: Progress, start: Start) -> None:
        """On a thread of the pool."""
        work = Work(request_id=progress.id, hypervisor=progress.request.hypervisor, job=start.job)
        try:
            outcome = self._runner.run(work, self._cancel.is_set)
        except Exception as error:  # the outermost loop: a defect must not leave the job without an end
            log.exception("request %s: job %s: the runner failed", progress.id, start.job.id)
            outcome = Outcome(error=ErrorReport(code="runner.failed", message=f"{type(error).__name__} in the runner"))
        self._inbox.put(partial(self._ended, progress, start.job.id, outcome))

    def _finish(self, progress: Progress) -> None:
        log.info("request %s: task %s has ended", progress.id, progress.request.task.id)
        self._finished.add(progress.id)
        for tag in progress.tags:
            self._broker.acknowledge(tag)
        self._forget(progress)

    def _forget_if_idle(self, progress: Progress) -> None:
        if progress.parked and not progress.running and progress.id in self._progress:
            self._forget(progress)

    def _forget(self, progress: Progress) -> None:
        del self._progress[progress.id]
        if progress.state is not None:
            self._lanes.close(progress.request.hypervisor.id)
        for request_id in self._claims.release(progress.id):
            if not self._progress[request_id].parked:
                self._begin(self._progress[request_id])


def _verdict(outcome: Outcome) -> str:
    if outcome.error is None:
        return "done" if outcome.changed else "done, nothing to change"
    return f"{outcome.error.code}: {' '.join(outcome.error.message.split())}"
