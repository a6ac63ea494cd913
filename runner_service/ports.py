# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the orchestrator needs of the world: somebody who runs a job, and somebody who speaks with the broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .contract.messages import Hypervisor, Job, TaskRequest, Update
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
    """Names a delivery: connections are counted, and a delivery of a lost one cannot be acknowledged any more."""

    connection: int
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


class Broker(Protocol):
    """The way back to the broker. Calls return at once, keep their order, and survive lost connections."""

    def publish(self, update: Update) -> None:
        """The update will reach the API."""

    def acknowledge(self, tag: Tag) -> None:
        """Once all that was published before is confirmed, the request is done with."""
