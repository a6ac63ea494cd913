# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that may bring down whoever carries them out: each in a process of its own, beside all other work. Used by
the orchestrator's thread.

Such a request has one session of its hypervisor's lane until it has ended, and its process runs one job at a time. So
no bound is passed, and nobody waits for it but who would have waited for any other request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from .companions import Companions
from .core.lanes import Lanes, Priority
from .ports import Errand, NotStarted
from .progress import Progress, Run

log = logging.getLogger(__name__)

#: How often a request may bring its own process down before it is given up.
STRIKES = 3
#: Seconds to the next try where a process cannot be started.
NEXT_START = 5.0


class Suspects:
    """``finish`` is given a request that has ended, ``give_up`` one with the reason why it is carried out no more,
    ``try_again`` one that is to be offered again, ``leave`` one that has to come again; ``tell`` brings a call to the
    orchestrator's thread."""

    def __init__(self, companions: Companions, lanes: Lanes, pool: Executor, fence: float):
        """``fence``: seconds after which a process that broke off has surely left nothing that runs."""
        self._solitary = companions.solitary
        self._lanes = lanes
        self._pool = pool
        self._fence = fence
        self.tell: Callable[[Callable[[], None]], None]
        self.finish: Callable[[Progress], None]
        self.give_up: Callable[[Progress, str], None]
        self.try_again: Callable[[Progress], None]
        self.leave: Callable[[Progress], None]

    def offer(self, progress: Progress) -> None:
        """It waits for a session from now on; one that was cancelled is to be undone."""
        request = progress.request
        priority = Priority.URGENT if progress.cancelled else Priority.ORDINARY
        self._lanes.offer(
            request.hypervisor.id, progress.whole, priority=priority, tenant=request.tenant,
            tenant_sessions=request.tenant_sessions,
        )  # fmt: skip

    def start(self, progress: Progress) -> None:
        """It has a session."""
        run = progress.running[progress.whole.job_id] = Run(threading.Event())
        log.warning("handed over %d times, broke %d runners off: carried out alone", progress.attempt, progress.crashes)
        self._pool.submit(self._run, progress, progress.errand(), run.stop)

    def _run(self, progress: Progress, errand: Errand, stop: threading.Event) -> None:
        """On a thread of the pool."""
        ended = False
        try:
            ended = self._solitary.carry_out(errand, stop.is_set, lambda: progress.cancelled)
        except NotStarted as error:
            with progress.about():
                log.error("no process of its own: %s; tried again in %.0f s", error, NEXT_START)
            stop.wait(NEXT_START)
            self.tell(partial(self._ended, progress, ended=False, is_strike=False))
            return
        except Exception:  # the outermost loop: a defect must not leave the request without an end
            with progress.about():
                log.exception("cannot be carried out alone")
        if not ended:
            stop.wait(self._fence)
        self.tell(partial(self._ended, progress, ended=ended, is_strike=True))

    def _ended(self, progress: Progress, *, ended: bool, is_strike: bool) -> None:
        del progress.running[progress.whole.job_id]
        self._lanes.release(progress.whole)
        if ended and not progress.lost:
            self.finish(progress)
        elif progress.parked:
            self.leave(progress)
        elif not is_strike:
            self.try_again(progress)
        else:
            self._strike(progress)

    def _strike(self, progress: Progress) -> None:
        progress.strikes += 1
        with progress.about():
            log.error("brought its own process down, %d of %d", progress.strikes, STRIKES)
        if progress.strikes < STRIKES:
            self.try_again(progress)
        else:
            self.give_up(progress, f"it brought the runner that carried it out down by itself, {STRIKES} times")
