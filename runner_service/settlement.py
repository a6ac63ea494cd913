# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How deliveries are settled: their requests have ended, are given up, or go back to the broker."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .context import Context
from .contract.states import Event
from .core.steps import Report
from .intake import Intake
from .logs import about
from .ports import Delivery
from .progress import Progress
from .scheduling import Scheduling

log = logging.getLogger(__name__)


class Settlement:
    """Acknowledges requests, gives them up, or leaves them to the broker."""

    def __init__(self, context: Context, scheduling: Scheduling, intake: Intake):
        self._context = context
        self._broker = context.broker
        self._requests = context.requests
        self._scheduling = scheduling
        self._intake = intake

    # -- whole --------------------------------------------------------------------------------------------------------

    def finish(self, progress: Progress) -> None:
        """It has ended, and its last update was published."""
        with progress.about():
            log.info("has ended")
        self._requests.finish(progress.id)
        for tag in progress.tags:
            self._broker.acknowledge(tag)
        self._forget(progress)

    def drop(self, request_id: str) -> None:
        """It has ended without us, and whoever ended it knows that nobody can tell what was done of it."""
        progress = self._requests.get(request_id)
        if progress is None or progress.is_void:
            return
        with progress.about():
            log.warning("has ended without us: what runs of it is stopped, and not undone")
        progress.dropped = True
        progress.stop_runs()
        self.park([progress])

    # -- defects ------------------------------------------------------------------------------------------------------

    def refuse(self, delivery: Delivery, error: Exception) -> None:
        """The request met a defect before anything was known of it."""
        with about(request=delivery.request.id):
            log.error("cannot be taken", exc_info=error)
        self._context.metrics.dead_letter()
        self._broker.give_up(delivery, _defect(error))

    @contextmanager
    def minding(self, progress: Progress) -> Iterator[None]:
        """What goes wrong meanwhile is the end of this request, and of no other."""
        try:
            yield
        except Exception as error:  # its own outermost loop
            with progress.about():
                log.exception("cannot be carried on with")
            if self._requests.knows(progress) and not progress.is_void:
                progress.defect = _defect(error)
                progress.stop_runs()
                self.park([progress])

    def give_up(self, progress: Progress, reason: str) -> None:
        """The request goes to the dead letters; its task ends as failed, with the reason."""
        self._broker.give_up(progress.delivery, reason)
        for tag in progress.tags:
            if tag != progress.delivery.tag:
                self._broker.acknowledge(tag)
        self._context.metrics.dead_letter()
        self._requests.finish(progress.id)
        self._forget(progress)

    # -- back to the broker -------------------------------------------------------------------------------------------

    def lose_all(self) -> None:
        """End what runs; what it says counts nothing any more."""
        for progress in self._requests:
            progress.lost = True
            progress.stop_runs()
        self.park(self._requests)

    def park(self, requests: Iterable[Progress]) -> None:
        """Nothing more is started for these requests; they are forgotten once nothing of them runs."""
        parked = list(requests)
        for progress in parked:
            progress.parked = True
            self._scheduling.hold(progress)
        for progress in parked:
            self.leave_if_idle(progress)

    def leave_if_idle(self, progress: Progress) -> None:
        """If it is parked, and nothing of it runs any more, it is forgotten, and comes again, unless it is given up."""
        if not progress.parked or progress.running or not self._requests.knows(progress):
            return
        if progress.dropped and not progress.lost:
            self.finish(progress)
            return
        if progress.defect is not None and not progress.lost:
            self.give_up(progress, progress.defect)
            return
        if progress.state is not None and not progress.lost:
            back = Report(progress.request.task.id, Event.BACK)
            self._broker.publish(progress.update(back, self._context.rules.name))
        self._forget(progress)

    def _forget(self, progress: Progress) -> None:
        self._requests.remove(progress)
        if progress.has_lane:
            self._context.lanes.close(progress.request.hypervisor.id)
        self._intake.release(progress)


def _defect(error: Exception) -> str:
    return f"a defect in the runner ({type(error).__name__}), of which its log has more"
