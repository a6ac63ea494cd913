# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the orchestrator's decisions (happenings) and what comes out of them (steps)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..contract.messages import ErrorReport, Job, SnapshotFacts, TemplateFacts
from ..contract.states import Event


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run of a job ended, as the worker tells it."""

    error: ErrorReport | None = None
    changed: bool | None = None
    #: The VM afterwards and before, in the words of ObservedVm; None: not there, or not known.
    vm: dict[str, Any] | None = None
    before: dict[str, Any] | None = None
    #: The snapshots that the VM has afterwards, of an operation that tells them.
    snapshots: tuple[SnapshotFacts, ...] | None = None
    #: The template that there is afterwards, of a capture.
    template: TemplateFacts | None = None
    #: What a discovery found (HostFacts).
    host: dict[str, Any] | None = None
    #: Of an error: nobody saw how the run ended, because it was ended from outside or gave no result.
    unseen: bool = False
    #: Of an unseen end: it was ended for the sake of another job that shared its run. That is not one of its tries.
    innocent: bool = False
    #: What Ansible said of the run (workers/trace.py), without secrets.
    trace: dict[str, Any] | None = None
    #: How long the job was at work; None: not known.
    seconds: float | None = field(default=None, compare=False)

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True)
class Started:
    """A session was free: the job, or its undoing, runs now."""

    job_id: str
    #: Which run, as its Start says; 0: the one that was handed out last. So what is told late is known to be late.
    run: int = 0


@dataclass(frozen=True)
class Ended:
    """The run of the job, or of its undoing, is over."""

    job_id: str
    outcome: Outcome
    run: int = 0


@dataclass(frozen=True)
class Cancel:
    """The owner wants the task ended, and what was done for it undone."""


Happening = Started | Ended | Cancel


class Start(NamedTuple):
    """Give the job to its lane, after ``delay`` seconds without a session."""

    #: What to run; an undoing has the id of the job that it undoes, and the inverse operation.
    job: Job
    undo: bool = False
    delay: float = 0.0
    #: Only ask, in check mode, whether the job would change anything.
    check: bool = False
    #: Counts the runs of this job and of its undoing, from 1.
    run: int = 1


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take a job that has not started out of its lane."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run of this job; how it ended follows as a happening."""

    job_id: str


class Report(NamedTuple):
    """Tell the API what became of a node of the tree."""

    node_id: str
    event: Event
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to do: the request can be acknowledged once all reports are with the broker."""


Step = Start | Withdraw | Stop | Report | Finish
