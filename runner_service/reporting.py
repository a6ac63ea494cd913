# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runner says of itself: its partitions, its sessions in use, and what waits for what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from .contract.control import MAX_WAITING_NAMED, LaneStatus, RunnerStatus, WaitingJob, WaitsFor
from .core.claims import Claims
from .core.lanes import Lanes
from .intake import Requests
from .membership import Membership
from .progress import Progress


@dataclass(frozen=True, kw_only=True)
class View:
    """The parts of an orchestrator that a status is made of."""

    requests: Requests
    lanes: Lanes
    claims: Claims
    membership: Membership


class Reporter:
    """Makes the statuses of one process."""

    def __init__(self, runner_id: str, name: str, max_runs: int):
        self._runner_id = runner_id
        self._name = name
        self._max_runs = max_runs
        self._started_at = datetime.now(UTC).isoformat()
        self._sequence = 0
        #: The last one; None: none was made yet.
        self.latest: RunnerStatus | None = None

    def status(self, view: View, *, stopping: bool) -> RunnerStatus:
        """The next status."""
        self._sequence += 1
        lanes = view.lanes.overview()
        self.latest = RunnerStatus(
            runner_id=self._runner_id, name=self._name, sequence=self._sequence, started_at=self._started_at,
            stopping=stopping, partitions=tuple(sorted(view.membership.consumed)),
            draining=tuple(sorted(view.membership.draining)), max_runs=self._max_runs, running=view.lanes.running,
            requests=len(view.requests), waiting=sum(lane.waiting for lane in lanes),
            lanes=tuple(
                LaneStatus(
                    hypervisor_id=lane.hypervisor_id, sessions=lane.sessions, in_use=lane.in_use, waiting=lane.waiting
                )
                for lane in lanes[:MAX_WAITING_NAMED]
            ),
            jobs=tuple(islice(waiting_jobs(view), MAX_WAITING_NAMED)),
        )  # fmt: skip
        return self.latest


def waiting_jobs(view: View) -> Iterator[WaitingJob]:
    """Jobs that could run and do not: those without a lane first, then the first of every lane."""
    for progress in view.requests:
        yield from _without_lane(progress, view)
    busy = [lane for lane in view.lanes.overview() if lane.waiting]
    for lane in busy:
        share = max(1, MAX_WAITING_NAMED // len(busy))
        for place, ticket in enumerate(view.lanes.order(lane.hypervisor_id, share), start=1):
            yield WaitingJob(job_id=ticket.job_id, waits_for=WaitsFor.SESSION, place=place)


def _without_lane(progress: Progress, view: View) -> Iterator[WaitingJob]:
    if progress.has_lane:
        for start in progress.waiting.values():
            if start.delay:
                yield WaitingJob(job_id=start.job.id, waits_for=WaitsFor.RETRY)
        return
    first = next(progress.request.task.jobs())
    if progress.needs_word:
        yield WaitingJob(job_id=first.id, waits_for=WaitsFor.WORD)
    elif progress.has_claimed:
        yield WaitingJob(job_id=first.id, waits_for=WaitsFor.VM, behind=view.claims.holder(progress.id))
    else:
        yield WaitingJob(job_id=first.id, waits_for=WaitsFor.FENCE)
