# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A state in the making, and the steps that lead to it."""

from __future__ import annotations

from typing import Any

from ..contract.messages import Job, Task
from ..contract.states import Event
from .state import DONE, Node, TreeState
from .steps import Finish, Outcome, Report, Start, Step
from .verdicts import CANCELLED, ROLLED_BACK

START = Event.START


class Draft:
    """Collects changes and steps; the state that it is given stays as it is."""

    def __init__(self, state: TreeState):
        self._state = state
        self._shape = state.shape
        self._nodes = state.nodes
        self._changed: dict[int, Node] = {}
        self._steps: list[Step] = []
        self._cancelled = state.cancelled
        self._finished = state.finished
        #: An earlier delivery may have left something of any job.
        self._again = state.attempt > 1

    def result(self) -> tuple[TreeState, tuple[Step, ...]]:
        state = self._state
        nodes = self._nodes.replaced_all(self._changed) if self._changed else self._nodes
        new = TreeState(state.shape, nodes, state.attempt, state.retry, self._cancelled, self._finished)
        return new, tuple(self._steps)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _node(self, number: int) -> Node:
        return self._changed.get(number) or self._nodes[number]

    def _set(self, number: int, **fields: Any) -> None:
        node = self._changed.get(number) or self._nodes[number]
        self._changed[number] = node.with_fields(**fields)

    def _job(self, number: int) -> Job:
        node = self._shape.nodes[number]
        assert isinstance(node, Job)
        return node

    def _task(self, number: int) -> Task:
        node = self._shape.nodes[number]
        assert isinstance(node, Task)
        return node

    # -- steps --------------------------------------------------------------------------------------------------------

    def _hand_out(
        self, number: int, job: Job, *, undo: bool = False, check: bool = False, delay: float = 0.0, **fields: Any
    ) -> None:
        """Give a run of the job, or of what undoes it, to the lane; ``fields`` of the node change with it."""
        node = self._node(number)
        run = node.run + 1
        self._changed[number] = node.with_fields(run=run, check=check, **fields)
        self._steps.append(Start(job, undo, delay, check, run))

    def _report(self, number: int, event: Event, outcome: Outcome | None = None) -> None:
        self._steps.append(Report(self._shape.nodes[number].id, event, outcome))

    def _report_started(self, number: int) -> None:
        """Of the job, and before it of the tasks above, from the top, whose first job to start it is."""
        above = []
        parent = self._shape.parents[number]
        while parent is not None and not self._node(parent).started:
            above.append(parent)
            parent = self._shape.parents[parent]
        for task in reversed(above):
            self._set(task, started=True)
            self._report(task, START)
        self._report(number, START)

    def _settle(self, number: int) -> None:
        """Report the ends of all tasks that nothing can undo any more, now that this one has ended."""
        reason = self._node(number).error or ROLLED_BACK
        for task in self._shape.settled_with.get(number, ()):
            node = self._node(task)
            if self._cancelled:
                self._report(task, Event.CANCELLED, Outcome(error=CANCELLED))
            elif node.phase is DONE:
                self._report(task, Event.DONE)
            elif not (node.started or self._again):
                self._report(task, Event.ABORTED)
            else:
                self._report(task, Event.ERROR, Outcome(error=node.error or reason))

    def _finish(self) -> None:
        self._finished = True
        self._steps.append(Finish())
