# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is heard of a batch while its playbook runs, job by job."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ..core.steps import Outcome
from ..ports import NOT_BEGUN, Ear, Work
from .inventory import host_of
from .trace import trace_of
from .verdict import MAX_LINES, Listening, failed, outcome_of


@dataclass
class Heard:
    """One job of the batch."""

    work: Work
    #: What is left out of all texts.
    secrets: tuple[str, ...]
    listening: Listening
    #: When its turn came; ``since``: the same by the monotonic clock.
    began_at: datetime | None = None
    since: float = 0.0
    is_told: bool = False


class Hearing:
    """Tells the outcome of each job as soon as it is heard. For one thread."""

    def __init__(
        self,
        works: Sequence[Work],
        secrets: Callable[[Work], tuple[str, ...]],
        task: str,
        ear: Ear,
    ):
        """``task``: whose result is the job's."""
        self._said: deque[str] = deque(maxlen=MAX_LINES)
        # Of all: what Ansible prints may be about any of them.
        hidden = tuple({secret for work in works for secret in secrets(work)})
        self._jobs = {host_of(work): Heard(work, hidden, Listening(task, self._said)) for work in works}
        self._told_at = float("-inf")
        self._ear = ear
        self._any_begun = False

    def hear(self, event: Mapping[str, Any]) -> bool:
        """False: no file is written for the event."""
        if event.get("stdout"):
            self._said.append(event["stdout"])
        told = event.get("event_data") or {}
        job = self._jobs.get(str(told.get("host")))
        if job is not None and not job.is_told:
            self._heard(job, str(event.get("event", "")), told)
        return False

    def _heard(self, job: Heard, kind: str, told: Mapping[str, Any]) -> None:
        if not job.listening.begun:
            job.began_at, job.since = datetime.now(UTC), time.monotonic()
        was_begun = job.listening.begun
        job.listening.hear(kind, told)
        if job.listening.begun and not was_begun:
            self._any_begun = True
            self._ear.begun(job.work)
        if job.listening.is_over:
            self._tell(job, outcome_of(job.listening, tried(job.work), job.secrets))

    @property
    def waiting_for(self) -> list[Heard]:
        """Jobs that have begun and of which no end was heard; while there is none, all of which no end was heard."""
        left = [job for job in self._jobs.values() if not job.is_told]
        return [job for job in left if job.listening.begun] or left

    @property
    def told_at(self) -> float:
        """When the last end was heard, by the monotonic clock; minus infinity before the first one."""
        return self._told_at

    @property
    def is_done(self) -> bool:
        """The end of all was heard."""
        return all(job.is_told for job in self._jobs.values())

    def over(self, why: Callable[[Heard], Outcome | None]) -> None:
        """Nothing more will be heard: tell the outcome of the rest. ``why`` says why one was ended, if it was us."""
        for job in self._jobs.values():
            if not job.is_told:
                self._tell(job, self._unheard(job, why(job)))

    def _unheard(self, job: Heard, why: Outcome | None) -> Outcome:
        if self._any_begun and not job.listening.begun:
            return failed(NOT_BEGUN, f"{tried(job.work)} was not begun: its batch ended before", begun=False)
        return why or outcome_of(job.listening, tried(job.work), job.secrets)

    def _tell(self, job: Heard, outcome: Outcome) -> None:
        job.is_told, self._told_at = True, time.monotonic()
        self._ear.ended(job.work, _traced(job, outcome))


def _traced(job: Heard, outcome: Outcome) -> Outcome:
    began_at = job.began_at or datetime.now(UTC)
    seconds = time.monotonic() - job.since if job.began_at else None
    return replace(outcome, trace=trace_of(job.work, job.listening, began_at, job.secrets), seconds=seconds)


def tried(work: Work) -> str:
    """What was tried on what, for messages."""
    name = (work.job.definition or {}).get("name")
    vm = f" of VM {name!r}" if name else ""
    return f"{work.job.operation}{vm} on {work.hypervisor.type} {work.hypervisor.url}"
