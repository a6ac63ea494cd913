# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One turn of the orchestrator: from one state to the next, collecting steps on the way.

Failures and ends climb from child to parent in loops; only the (bounded) way down is recursive.
"""

from __future__ import annotations

from typing import Any

from ..contract.messages import ErrorReport, Job, Mode, Task
from ..contract.states import Event
from .state import Node, Phase, TreeState
from .steps import Finish, Outcome, Report, Start, Step, Withdraw
from .undoing import as_whole, undoing_of

_ENDED_WHOLE = frozenset({Phase.WAITING, Phase.ABORTED, Phase.UNDONE})

ROLLED_BACK = ErrorReport(code="task.rolled_back", message="undone, because another step of the same task failed")


class Turn:
    """Makes a new state; the one that it is given stays as it is."""

    def __init__(self, state: TreeState):
        self._state = state
        self._nodes = state.nodes
        self._shape = state.shape
        self._steps: list[Step] = []
        self._finished = state.finished

    def result(self) -> tuple[TreeState, tuple[Step, ...]]:
        state = self._state
        return TreeState(state.shape, self._nodes, state.attempt, state.retry, self._finished), tuple(self._steps)

    # -- forward ------------------------------------------------------------------------------------------------------

    def start(self, number: int) -> None:
        """Hand out what of the node can start now."""
        node = self._shape.nodes[number]
        children = self._shape.children[number]
        if isinstance(node, Job):
            self._set(number, phase=Phase.READY)
            self._steps.append(Start(node))
            return
        first = children[:1] if node.mode is Mode.SEQUENTIAL else children
        self._set(number, phase=Phase.RUNNING, open=len(first))
        for child in first:
            self.start(child)

    def job_started(self, number: int) -> None:
        if self._nodes[number].tries == 0:
            self._report_tasks_started(number)
            self._report(number, Event.START)
        self._set(number, phase=Phase.RUNNING)

    def _report_tasks_started(self, number: int) -> None:
        """Of the tasks above, from the top; each says so when the first job below it starts."""
        above = []
        parent = self._shape.parents[number]
        while parent is not None and not self._nodes[parent].started:
            above.append(parent)
            parent = self._shape.parents[parent]
        for task in reversed(above):
            self._set(task, started=True)
            self._report(task, Event.START)

    def job_ended(self, number: int, outcome: Outcome) -> None:
        if self._tries_again(number, outcome, Phase.READY):
            return
        untouched = self._state.attempt == 1 and not self._nodes[number].touched
        outcome = as_whole(outcome, untouched=untouched)
        undo = undoing_of(self._job(number), outcome, untouched=untouched)
        phase, event = (Phase.DONE, Event.DONE) if outcome.ok else (Phase.FAILED, Event.ERROR)
        self._set(number, phase=phase, undo=undo)
        self._report(number, event, outcome)
        if outcome.ok:
            self._climb(number, None)
        else:
            self._job_failed(number, outcome.error)

    def _job_failed(self, number: int, error: ErrorReport | None) -> None:
        self._stop_atomic_above(number)
        if self._undo(number):
            self._set(number, error=error)
        else:
            self._climb(number, error)

    def _tries_again(self, number: int, outcome: Outcome, phase: Phase) -> bool:
        node = self._nodes[number]
        delay = self._state.retry.delay_after(outcome, self._job(number).id, node.tries + 1)
        if delay is None:
            return False
        touched = node.touched or (outcome.error is not None and outcome.error.begun)
        self._set(number, phase=phase, tries=node.tries + 1, touched=touched)
        undo = phase is Phase.UNDO_READY
        job = node.undo if undo else self._job(number)
        self._steps.append(Start(job or self._job(number), undo=undo, delay=delay))
        return True

    # -- ends climb ---------------------------------------------------------------------------------------------------

    def _climb(self, number: int, error: ErrorReport | None, *, failed: bool = False) -> None:
        """The node has ended, whole (no error) or failed and with its own undoing behind it."""
        failed = failed or error is not None
        parent = self._shape.parents[number]
        while parent is not None:
            if not self._child_ended(parent, error, failed=failed):
                return
            failed = self._nodes[parent].phase is not Phase.DONE
            error = self._nodes[parent].error
            self._settle(parent)
            parent = self._shape.parents[parent]
        self._finish()

    def _child_ended(self, number: int, error: ErrorReport | None, *, failed: bool) -> bool:
        """Whether the task has ended with it."""
        if error is not None and self._nodes[number].error is None:
            self._set(number, error=error)
        if self._task(number).mode is Mode.SEQUENTIAL:
            return self._step_ended(number, failed=failed)
        return self._sibling_ended(number, failed=failed)

    def _step_ended(self, number: int, *, failed: bool) -> bool:
        node, children = self._nodes[number], self._shape.children[number]
        rest = children[node.turn + 1 :]
        if not failed and not rest:
            self._set(number, phase=Phase.DONE)
            return True
        if not failed and not node.stopping:
            self._set(number, turn=node.turn + 1)
            self.start(rest[0])
            return False
        for child in rest:
            self._abort(child)
        return not self._undo_children(number)

    def _sibling_ended(self, number: int, *, failed: bool) -> bool:
        node = self._nodes[number]
        stopping = node.stopping or failed
        self._set(number, open=node.open - 1, stopping=stopping)
        if node.open > 1:
            return False
        if stopping and self._task(number).atomic:
            return not self._undo_children(number)
        self._set(number, phase=Phase.FAILED if stopping else Phase.DONE)
        return True

    def _stop_atomic_above(self, number: int) -> None:
        """All tasks above fail with the job; the atomic ones among them stop at once, while it is being undone."""
        parent = self._shape.parents[number]
        while parent is not None:
            if self._task(parent).atomic and not self._nodes[parent].stopping:
                self._set(parent, stopping=True)
                self._stop_below(parent)
            parent = self._shape.parents[parent]

    def _stop_below(self, number: int) -> None:
        """Take back what is with the lanes and has not started; what runs is let end, and nothing comes after it."""
        for child in self._shape.children[number]:
            node = self._nodes[child]
            if isinstance(self._shape.nodes[child], Task) and node.phase is Phase.RUNNING:
                self._set(child, stopping=True)
                self._stop_below(child)
            elif node.phase is Phase.READY and node.tries == 0:
                self._steps.append(Withdraw(self._job(child).id))
                self._abort(child)
                # The job that failed has not climbed yet, so that the atomic task does not end here.
                self._climb(child, None, failed=True)

    def _abort(self, number: int) -> None:
        """Nothing of the node has started, and nothing will."""
        self._set(number, phase=Phase.ABORTED)
        if isinstance(self._shape.nodes[number], Job):
            self._report(number, Event.ABORTED)
        for child in self._shape.children[number]:
            self._abort(child)

    # -- back ---------------------------------------------------------------------------------------------------------

    def _undo(self, number: int) -> bool:
        """Begin to undo what the node did; whether that takes time."""
        node = self._nodes[number]
        if node.phase in _ENDED_WHOLE:
            return False
        if isinstance(self._shape.nodes[number], Task):
            return self._undo_children(number)
        if node.undo is None:
            return False
        self._set(number, phase=Phase.UNDO_READY, tries=0)
        self._steps.append(Start(node.undo, undo=True))
        return True

    def _undo_children(self, number: int) -> bool:
        """Those of a sequential task one by one, from the one whose turn it is backwards; else all at once."""
        self._set(number, phase=Phase.UNDOING)
        if self._task(number).mode is Mode.SEQUENTIAL:
            return self._undo_from(number, self._nodes[number].turn)
        under_way = sum([self._undo(child) for child in self._shape.children[number]])
        self._set(number, open=under_way, phase=Phase.UNDOING if under_way else Phase.UNDONE)
        return under_way > 0

    def _undo_from(self, number: int, turn: int) -> bool:
        children = self._shape.children[number]
        while turn >= 0:
            if self._undo(children[turn]):
                self._set(number, turn=turn)
                return True
            turn -= 1
        self._set(number, phase=Phase.UNDONE)
        return False

    def undoing_started(self, number: int) -> None:
        if self._nodes[number].tries == 0:
            self._report(number, Event.ROLLBACK_START)
        self._set(number, phase=Phase.UNDOING)

    def undoing_ended(self, number: int, outcome: Outcome) -> None:
        if self._tries_again(number, outcome, Phase.UNDO_READY):
            return
        self._set(number, phase=Phase.UNDONE)
        self._report(number, Event.ROLLBACK_DONE if outcome.ok else Event.ROLLBACK_ERROR, outcome)
        self._undone(number)

    def _undone(self, number: int) -> None:
        """Go on with undoing above, up to the node that began it; from there on its failure climbs."""
        parent = self._shape.parents[number]
        while parent is not None and self._nodes[parent].phase is Phase.UNDOING:
            if self._more_to_undo(parent):
                return
            number, parent = parent, self._shape.parents[parent]
        if isinstance(self._shape.nodes[number], Task):
            self._settle(number)
        self._climb(number, self._nodes[number].error, failed=True)

    def _more_to_undo(self, number: int) -> bool:
        node = self._nodes[number]
        if self._task(number).mode is Mode.SEQUENTIAL:
            return self._undo_from(number, node.turn - 1)
        self._set(number, open=node.open - 1)
        if node.open > 1:
            return True
        self._set(number, phase=Phase.UNDONE)
        return False

    # -- reports ------------------------------------------------------------------------------------------------------

    def _settle(self, number: int) -> None:
        """Report the ends of all tasks that nothing can undo any more, now that this one has ended."""
        reason = self._nodes[number].error or ROLLED_BACK
        for task in self._shape.settled_with.get(number, ()):
            node = self._nodes[task]
            if node.phase is Phase.DONE:
                self._report(task, Event.DONE)
            elif not node.started:
                self._report(task, Event.ABORTED)
            else:
                self._report(task, Event.ERROR, Outcome(error=node.error or reason))

    def _finish(self) -> None:
        self._finished = True
        self._steps.append(Finish())

    def _report(self, number: int, event: Event, outcome: Outcome | None = None) -> None:
        self._steps.append(Report(self._shape.nodes[number].id, event, outcome))

    # -- access -------------------------------------------------------------------------------------------------------

    def _set(self, number: int, **fields: Any) -> None:
        node: Node = self._nodes[number]._replace(**fields)
        self._nodes = self._nodes.replaced(number, node)

    def _job(self, number: int) -> Job:
        node = self._shape.nodes[number]
        assert isinstance(node, Job)
        return node

    def _task(self, number: int) -> Task:
        node = self._shape.nodes[number]
        assert isinstance(node, Task)
        return node
