# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runner says of itself: its partitions, its sessions in use, and what waits for what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from .contract.control import (
    MAX_HELD_NAMED,
    MAX_WAITING_NAMED,
    Heartbeat,
    LaneStatus,
    RunnerStatus,
    WaitingJob,
    WaitsFor,
)
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


#: Seconds between two statuses: a status with 2,000 jobs takes a relay 0.13 s to read. One that says nothing new is
#: repeated more rarely, as it may have been lost.
STATUS_EVERY, REPEATED_EVERY = 2.0, 5.0


class Reporter:
    """What one process says of itself: heartbeats to all, statuses to the API."""

    def __init__(self, runner_id: str, name: str, max_runs: int):
        self._runner_id = runner_id
        self._name = name
        self._max_runs = max_runs
        self._started_at = datetime.now(UTC).isoformat()
        self._sequence = 0
        #: When a status was made last, when one was told last, and what of the membership it said.
        self._made = self._told = float("-inf")
        self._said: object = None
        #: The last one; None: none was made yet.
        self.latest: RunnerStatus | None = None

    def words(self, view: View, *, stopping: bool) -> Iterator[Heartbeat | RunnerStatus]:
        """What is to be said now. A status goes before the heartbeat of its sequence."""
        self._sequence += 1
        now, membership = time.monotonic(), (stopping, view.membership.consumed, view.membership.draining)
        if now - self._made >= STATUS_EVERY or membership != self._said:
            self._made, self._said, before = now, membership, self.latest
            self.latest = self._status(view, stopping=stopping)
            if now - self._told >= REPEATED_EVERY or not _says_the_same(before, self.latest):
                self._told = now
                yield self.latest
        yield Heartbeat(runner_id=self._runner_id, sequence=self._sequence, stopping=stopping)

    def _status(self, view: View, *, stopping: bool) -> RunnerStatus:
        lanes = view.lanes.overview()
        return RunnerStatus(
            runner_id=self._runner_id, name=self._name, sequence=self._sequence, started_at=self._started_at,
            stopping=stopping, partitions=tuple(sorted(view.membership.consumed)),
            draining=tuple(sorted(view.membership.draining)), max_runs=self._max_runs, running=view.lanes.running,
            requests=len(view.requests), waiting=sum(lane.waiting for lane in lanes),
            holds=tuple(progress.id for progress in islice(view.requests, MAX_HELD_NAMED)),
            lanes=tuple(
                LaneStatus(
                    hypervisor_id=lane.hypervisor_id, sessions=lane.sessions, in_use=lane.in_use, waiting=lane.waiting
                )
                for lane in lanes[:MAX_WAITING_NAMED]
            ),
            jobs=tuple(islice(waiting_jobs(view), MAX_WAITING_NAMED)),
        )  # fmt: skip


def _says_the_same(before: RunnerStatus | None, now: RunnerStatus) -> bool:
    return before is not None and replace(before, sequence=now.sequence) == now


def waiting_jobs(view: View) -> Iterator[WaitingJob]:
    """Jobs that could run and do not: those without a lane first, then the first of every lane. What short lanes do not
    need of their share of the names, longer ones have."""
    for progress in view.requests:
        yield from _without_lane(progress, view)
    busy = sorted((lane for lane in view.lanes.overview() if lane.waiting), key=lambda lane: lane.waiting)
    left = MAX_WAITING_NAMED
    for number, lane in enumerate(busy):
        share = min(lane.waiting, max(1, left // (len(busy) - number)))
        left -= share
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
        yield WaitingJob(job_id=first.id, waits_for=WaitsFor.PAUSE if progress.is_paused else WaitsFor.FENCE)
