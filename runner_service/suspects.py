# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that broke runners off: carried out alone, one after the other. Used by the orchestrator's thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from .companions import Companions
from .intake import Requests
from .ports import Broker, Errand
from .progress import Progress, Run

log = logging.getLogger(__name__)

#: How often a request may bring its own process down before it is given up.
STRIKES = 3
#: Names the one run of such a request.
_RUN = "alone"


class Suspects:
    """While there is one, nothing else is started; it is begun once nothing else runs.

    ``forget`` is given one that was given up or has to come again, ``finish`` one that has ended; ``tell`` brings a
    call to the orchestrator's thread."""

    def __init__(self, broker: Broker, companions: Companions, requests: Requests, pool: Executor):
        self._broker = broker
        self._solitary = companions.solitary
        self._metrics = companions.metrics
        self._requests = requests
        self._pool = pool
        self._waiting: deque[Progress] = deque()
        self.tell: Callable[[Callable[[], None]], None]
        self.finish: Callable[[Progress], None]
        self.forget: Callable[[Progress], None]

    def add(self, progress: Progress) -> None:
        self._waiting.append(progress)

    def __bool__(self) -> bool:
        """Whether there is one, run or not."""
        while self._waiting and not self._requests.knows(self._waiting[0]):
            self._waiting.popleft()
        return bool(self._waiting)

    @property
    def running(self) -> bool:
        return any(progress.running for progress in self._waiting)

    def start(self) -> None:
        """Nothing else runs: begin the first, unless it is under way. It stays the first until it has ended."""
        progress = self._waiting[0]
        if progress.running or progress.parked:
            return
        stop = threading.Event()
        progress.running[_RUN] = Run(stop)
        with progress.about():
            log.warning("broke runners off %d times, carried out alone", progress.crashes)
        self._pool.submit(self._run, progress, progress.errand(), stop)

    def _run(self, progress: Progress, errand: Errand, stop: threading.Event) -> None:
        """On a thread of the pool."""
        try:
            ended = self._solitary.carry_out(errand, stop.is_set, lambda: progress.cancelled)
        except Exception:  # the outermost loop: a defect must not leave the request without an end
            with progress.about():
                log.exception("cannot be carried out alone")
            ended = False
        self.tell(partial(self._ended, progress, stopped=stop.is_set(), ended=ended))

    def _ended(self, progress: Progress, *, stopped: bool, ended: bool) -> None:
        del progress.running[_RUN]
        if ended and not progress.lost:
            self.finish(progress)
        elif stopped or progress.parked:
            self.forget(progress)
        else:
            self._strike(progress)

    def _strike(self, progress: Progress) -> None:
        progress.strikes += 1
        with progress.about():
            log.error("brought its own process down, %d of %d", progress.strikes, STRIKES)
        if progress.strikes >= STRIKES:
            reason = f"it brought the runner that carried it out down by itself, {STRIKES} times"
            self._broker.give_up(progress.delivery, reason)
            for tag in progress.tags:
                if tag != progress.delivery.tag:
                    self._broker.acknowledge(tag)
            self._metrics.dead_letter()
            self._requests.finish(progress.id)
            self.forget(progress)
