# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancelling: what runs forward is stopped, and what asks or undoes is given some time, but not for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from .context import Context
from .core import steps
from .core.orchestrator import unasked
from .core.steps import Happening, Step
from .progress import Progress, Run
from .scheduling import Scheduling
from .settlement import Settlement

log = logging.getLogger(__name__)


class Cancelling:
    """``advance`` tells the core what happened, ``carry_out`` does what it says."""

    def __init__(self, context: Context, scheduling: Scheduling, settlement: Settlement):
        self._context = context
        self._scheduling = scheduling
        self._settlement = settlement
        self.advance: Callable[[Progress, Happening], None]
        self.carry_out: Callable[[Progress, tuple[Step, ...]], None]

    def cancel(self, request_id: str) -> None:
        """Its owner wants it ended, and what was done for it undone. Asking twice is asking once."""
        progress = self._context.requests.get(request_id)
        if progress is None or progress.cancelled:
            return
        if progress.parked:
            self._stop_forward(progress)
            return
        with progress.about():
            log.info("is to be cancelled")
        progress.cancelled = True
        if progress.state is not None:
            self.advance(progress, steps.Cancel())
            for run in progress.running.values():
                self.limit(progress, run)
        # What waits for a session now is urgent.
        self._scheduling.hold(progress)
        self._scheduling.resume(progress)

    def _stop_forward(self, progress: Progress) -> None:
        """It will come again, to whomever, and be undone there; but nobody waits for what hangs here."""
        for run in progress.running.values():
            if run.start is not None and not run.start.undo:
                run.stop.set()

    def limit(self, progress: Progress, run: Run) -> None:
        """The owner of a cancelled task does not wait for ever for what is not stopped at once. What waits in its batch
        for its turn has all of its time from then on."""
        if run.start is None or not self._context.lanes.has_session(progress.ticket(run.start.job.id)):
            return
        if (patience := self._context.rules.patience.with_run(run.start)) is not None:
            self._context.timers.after(patience, partial(self._lose_patience, progress, run))

    def _lose_patience(self, progress: Progress, run: Run) -> None:
        if run.start and progress.running.get(run.start.job.id) is run:
            with progress.about(run.start.job.id):
                log.warning("takes too long for a task that was cancelled: ended")
            run.stop.set()

    def end_unasked(self, progress: Progress) -> None:
        """A cancelled suspect that has got no session soon enough: it is not handed out any more, and what there is of
        it people have to look for."""
        with progress.about():
            log.warning("was cancelled and gets no session: ended without a look at what there is of it")
        self._context.lanes.withdraw(progress.whole)
        progress.come_home()
        with self._settlement.minding(progress):
            self.carry_out(progress, unasked(progress.request.task))
