# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks and jobs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from runner_service.contract.messages import Mode
from runner_service.contract.operations import Operation
from runner_service.contract.states import (
    ENDED_JOB_STATES,
    FINAL_TASK_STATES,
    JOB_TRANSITIONS,
    ROLLBACK_TRANSITIONS,
    TASK_TRANSITIONS,
    Event,
    JobState,
    RollbackState,
    TaskState,
    advance,
)

from ..database import Base, Name, OwnId, Ref, Stamp, table_arguments

ROLLBACKS = frozenset({Event.ROLLBACK_START, Event.ROLLBACK_DONE, Event.ROLLBACK_ERROR})


class TaskType(StrEnum):
    DEPLOY = "DEPLOY"
    UNDEPLOY = "UNDEPLOY"
    RECONFIGURE = "RECONFIGURE"
    POWER_ON = "POWER_ON"
    POWER_OFF = "POWER_OFF"
    SHUTDOWN = "SHUTDOWN"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    RESET = "RESET"
    REFRESH = "REFRESH"
    SNAPSHOT = "SNAPSHOT"
    REVERT = "REVERT"
    DELETE_SNAPSHOT = "DELETE_SNAPSHOT"
    CAPTURE = "CAPTURE"
    DISCOVER = "DISCOVER"


class OwnerType(StrEnum):
    """What a task or an event is about."""

    VM = "vm"
    VIRTUALAPPLIANCE = "virtualappliance"
    HYPERVISOR = "hypervisor"
    DATACENTER = "datacenter"


class Task(Base):
    """A node of a tree: its children are tasks or jobs. Every node knows its root, so a tree is read in two queries."""

    __tablename__ = "tasks"
    __table_args__ = table_arguments(
        Index(None, "root_id"),
        Index(None, "parent_id"),
        Index(None, "owner_id"),
        Index(None, "created_at", "id"),
        Index(None, "state", "parent_id"),
        Index(None, "ended_at"),
    )

    id: Mapped[OwnId]
    parent_id: Mapped[Ref | None] = mapped_column(ForeignKey("tasks.id"))
    #: Not a foreign key: a root is its own root.
    root_id: Mapped[Ref]
    position: Mapped[int] = mapped_column(default=0)
    type: Mapped[TaskType]
    owner_type: Mapped[OwnerType]
    owner_id: Mapped[Ref]
    name: Mapped[Name]
    mode: Mapped[Mode] = mapped_column(default=Mode.SEQUENTIAL)
    state: Mapped[TaskState] = mapped_column(default=TaskState.QUEUED)
    error: Mapped[dict[str, Any] | None]
    requested_by: Mapped[str] = mapped_column(String(255))
    #: Who asked to cancel it, and when.
    cancel_asked_by: Mapped[str | None] = mapped_column(String(255))
    cancel_asked_at: Mapped[datetime | None]
    created_at: Mapped[Stamp]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    tasks: Mapped[list[Task]] = relationship(lazy="raise", order_by="Task.position")
    jobs: Mapped[list[Job]] = relationship(lazy="raise", order_by="Job.position")

    @property
    def children(self) -> list[Task | Job]:
        return sorted([*self.tasks, *self.jobs], key=lambda node: node.position)

    @property
    def ended(self) -> bool:
        return self.state in FINAL_TASK_STATES

    def record(self, event: Event, at: datetime, error: dict[str, Any] | None = None) -> None:
        """The event happened. Raises IllegalTransition."""
        self.state = advance(TASK_TRANSITIONS, self.state, event)
        self.error = error or self.error
        if event is Event.START:
            self.started_at = self.started_at or at
        if self.ended:
            self.ended_at = at


class Job(Base):
    """A leaf: one operation on one VM, or on the hypervisor itself. ``vm_name`` is the owner's name for the VM."""

    __tablename__ = "jobs"
    __allow_unmapped__ = True
    __table_args__ = table_arguments(
        Index(None, "root_id"), Index(None, "task_id"), Index(None, "request_id"), Index(None, "created_at", "id")
    )

    id: Mapped[OwnId]
    task_id: Mapped[Ref] = mapped_column(ForeignKey("tasks.id"))
    root_id: Mapped[Ref]
    #: The request that asks a runner for it.
    request_id: Mapped[Ref]
    position: Mapped[int] = mapped_column(default=0)
    operation: Mapped[Operation]
    vm_id: Mapped[Ref | None]
    vm_name: Mapped[Name | None]
    hypervisor_id: Mapped[Ref]
    hypervisor_name: Mapped[Name]
    timeout: Mapped[int | None]
    #: What else of the message's Job its runner is told, by name, beside the VM: what it may do.
    options: Mapped[dict[str, Any] | None]
    state: Mapped[JobState] = mapped_column(default=JobState.PENDING)
    rollback_state: Mapped[RollbackState] = mapped_column(default=RollbackState.NONE)
    changed: Mapped[bool | None]
    error: Mapped[dict[str, Any] | None]
    attempt: Mapped[int] = mapped_column(default=0)
    runner: Mapped[str] = mapped_column(String(255), default="")
    #: How often it was run in its last attempt.
    tries: Mapped[int | None]
    #: What a person needs to run it by hand: hypervisor, definition, timeout; credentials by reference.
    replay: Mapped[dict[str, Any] | None]
    #: What Ansible said of its runs, secrets removed (docs/traces.md).
    trace: Mapped[dict[str, Any] | None]
    created_at: Mapped[Stamp]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    #: What it waits for, where a service has looked (services.places); not a column.
    waits_for: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED_JOB_STATES

    def hear(self, attempt: int, runner: str) -> None:
        """A runner reports. What became of undoing the job in an earlier attempt says nothing about this one."""
        if attempt > self.attempt:
            self.rollback_state = RollbackState.NONE
        self.attempt, self.runner = attempt, runner

    def record(self, event: Event, at: datetime, error: dict[str, Any] | None = None) -> None:
        """The event happened. A job that starts again forgets how it ended before. Raises IllegalTransition."""
        if event in ROLLBACKS:
            self.rollback_state = advance(ROLLBACK_TRANSITIONS, self.rollback_state, event)
            self.error = _with_rollback(self.error, error)
            return
        self.state = advance(JOB_TRANSITIONS, self.state, event)
        self.error = error
        self.changed = None
        if event is Event.START:
            self.started_at, self.ended_at = at, None
        else:
            self.ended_at = at


def _with_rollback(error: dict[str, Any] | None, rollback: dict[str, Any] | None) -> dict[str, Any] | None:
    """Why the job failed stays first; what its undoing left behind joins it."""
    if error is None or rollback is None:
        return rollback or error
    return {
        **error,
        "left": [*error.get("left", ()), *rollback.get("left", ())],
        "rollback": {"code": rollback["code"], "message": rollback["message"]},
    }
