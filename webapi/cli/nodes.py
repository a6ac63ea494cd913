# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks and jobs as a person watches them: what the API says of each, read once into values that can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from webapi.cli.printable import one_line


class Status(StrEnum):
    """What a state means to who waits."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    #: Will not happen.
    DROPPED = "dropped"


#: The API's states of tasks and jobs.
STATUS: dict[str, Status] = {
    "QUEUED": Status.WAITING,
    "PENDING": Status.WAITING,
    "STARTED": Status.RUNNING,
    "FINISHED_SUCCESSFULLY": Status.DONE,
    "DONE": Status.DONE,
    "FINISHED_UNSUCCESSFULLY": Status.FAILED,
    "FAILED": Status.FAILED,
    "ABORTED": Status.DROPPED,
    "CANCELLED": Status.DROPPED,
}
ENDED = frozenset({Status.DONE, Status.FAILED, Status.DROPPED})


class Rollback(StrEnum):
    """Beside a job's state: what became of undoing it."""

    NONE = "NONE"
    STARTED = "STARTED"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a task or job failed, in the words of who knows."""

    code: str
    message: str
    detail: str = ""
    left: tuple[str, ...] = ()
    #: Why undoing it failed too.
    of_rollback: str = ""

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> Self | None:
        if not raw:
            return None
        return cls(
            code=raw["code"],
            message=raw["message"],
            detail=raw.get("detail") or "",
            left=tuple(raw.get("left") or ()),
            of_rollback=(raw.get("rollback") or {}).get("message", ""),
        )

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A task with its children, or a job."""

    id: str
    is_job: bool
    label: str
    #: Where it happens; of jobs.
    place: str = ""
    state: str
    rollback: Rollback = Rollback.NONE
    failure: Failure | None = None
    #: Which delivery of the request this is of; more than one says that a runner died.
    attempt: int = 1
    asked: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    children: tuple[Node, ...] = ()
    #: Of a job: what it waits for, in words that go on after "waiting for".
    waits_for: str = ""
    #: Somebody asked to cancel it.
    cancel_asked: bool = False
    #: How many others this one stands for, where there is no room for each.
    stands_for: int = 0

    @classmethod
    def of(cls, raw: Mapping[str, Any], within: str = "") -> Node:
        """Read a task of the API, whole, or a job. A task of the same type as the one that it is within needs no verb
        of its own: deploying a shop is deploying its web1."""
        is_job = raw["kind"] == "job"
        return cls(
            id=raw["id"],
            is_job=is_job,
            label=_words(raw["operation"]) if is_job else _task_label(raw, within),
            place=one_line(raw.get("hypervisor_name") or ""),
            state=raw["state"],
            rollback=Rollback(raw.get("rollback_state") or Rollback.NONE),
            failure=Failure.of(raw.get("error")),
            attempt=raw.get("attempt") or 1,
            asked=_time(raw.get("created_at")),
            started=_time(raw["started_at"]),
            ended=_time(raw["ended_at"]),
            waits_for=one_line((raw.get("waits_for") or {}).get("text", "")),
            cancel_asked=bool(raw.get("cancel_asked_at")),
            children=tuple(cls.of(child, raw["type"]) for child in raw.get("children") or ()),
        )

    @property
    def status(self) -> Status:
        return STATUS[self.state]

    @property
    def apparent(self) -> Status:
        """The status as it looks: a task that was started and has no job at work or failed, waits like its jobs."""
        busy = any(not node.children and node.status in (Status.RUNNING, Status.FAILED) for node, _ in self.walk())
        return Status.WAITING if self.status is Status.RUNNING and not busy else self.status

    @property
    def next_job(self) -> Node | None:
        """Of a task between two of its jobs: the one that waits for its turn."""
        between = self.apparent is Status.WAITING and any(child.status is Status.DONE for child in self.children)
        waiting = (child for child in self.children if child.is_job and child.status is Status.WAITING)
        return next(waiting, None) if between else None

    @property
    def first_wait(self) -> str:
        """What the first job below that waits is waiting for."""
        return next((node.waits_for for node, _ in self.walk() if node.waits_for), "")

    @property
    def has_ended(self) -> bool:
        """Of a task: nothing will change any more."""
        return self.status in ENDED

    def seconds(self, now: datetime) -> float | None:
        """How long it has been running, or ran; None before it starts."""
        if self.started is None:
            return None
        return max(0.0, ((self.ended or now) - self.started).total_seconds())

    @property
    def own_failure(self) -> Failure | None:
        """Why it failed, unless that is only why something below it did."""
        below = [node.failure for child in self.children for node, _ in child.walk()]
        return None if self.failure in below else self.failure

    def walk(self, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
        """Itself and everything below it in order, each with the tasks above it."""
        yield self, above
        for child in self.children:
            yield from child.walk((*above, self))


def _task_label(raw: Mapping[str, Any], within: str) -> str:
    name = one_line(raw.get("name") or "")
    return name if raw["type"] == within else f"{_words(raw['type'])} {name}".rstrip()


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
