# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for vSphere: its own word that a property has changed, never a look at the clock in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import TimedOut
from .collector import Properties
from .faults import BROKEN, FAILED
from .sdk import vim, vmodl

_Spec = vmodl.query.PropertyCollector

#: Seconds that one call waits at the server; less than a call may take (connection.CALL_TIMEOUT).
ONE_WAIT = 30
#: Seconds that a task which is given up has to come to its end.
CANCEL_PATIENCE = 20
#: How often a question is asked again that breaks off.
LOST_QUESTIONS = 3


class Waiter:
    """Waits in one connection. The collector must be its own: filters of a session's first one are everybody's."""

    def __init__(self, collector: Any):
        self._collector = collector

    def until(self, subject: Any, paths: Sequence[str], done: Callable[[Properties], bool], seconds: float) -> bool:
        """Wait until the properties of the subject are as ``done`` says; False if they are not after so many seconds.

        Raises ManagedObjectNotFound if the subject goes meanwhile."""
        return any(done(seen) for seen in self._seen(subject, paths, time.monotonic() + seconds))

    def _seen(self, subject: Any, paths: Sequence[str], deadline: float) -> Iterator[Properties]:
        """The properties now, and after each change until the deadline. If a question or its answer gets lost, all is
        asked anew: what is waited for may have taken hours."""
        for _again in range(LOST_QUESTIONS):
            try:
                yield from self._updates(subject, paths, deadline)
            except BROKEN:
                continue
            return
        yield from self._updates(subject, paths, deadline)

    def _updates(self, subject: Any, paths: Sequence[str], deadline: float) -> Iterator[Properties]:
        seen: Properties = {}
        with self._filter(subject, paths):
            version = ""
            while (left := deadline - time.monotonic()) > 0:
                wait = _Spec.WaitOptions(maxWaitSeconds=max(1, min(ONE_WAIT, int(left))))
                update = self._collector.WaitForUpdatesEx(version, wait)
                if update is not None:
                    version = update.version
                    _apply(update, seen)
                    yield seen

    @contextmanager
    def _filter(self, subject: Any, paths: Sequence[str]) -> Iterator[None]:
        watched = self._watched(subject, paths)
        wanted = [_Spec.PropertySpec(type=type(one), pathSet=list(what), all=False) for one, what in watched.items()]
        spec = _Spec.FilterSpec(propSet=wanted, objectSet=[_Spec.ObjectSpec(obj=one) for one in watched])
        made = self._collector.CreateFilter(spec, partialUpdates=False)
        try:
            yield
        finally:
            # Where the connection broke, it went with it.
            with suppress(*FAILED):
                made.DestroyPropertyFilter()

    def _watched(self, subject: Any, paths: Sequence[str]) -> dict[Any, Sequence[str]]:
        """Paths of all that is told of. No two things may be of one kind."""
        return {subject: paths}

    def finish(self, task: Any, seconds: float, tried: str) -> Any:
        """The task's result. Raises its fault, or TimedOut. Whatever else ends the wait, the task is cancelled."""
        ended: Properties = {}
        try:
            in_time = self.until(task, _TASK, lambda seen: _has_ended(seen, ended), seconds)
        except BaseException:
            self._cancel(task)
            raise
        if not in_time:
            self._cancel(task)
            raise TimedOut(f"{tried} had not ended after {round(seconds)} seconds, and vSphere was told to cancel it")
        if ended["info.state"] == vim.TaskInfo.State.error:
            raise ended["info.error"]
        return ended.get("info.result")

    def _cancel(self, task: Any) -> None:
        """Afterwards it has ended, unless it cannot be cancelled or vSphere does not answer."""
        with suppress(*FAILED):
            with suppress(vmodl.MethodFault):
                task.CancelTask()
            self.until(task, _TASK, lambda seen: _has_ended(seen, {}), CANCEL_PATIENCE)


_TASK = ("info.state", "info.error", "info.result")
_ENDS = (vim.TaskInfo.State.success, vim.TaskInfo.State.error)


def _has_ended(seen: Properties, ended: Properties) -> bool:
    ended.update(seen)
    return seen.get("info.state") in _ENDS


def _apply(update: Any, seen: Properties) -> None:
    for one in (each for change in update.filterSet for each in change.objectSet):
        if one.kind == "leave":
            raise vmodl.fault.ManagedObjectNotFound(obj=one.obj)
        for told in one.changeSet:
            if told.op == "remove":
                seen.pop(told.name, None)
            else:
                seen[told.name] = told.val
