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


class JobRunner(Protocol):
    """Runs jobs; called by several threads at once."""

    def run(self, work: Work, cancelled: Callable[[], bool]) -> Outcome:
        """Run the job to its end and say how it went. Never later than its deadline, soon once ``cancelled()`` is true.

        Does not raise: what goes wrong is the outcome's error.
        """


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


class Solitary(Protocol):
    """Carries a request out in a process of its own."""

    def carry_out(self, errand: Errand, stopped: Callable[[], bool], cancelled: Callable[[], bool]) -> bool:
        """Whether the request came to its end, all its updates confirmed. False: its process broke off, or ended soon
        after ``stopped()`` was true. Once ``cancelled()`` is true the request is cancelled."""


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
