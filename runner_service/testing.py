# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twins of the runner's edges for tests: a hypervisor in memory, and a broker that remembers what it was told.

They keep the promises of ``ports``; the hypervisor passes the same contract tests as the worker that runs Ansible.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .contract.control import Heartbeat, RunnerStatus
from .contract.messages import ErrorReport, Update
from .contract.operations import Operation
from .core.steps import Outcome
from .ports import NOT_BEGUN, Batch, Delivery, Ear, JobRunner, Tag, Work

_POWER = {
    Operation.POWER_ON: "on",
    Operation.POWER_OFF: "off",
    Operation.SHUTDOWN: "off",
    Operation.PAUSE: "paused",
    Operation.RESUME: "on",
    Operation.RESET: "on",
}


def run_one(runner: JobRunner, work: Work, cancelled: Callable[[], bool] = lambda: False) -> Outcome:
    """How a batch of one job ended."""
    outcomes: list[Outcome] = []
    runner.run(Batch(works=(work,)), Ear(cancelled=cancelled, ended=lambda _work, outcome: outcomes.append(outcome)))
    (outcome,) = outcomes
    return outcome


@dataclass
class MemoryHypervisor:
    """A JobRunner whose VMs are in a dict. Holds jobs while ``gate`` is closed; fails when ``fail`` says so."""

    vms: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Called before each job; an ErrorReport is the job's failure, and nothing is done.
    fail: Callable[[Work], ErrorReport | None] = lambda _work: None
    gate: threading.Event = field(default_factory=threading.Event)
    #: What ran, in order, as "operation vm"; and the most at once.
    ran: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    def run(self, batch: Batch, ear: Ear) -> None:
        def run(work: Work) -> None:
            ear.begun(work)
            ear.ended(work, self._run(work, ear.cancelled))

        with ThreadPoolExecutor(batch.sessions) as pool:
            list(pool.map(run, batch.works))

    def _run(self, work: Work, cancelled: Callable[[], bool]) -> Outcome:
        if cancelled():
            return Outcome(error=ErrorReport(code=NOT_BEGUN, message="not begun", begun=False))
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            looked = "would " if work.check else ""
            self.ran.append(f"{looked}{work.job.operation} {work.job.vm_id or work.hypervisor.id}")
        try:
            while not self.gate.wait(0.02):
                if cancelled():
                    return Outcome(error=ErrorReport(code="runner.stopped", message="stopped"), unseen=True)
            error = self.fail(work)
            return Outcome(error=error) if error else self._do(work)
        finally:
            with self._lock:
                self._running -= 1

    def _do(self, work: Work) -> Outcome:
        job = work.job
        if job.operation is Operation.DISCOVER or job.vm_id is None:
            return Outcome(changed=False, host={"name": "memory", "hypervisor_type": work.hypervisor.type})
        with self._lock:
            before = self.vms.get(job.vm_id)
            if before is None and job.operation in (*_POWER, Operation.RECONFIGURE):
                return Outcome(error=ErrorReport(code="driver.vm_not_found", message=f"no VM {job.vm_id}"))
            after = _after(job.operation, before, job.definition)
            if not work.check:
                self.vms.pop(job.vm_id, None)
                if after is not None:
                    self.vms[job.vm_id] = after
        changed = before != after or job.operation is Operation.RESET
        told = after is not None and job.operation is Operation.GET_STATE
        return Outcome(changed=changed, vm=after, before=before, snapshots=() if told else None)


def _after(
    operation: Operation, before: dict[str, Any] | None, definition: dict[str, Any] | None
) -> dict[str, Any] | None:
    if operation in _POWER and before is not None:
        return {**before, "power": _POWER[operation]}
    if operation in (Operation.CONFIGURE, Operation.RECONFIGURE):
        return {"power": "off", **(before or {}), "definition": definition}
    return None if operation is Operation.UNCONFIGURE else before


@dataclass
class MemoryBroker:
    """A Broker that keeps what it is told, in order."""

    updates: list[Update] = field(default_factory=list)
    acknowledged: list[Tag] = field(default_factory=list)
    given_up: list[tuple[Delivery, str]] = field(default_factory=list)
    consumed: frozenset[int] = frozenset()
    released: list[int] = field(default_factory=list)
    statuses: list[RunnerStatus] = field(default_factory=list)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    #: Seconds since it was heard of; a test sets it.
    silent: float = 0.0
    resets: int = 0

    def publish(self, update: Update) -> None:
        self.updates.append(Update.decode(update.encode()))

    def after_published(self, call: Callable[[], None]) -> None:
        call()

    def acknowledge(self, tag: Tag) -> None:
        self.acknowledged.append(tag)

    def give_up(self, delivery: Delivery, reason: str) -> None:
        self.given_up.append((delivery, reason))
        self.acknowledged.append(delivery.tag)

    def consume(self, partitions: frozenset[int]) -> None:
        self.consumed = partitions

    def release(self, partition: int, released: Callable[[], None]) -> None:
        self.released.append(partition)
        released()

    def tell(self, word: Heartbeat | RunnerStatus) -> None:
        if isinstance(word, Heartbeat):
            self.heartbeats.append(word)
        else:
            self.statuses.append(word)

    def silence(self) -> float:
        return self.silent

    def reset(self) -> None:
        self.resets += 1

    def events_of(self, node_id: str) -> list[str]:
        return [update.event.value for update in self.updates if update.node_id == node_id]
