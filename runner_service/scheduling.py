# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits in the lanes: jobs, and whole requests that are carried out alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from .context import Context
from .core.lanes import priority_of
from .core.steps import Start
from .progress import Progress
from .suspects import Suspects


class Scheduling:
    """Offers what a request has to start to its lane, and takes it back. ``gets_no_session`` is given a cancelled
    request that was to be carried out alone, and has waited for that too long."""

    def __init__(self, context: Context, suspects: Suspects):
        self._context = context
        self._lanes = context.lanes
        self._suspects = suspects
        self.gets_no_session: Callable[[Progress], None]

    def offer(self, progress: Progress, start: Start) -> None:
        """Queue the job in its lane, or set the timer that does; while its request is held, it stays where it is."""
        if progress.parked:
            return
        if start.delay:
            self._context.metrics.retried(start.job.operation)
            self._context.timers.after(start.delay, partial(self._retry, progress, start))
            return
        if self.is_held(progress):
            return
        request = progress.request
        progress.offered_at[start.job.id] = time.monotonic()
        self._lanes.offer(
            request.hypervisor.id, progress.ticket(start.job.id),
            priority=priority_of(start.job.operation, undo=start.undo or progress.cancelled), tenant=request.tenant,
            tenant_sessions=request.tenant_sessions,
        )  # fmt: skip

    def _retry(self, progress: Progress, start: Start) -> None:
        if progress.waiting.get(start.job.id) is start and self._context.requests.knows(progress):
            now = progress.waiting[start.job.id] = start._replace(delay=0.0)
            self.offer(progress, now)

    def offer_whole(self, progress: Progress) -> None:
        """Queue a request that is carried out alone."""
        if self.is_held(progress):
            return
        self._suspects.offer(progress)
        progress.offers += 1
        if progress.cancelled:
            later = partial(self._look_again, progress, progress.offers)
            self._context.timers.after(self._context.rules.patience.asking, later)

    def _look_again(self, progress: Progress, offer: int) -> None:
        """Has it waited for a session since that offer?"""
        waits = offer == progress.offers and not (progress.parked or progress.running)
        if waits and self._context.requests.knows(progress):
            self.gets_no_session(progress)

    def withdraw(self, progress: Progress, job_id: str) -> None:
        """The job waits no more; nothing happens if it does not wait."""
        progress.waiting.pop(job_id, None)
        self._lanes.withdraw(progress.ticket(job_id))

    def hold(self, progress: Progress) -> None:
        """Nothing is started for it until ``resume``: its partition may be somebody else's soon."""
        for ticket in (progress.whole, *map(progress.ticket, progress.waiting)):
            self._lanes.withdraw(ticket)

    def is_held(self, progress: Progress) -> bool:
        """Nothing of it is started. What its owner wants ended does not wait for a hand-over."""
        is_paused = self._context.membership.is_paused(progress.partition)
        return progress.parked or (is_paused and not progress.cancelled)

    def resume(self, progress: Progress) -> None:
        """What waits of it is in its lane again; what is in its lane keeps its place."""
        if progress.has_lane and progress.alone and not progress.running:
            self.offer_whole(progress)
        for start in progress.waiting.values():
            if not start.delay:
                self.offer(progress, start)
