# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers that go on with the next host of their task, instead of ending with the first one.

Ansible forks a process for each task of each host, and most of what a short task costs is that fork: the memory that is
copied behind it, and the templates, specs and classes that each process makes anew. Here a worker that has a task of
our collection stays and is given the next host for the same task. It is what a fresh fork would be: it gets the host's
variables as the strategy made them, what was registered since it was forked, and a task that nobody has touched.
Anything else that is queued ends it: tasks of others may depend on what changed since in ways that nobody can tell.

This leans on internals of ansible-core 2.19, which is pinned; tests hold results and events of both ways alike.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from multiprocessing.connection import wait
from typing import Any

from ansible._internal._task import TaskContext
from ansible.errors import AnsibleError
from ansible.executor.process.worker import WorkerProcess
from ansible.plugins import strategy
from ansible.utils.multiprocessing import context as processes

from .differences import Difference, difference
from .fitness import has_been_left_something, has_foreign_templates, may_be_kept, surroundings
from .journal import Entry, Journal

#: Set to 0: each task of each host has a process of its own, as ever.
VARIABLE = "MILLWRIGHT_KEEP_WORKERS"
#: What changes variables while a play runs, and can be told a worker afterwards; and what changes the hosts there are.
_TOLD = ("set_host_facts", "set_nonpersistent_facts", "set_host_variable", "clear_facts")
_RENEWS = ("add_dynamic_host", "add_dynamic_group", "refresh_inventory")
#: Tasks for which idle workers are kept where hosts are at different ones, as with the ``free`` strategy.
_TASKS = 4
#: Seconds for which who asks whether a worker is busy is kept waiting, at most: Ansible asks without a pause.
_PAUSE = 0.005
#: As Ansible says it.
DEAD = "A worker was found in a dead state"
#: Seconds for workers that are not needed any more to end.
_LAST = 2.0
_DONE = _ENOUGH = b""


def install() -> Pool:
    """From now on strategies of this process, and of those forked from it, have kept workers."""
    pool = Pool()
    strategy.WorkerProcess = pool.worker
    return pool


class KeptWorker(WorkerProcess):  # type: ignore[misc]  # Ansible has no types
    """In the parent: a process and the line to it. In the process: what it does."""

    def __init__(self, pool: Pool, told: Mapping[str, Any]):
        super().__init__(**told)
        self._pool = pool
        self.variables: Mapping[str, Any] = told["task_vars"]
        self.heard = pool.journal.length
        self.line, self._own_end = processes.Pipe()
        #: Whether it is with a host.
        self.is_busy = False

    def start(self) -> None:
        super().start()
        self._own_end.close()

    def give(self, message: bytes) -> None:
        """Raises AnsibleError if the process has ended: about an OSError Ansible says nothing, and forgets the host."""
        try:
            self.line.send_bytes(message)
        except OSError as error:
            raise AnsibleError(DEAD) from error

    def hear(self) -> None:
        """Take its answer, if there is one: it has told the result before."""
        with suppress(EOFError, OSError):
            if self.is_busy and self.line.poll():
                self.line.recv_bytes()
                self.is_busy = False

    def end(self) -> None:
        """As soon as it is not busy."""
        with suppress(AnsibleError):
            self.give(_ENOUGH)
        if not self.is_busy:
            self.line.close()

    def _run(self) -> None:
        self.line.close()
        self._pool.leave_to_parent()
        task, self._task_vars = self._task, _own(dict(self.variables))
        before = surroundings()
        while True:
            self._serve(task)
            if has_been_left_something() or surroundings() != before or has_foreign_templates():
                return
            try:
                self._own_end.send_bytes(_DONE)
                message = self._own_end.recv_bytes()
            except (EOFError, OSError):
                return
            if message == _ENOUGH:
                return
            self._become_fresh(*pickle.loads(message))  # noqa: S301  # our parent's

    def _serve(self, task: Any) -> None:
        """One host. Running changes task and variables, and empties the host."""
        self._task = task.copy(exclude_parent=True, exclude_tasks=True)
        self._task._parent = task._parent
        host = self._host
        variables, groups = host.vars, host.groups
        with TaskContext(self._task):
            super()._run()
        host.vars, host.groups = variables, groups

    def _become_fresh(self, host: str, changes: Difference, news: list[Entry]) -> None:
        for method, arguments, named in news:
            getattr(self._variable_manager, method)(*arguments, **named)
        self._host = self._variable_manager._inventory.get_host(host)
        self._task_vars = _own(changes.applied_to(self.variables))
        self._loader._tempfiles = set()
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()


class Turn:
    """A kept worker's time with one host: what a strategy takes for a process of its own."""

    def __init__(self, worker: KeptWorker, host: Any, task: Any, begin: Callable[[], None], pause: Callable[[], None]):
        self._worker, self._begin, self._pause = worker, begin, pause
        self._host, self._task = host, task
        self.worker_id = worker.worker_id
        self.worker_queue = worker.worker_queue
        self._is_over = False

    def start(self) -> None:
        self._worker.is_busy = True
        self._begin()

    def is_alive(self) -> bool:
        if self._look():
            self._pause()
        return self._look()

    def _look(self) -> bool:
        """Whether the worker is with the host."""
        if not self._is_over:
            self._worker.hear()
            self._is_over = not self._worker.is_busy
        return not self._is_over and bool(self._worker.is_alive())

    @property
    def exitcode(self) -> int | None:
        """Of a process that ended before it was done with the host; 0 when it is done."""
        if self._look():
            return None
        return 0 if self._is_over else self._worker.exitcode

    @property
    def pid(self) -> int | None:
        process: int | None = self._worker.pid
        return process

    def terminate(self) -> None:
        self._worker.terminate()

    def close(self) -> None:
        """The worker may be needed yet."""


class Pool:
    """The kept workers of one ``ansible-playbook``: at most one for each of a strategy's slots and task."""

    def __init__(self) -> None:
        self.journal = Journal()
        self._workers: dict[tuple[int, str], KeptWorker] = {}
        self.journal.is_read = lambda: bool(self._workers)
        self._turns: dict[int, Turn] = {}
        self._play: Any = None
        #: Hosts and tasks that were done once.
        self._given: set[tuple[str, str]] = set()
        #: For how many tasks workers are kept, and those whose workers had to make room.
        self._tasks = 1
        self._outworn: set[str] = set()
        self._managers: set[int] = set()

    def worker(self, **told: Any) -> Turn | WorkerProcess:
        """What runs the task for the host, as a strategy wants it. Raises AnsibleError if who had its slot before has
        died of it: Ansible would overlook that."""
        slot = told["worker_id"]
        before = self._turns.pop(slot, None)
        if before is not None and before.exitcode:
            raise AnsibleError(DEAD)
        self._look_at_play(told)
        if os.environ.get(VARIABLE) == "0" or not may_be_kept(told["task"]):
            self.retire()
            return WorkerProcess(**told)
        self._look_at_repetition(told)
        self._turns[slot] = turn = self._turn(slot, told)
        self.journal.forget(min(worker.heard for worker in self._workers.values()))
        return turn

    def _look_at_repetition(self, told: dict[str, Any]) -> None:
        """A task that is done again for a host, as by its debugger, may have been changed in between."""
        given = told["host"].name, str(told["task"]._uuid)
        if given in self._given:
            self.retire(given[1])
        self._given.add(given)

    def _turn(self, slot: int, told: dict[str, Any]) -> Turn:
        key = slot, str(told["task"]._uuid)
        kept = self._workers.get(key)
        message = None if kept is None else self._message_to(kept, told)
        if kept is not None and message is not None:
            return Turn(kept, told["host"], told["task"], lambda: kept.give(message), self._pause)
        if kept is not None:
            self._workers.pop(key).end()
        self._make_room(key[1])
        worker = self._workers[key] = KeptWorker(self, told)
        return Turn(worker, told["host"], told["task"], worker.start, self._pause)

    def _message_to(self, worker: KeptWorker, told: dict[str, Any]) -> bytes | None:
        """What makes it what a fork of this moment would be; None if it cannot be told, or the worker has died."""
        if not worker.is_alive():
            return None
        news = self.journal.since(worker.heard)
        try:
            message = pickle.dumps((told["host"].name, difference(worker.variables, told["task_vars"]), news))
            pickle.loads(message)  # noqa: S301  # our own: what cannot be read would end the worker
        except Exception:  # noqa: BLE001  # whatever a value raises that cannot be sent
            return None
        worker.heard = self.journal.length
        return message

    def _look_at_play(self, told: dict[str, Any]) -> None:
        """Another play, or another batch of its hosts, has other hosts and other objects."""
        play = told["task_vars"].get("hostvars")
        if play is not self._play:
            self.retire()
            self._play = play
        manager = told["variable_manager"]
        if id(manager) not in self._managers:
            self._managers.add(id(manager))
            self._follow(manager)

    def _follow(self, manager: Any) -> None:
        for method in _TOLD:
            self.journal.keep(manager, method)
        for method in _RENEWS:
            _before(manager._inventory, method, self.retire)

    def _make_room(self, task: str) -> None:
        """A strategy that comes back to a task whose workers have ended has hosts at several."""
        if task in self._outworn:
            self._tasks = _TASKS
        tasks = list(dict.fromkeys(of for _slot, of in self._workers if of != task))
        for old in tasks[: max(0, len(tasks) - self._tasks + 1)]:
            self._outworn.add(old)
            self.retire(old)

    def retire(self, task: str | None = None) -> None:
        """Workers of the task, or all, end as soon as they are done with the hosts that they have."""
        for key in [key for key in self._workers if task in (None, key[1])]:
            self._workers.pop(key).end()

    def close(self) -> None:
        """Afterwards no worker is left, but for one that does not end: it is for whoever ends the run."""
        self.retire()
        until = time.monotonic() + _LAST
        for worker in processes.active_children():
            worker.join(max(0.0, until - time.monotonic()))

    def _pause(self) -> None:
        """Until one of the busy workers has said something, or ended."""
        wait([turn._worker.line for turn in self._turns.values() if turn._worker.is_busy], _PAUSE)

    def leave_to_parent(self) -> None:
        """In a worker: what is the parent's, so that others hear when the parent is gone."""
        for turn in self._turns.values():
            turn._worker.line.close()
        for worker in self._workers.values():
            worker.line.close()


def _own(variables: dict[str, Any]) -> dict[str, Any]:
    """With facts of its own: Ansible adds to them in its worker, as to which Python a host has."""
    facts = copy(variables.get("ansible_facts"))
    if facts is not None:
        variables["ansible_facts"] = facts
        if "vars" in variables:
            variables["vars"] = variables["vars"] | {"ansible_facts": facts}
    return variables


def _before(owner: Any, method: str, first: Callable[[], None]) -> None:
    original = getattr(owner, method)

    def both(*arguments: Any, **options: Any) -> Any:
        first()
        return original(*arguments, **options)

    setattr(owner, method, both)
