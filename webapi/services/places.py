# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every waiting job waits for: what runners say of it, or else what can be concluded from their silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import defer

from runner_service.contract.control import LaneStatus, WaitingJob, WaitsFor
from runner_service.contract.messages import Mode
from runner_service.contract.states import JobState
from runner_service.contract.topology import partition_of

from ..database import db
from ..models import Datacenter, Hypervisor, Job, Request, Runner, Task
from . import missing, runners


class Before(StrEnum):
    """What a job waits for that no runner speaks of."""

    #: The job before it in its task.
    TURN = "turn"
    #: A relay that publishes its request.
    RELAY = "relay"
    #: Its partition's hand-over from one runner to another.
    HANDOVER = "handover"
    #: A runner that consumes its hypervisor's partition.
    RUNNER = "runner"
    #: Its runner, which has not begun to speak of it.
    QUEUE = "queue"
    #: A message that is lost (services.missing): nobody will ever end it.
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What a job waits for; ``text`` goes on after "waiting for"."""

    what: WaitsFor | Before
    text: str
    place: int | None = None

    def shown(self) -> dict[str, Any]:
        return {"for": self.what.value, "place": self.place, "text": self.text}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that may be waiting, as far as the API knows it."""

    id: str
    hypervisor_id: str
    hypervisor_name: str
    #: The partition of its hypervisor.
    partition: int
    published: bool
    #: No runner and no queue has its request any more.
    lost: bool
    #: A job before it in its chain has not ended.
    behind_another: bool


@dataclass(frozen=True)
class Said:
    """What the live runners of a datacenter say, by what it is about."""

    jobs: Mapping[str, WaitingJob]
    lanes: Mapping[str, LaneStatus]
    partitions: frozenset[int]
    #: Those that a runner is giving up.
    draining: frozenset[int]


def said_by(statuses: Iterable[Mapping[str, Any]]) -> Said:
    """Read statuses (RunnerStatus as plain data), the latest last: where two speak of one thing, it holds."""
    statuses = list(statuses)
    return Said(
        jobs={raw["job_id"]: WaitingJob(**raw) for status in statuses for raw in status["jobs"]},
        lanes={raw["hypervisor_id"]: LaneStatus(**raw) for status in statuses for raw in status["lanes"]},
        partitions=frozenset(number for status in statuses for number in status["partitions"]),
        draining=frozenset(number for status in statuses for number in status.get("draining", ())),
    )


def wait_of(job: Waiting, said: Said) -> Wait:
    """What the job waits for."""
    if job.id in said.jobs:
        return _as_runners_say(job, said.jobs[job.id], said.lanes.get(job.hypervisor_id))
    if job.behind_another:
        return Wait(what=Before.TURN, text="the job before it")
    if job.lost:
        return Wait(what=Before.LOST, text=_LOST)
    if not job.published:
        return Wait(what=Before.RELAY, text="its turn to be published by a relay")
    if job.partition in said.draining:
        return Wait(
            what=Before.HANDOVER, text="another runner to take its partition over, once what runs there has ended"
        )
    if job.partition not in said.partitions:
        return Wait(what=Before.RUNNER, text=f"a runner: no runner serves partition {job.partition}")
    return Wait(what=Before.QUEUE, text="its runner to take it from the queue")


_TEXTS: dict[WaitsFor, str] = {
    WaitsFor.VM: "another task of its VM to end",
    WaitsFor.RETRY: "the time of its next try",
    WaitsFor.WORD: "the API's word, as it may have been begun before",
    WaitsFor.FENCE: "the end of what a runner that was cut off may still be doing",
    WaitsFor.PAUSE: "the end of a pause, as many runners broke off while they carried it out",
    WaitsFor.ALONE: "all other work of its runner to end, as it is carried out alone",
}


_LOST = "a message that is lost, as no runner has it, nor its queue: `millwright task resend`, or `abandon`"


def _as_runners_say(job: Waiting, waiting: WaitingJob, lane: LaneStatus | None) -> Wait:
    what = WaitsFor(waiting.waits_for)
    if what is not WaitsFor.SESSION:
        return Wait(what=what, text=_TEXTS[what])
    text = f"a session of {job.hypervisor_name}"
    if waiting.place:
        text += f", place {waiting.place}"
    if lane:
        text += f" ({lane.in_use} of {lane.sessions} in use)"
    return Wait(what=what, place=waiting.place, text=text)


# -- of the rows of a task


def look(tasks: Sequence[Task]) -> None:
    """Let every job of these tasks that waits say for what; the tasks have their jobs. One that has begun waits only
    where a runner says so: for its next try, or to be undone."""
    jobs = [job for task in tasks if not task.ended for job in task.jobs if _may_wait(job, task)]
    if not jobs:
        return
    behind = {job.id for task in tasks if task.mode is Mode.SEQUENTIAL for job in _behind_others(task.jobs)}
    requests = _requests({job.request_id for job in jobs})
    datacenters = _datacenters({job.hypervisor_id for job in jobs})
    said = _said({datacenter.id for datacenter in datacenters.values()})
    for job in jobs:
        datacenter, request = datacenters.get(job.hypervisor_id), requests.get(job.request_id)
        if datacenter and request and (_is_idle(job, request) or job.id in said[datacenter.id].jobs):
            waiting = _waiting(job, datacenter, request, behind=job.id in behind)
            job.waits_for = wait_of(waiting, said[datacenter.id]).shown()


def _may_wait(job: Job, task: Task) -> bool:
    """What has ended waits only to be undone."""
    if not job.ended:
        return True
    return bool(task.cancel_asked_at) or any(each.state is JobState.FAILED for each in task.jobs)


def _behind_others(jobs: Sequence[Job]) -> list[Job]:
    first = next((number for number, job in enumerate(jobs) if not job.ended), len(jobs))
    return list(jobs[first + 1 :])


def _is_idle(job: Job, request: Request) -> bool:
    return job.state is JobState.PENDING or (not job.ended and missing.is_lost(request))


def _waiting(job: Job, datacenter: Datacenter, request: Request, *, behind: bool) -> Waiting:
    return Waiting(
        id=job.id, hypervisor_id=job.hypervisor_id, hypervisor_name=job.hypervisor_name,
        partition=partition_of(job.hypervisor_id, datacenter.partitions), published=request.published_at is not None,
        lost=missing.is_lost(request), behind_another=behind,
    )  # fmt: skip


def _requests(request_ids: set[str]) -> dict[str, Request]:
    """Without their bodies."""
    asked = select(Request).where(Request.id.in_(request_ids)).options(defer(Request.body))
    return {request.id: request for request in db.session.scalars(asked)}


def _datacenters(hypervisor_ids: set[str]) -> dict[str, Datacenter]:
    found = select(Hypervisor.id, Datacenter).join(Datacenter, Datacenter.id == Hypervisor.datacenter_id)
    return dict(db.session.execute(found.where(Hypervisor.id.in_(hypervisor_ids))).all())


def _said(datacenter_ids: set[str]) -> dict[str, Said]:
    heard: dict[str, list[Runner]] = {datacenter_id: [] for datacenter_id in datacenter_ids}
    for runner in runners.live(datacenter_ids):
        heard[runner.datacenter_id].append(runner)
    return {datacenter_id: said_by(row.status for row in found) for datacenter_id, found in heard.items()}
