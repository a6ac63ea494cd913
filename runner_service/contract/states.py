# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of tasks and jobs: tables, and the one function that advances a state."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class IllegalTransition(Exception):
    """The event cannot happen in this state."""


class Event(StrEnum):
    """What the runner reports about a task or a job."""

    START = "START"
    DONE = "DONE"
    ERROR = "ERROR"
    #: Never started, because something before it failed or the task was cancelled.
    ABORTED = "ABORTED"
    ROLLBACK_START = "ROLLBACK_START"
    ROLLBACK_DONE = "ROLLBACK_DONE"
    ROLLBACK_ERROR = "ROLLBACK_ERROR"
    #: Ended by its owner's wish; only of tasks.
    CANCELLED = "CANCELLED"
    #: Of a request's root: it was handed to the runner, perhaps not for the first time, and is not begun before the API
    #: says so. It changes no state; it makes what an earlier attempt still says old.
    AGAIN = "AGAIN"
    #: Of a request's root: its runner stops, or gives its hypervisor up, and hands the request back in good order. It
    #: changes no state; what comes after it is no sign that the request brought its runner down.
    BACK = "BACK"


class TaskState(StrEnum):
    QUEUED = "QUEUED"
    STARTED = "STARTED"
    FINISHED_SUCCESSFULLY = "FINISHED_SUCCESSFULLY"
    FINISHED_UNSUCCESSFULLY = "FINISHED_UNSUCCESSFULLY"
    #: Ended before any of its jobs started.
    ABORTED = "ABORTED"
    CANCELLED = "CANCELLED"


class JobState(StrEnum):
    PENDING = "PENDING"
    STARTED = "STARTED"
    DONE = "DONE"
    FAILED = "FAILED"
    ABORTED = "ABORTED"


class RollbackState(StrEnum):
    """Beside a job's state: what became of undoing it."""

    NONE = "NONE"
    STARTED = "STARTED"
    DONE = "DONE"
    FAILED = "FAILED"


#: START of what is STARTED: the request was delivered again after a crash, and the job runs again (it is idempotent).
#: For the same reason a job that has ended may start again under a later attempt, as long as its task has not ended.
TASK_TRANSITIONS: dict[tuple[TaskState, Event], TaskState] = {
    (TaskState.QUEUED, Event.START): TaskState.STARTED,
    (TaskState.QUEUED, Event.ABORTED): TaskState.ABORTED,
    (TaskState.QUEUED, Event.ERROR): TaskState.FINISHED_UNSUCCESSFULLY,
    (TaskState.QUEUED, Event.CANCELLED): TaskState.CANCELLED,
    (TaskState.STARTED, Event.START): TaskState.STARTED,
    (TaskState.STARTED, Event.DONE): TaskState.FINISHED_SUCCESSFULLY,
    (TaskState.STARTED, Event.ERROR): TaskState.FINISHED_UNSUCCESSFULLY,
    (TaskState.STARTED, Event.CANCELLED): TaskState.CANCELLED,
}

JOB_TRANSITIONS: dict[tuple[JobState, Event], JobState] = {
    (JobState.PENDING, Event.START): JobState.STARTED,
    (JobState.PENDING, Event.ABORTED): JobState.ABORTED,
    (JobState.STARTED, Event.START): JobState.STARTED,
    (JobState.STARTED, Event.DONE): JobState.DONE,
    (JobState.STARTED, Event.ERROR): JobState.FAILED,
    (JobState.STARTED, Event.ABORTED): JobState.ABORTED,
    (JobState.DONE, Event.START): JobState.STARTED,
    (JobState.FAILED, Event.START): JobState.STARTED,
    (JobState.ABORTED, Event.START): JobState.STARTED,
    (JobState.DONE, Event.ABORTED): JobState.ABORTED,
    (JobState.FAILED, Event.ABORTED): JobState.ABORTED,
    (JobState.ABORTED, Event.ABORTED): JobState.ABORTED,
}

ROLLBACK_TRANSITIONS: dict[tuple[RollbackState, Event], RollbackState] = {
    (RollbackState.NONE, Event.ROLLBACK_START): RollbackState.STARTED,
    (RollbackState.STARTED, Event.ROLLBACK_START): RollbackState.STARTED,
    (RollbackState.STARTED, Event.ROLLBACK_DONE): RollbackState.DONE,
    (RollbackState.STARTED, Event.ROLLBACK_ERROR): RollbackState.FAILED,
    # A task that was delivered again after its rollback had begun runs and rolls back anew.
    (RollbackState.DONE, Event.ROLLBACK_START): RollbackState.STARTED,
    (RollbackState.FAILED, Event.ROLLBACK_START): RollbackState.STARTED,
}

#: Task states that nothing leaves.
FINAL_TASK_STATES = frozenset(TaskState) - {before for before, _ in TASK_TRANSITIONS}

#: Job states in which a job does not run and waits for nothing.
ENDED_JOB_STATES = frozenset({JobState.DONE, JobState.FAILED, JobState.ABORTED})

State = TypeVar("State", bound=StrEnum)


def advance(table: Mapping[tuple[State, Event], State], state: State, event: Event) -> State:
    """The state after the event. Raises IllegalTransition, which names both ends."""
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} cannot happen to what is {state}") from None
