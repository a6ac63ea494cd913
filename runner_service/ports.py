# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the orchestrator needs of the world: somebody who runs a job, and somebody who speaks with the broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .contract.control import Heartbeat, RunnerStatus
from .contract.messages import Hypervisor, Job, TaskRequest, Update
from .contract.operations import Operation
from .core.steps import Outcome


@dataclass(frozen=True, kw_only=True)
class Work:
    """One job to run on one hypervisor."""

    request_id: str
    hypervisor: Hypervisor
    job: Job
    #: Only say what would be done (Ansible's check mode).
    check: bool = False

    @property
    def id(self) -> tuple[str, str]:
        """Of all that a runner is given. Whoever writes a message names its jobs; two may have a name in common."""
        return self.request_id, self.job.id


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs that are run together: one operation on one hypervisor, by the same login, each on a VM of its own."""

    works: tuple[Work, ...]
    #: How many of them at once, at most; as many have begun when the batch is handed out.
    sessions: int = 1

    @property
    def hypervisor(self) -> Hypervisor:
        return self.works[0].hypervisor


def _nothing(_work: Work) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Ear:
    """Who wants to know how a batch gets on. Called on the thread that runs it."""

    #: Nobody wants the rest.
    cancelled: Callable[[], bool]
    #: How a job went.
    ended: Callable[[Work, Outcome], None]
    #: The job's turn has come: of the first one, after what is done once for all jobs.
    begun: Callable[[Work], None] = _nothing


class JobRunner(Protocol):
    """Runs jobs; called by several threads at once."""

    def run(self, batch: Batch, ear: Ear) -> None:
        """Run the jobs, and say of each how it went as soon as it has ended: from then on nothing of it works at the
        hypervisor. Of all it is said before this returns. None runs longer than its deadline; soon once
        ``ear.cancelled()`` is true, none runs.

        One job's end does not touch the others. Where it has to, because the process that they share broke off or had
        to be ended, those that were running are unseen, and of those that had not begun the error is ``NOT_BEGUN``:
        they can be given to a next batch as they are. Does not raise: what goes wrong is the outcomes' error.
        """


#: The code of the error of a job that was in a batch that ended before the job's turn had come.
NOT_BEGUN = "runner.not_begun"


class Tag(NamedTuple):
    """Names a delivery: channels are counted, and a delivery of a closed one cannot be acknowledged any more."""

    channel: int
    number: int


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A request as the broker handed it over."""

    request: TaskRequest
    #: How often it has been handed over, with this time, from 1.
    attempt: int
    tag: Tag
    #: The queue that it came by.
    partition: int = 0
    #: It may have been handed over before, to whomever.
    again: bool = False
    #: How many updates of this attempt have been sent already.
    sequence: int = 0


#: So many numbers are kept for the updates of one process that carries a request out alone; the next one's are behind.
ERRAND_UPDATES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A request that a process carries out alone: as which attempt, and where its updates go on."""

    request: TaskRequest
    attempt: int
    sequence: int

    @property
    def delivery(self) -> Delivery:
        return Delivery(request=self.request, attempt=self.attempt, tag=Tag(0, 0), sequence=self.sequence)


class Broker(Protocol):
    """The way to the broker. Calls return at once; publish, acknowledge, give_up and release keep their order, and
    what was published survives lost connections."""

    def publish(self, update: Update) -> None:
        """The update will reach the API."""

    def after_published(self, call: Callable[[], None]) -> None:
        """The call is made, on some thread, once all that was published before is confirmed."""

    def acknowledge(self, tag: Tag) -> None:
        """Once all that was published before is confirmed, the request is done with."""

    def give_up(self, delivery: Delivery, reason: str) -> None:
        """The request goes to the dead letters, with the reason."""

    def consume(self, partitions: frozenset[int]) -> None:
        """Requests of these partitions come in from now on, also on later connections. Those of others that came in
        before come in until they are released."""

    def release(self, partition: int, released: Callable[[], None]) -> None:
        """Once all that was published before is confirmed, what is not acknowledged of the partition goes back. Then
        ``released`` is called, on some thread; never, if the connection is lost before."""

    def tell(self, word: Heartbeat | RunnerStatus) -> None:
        """The API hears it, and of heartbeats all runners, who speaks included, if they can be reached just now."""

    def silence(self) -> float:
        """Seconds since the broker last gave a sign of life."""

    def reset(self) -> None:
        """Give the connection up: its requests come again on the next one."""


class NotStarted(Exception):
    """A process for a request could not be made, or ended before it had looked at the request: that is no request's
    fault."""


class Solitary(Protocol):
    """Carries a request out in a process of its own."""

    def carry_out(self, errand: Errand, stopped: Callable[[], bool], cancelled: Callable[[], bool]) -> bool:
        """Whether the request came to its end, all its updates confirmed. False: its process broke off, or ended soon
        after ``stopped()`` was true. Once ``cancelled()`` is true the request is cancelled. Raises NotStarted."""


class Metrics(Protocol):
    """Counts what happens; called on the orchestrator's thread."""

    def job_ended(self, operation: Operation, code: str | None, seconds: float) -> None:
        """A run of a job is over; ``code`` is that of its error."""

    def waited(self, operation: Operation, seconds: float) -> None:
        """A job got a session, so long after it could have run."""

    def retried(self, operation: Operation) -> None:
        """A job is tried again."""

    def dead_letter(self) -> None:
        """A request was given up."""
