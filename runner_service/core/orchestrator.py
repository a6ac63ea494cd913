# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orchestrator: (tree state, happening) -> (tree state, steps).

Sequential: the next child starts when the one before is done; a failure aborts those after it and undoes those before
it, last first. Concurrent: all children start, and one's failure leaves its siblings alone unless the task is atomic.
A job that failed is itself undone, before anything else is.

From the second delivery on, nobody knows what earlier ones did. So a job is first asked, in check mode, whether it
would change anything; if it would not, it is passed over. When a task fails, those of its jobs that this delivery has
not reached are asked as well, and what is there of them is undone; all is undone last first, the failed job in its
place.

Cancelling ends all tasks that have not ended: what has not started is aborted, what runs is stopped, what was done is
undone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from ..contract.messages import Task
from .frozen_sequence import FrozenSequence
from .retry import RetryRule
from .shape import shape_of
from .state import READY, RUNNING, UNDO_READY, UNDOING, Node, TreeState
from .steps import Cancel, Ended, Finish, Happening, Outcome, Report, Start, Started, Step
from .turn import Turn
from .verdicts import CANCELLED

_UNASKED = Outcome(error=replace(CANCELLED, detail="no session was free to look what there is of it"))


def begin(task: Task, *, attempt: int = 1, retry: RetryRule | None = None) -> tuple[TreeState, tuple[Step, ...]]:
    """The state of a tree whose first jobs are with their lanes, and the steps that take it there."""
    shape = shape_of(task)
    nodes = FrozenSequence.of([Node()] * len(shape.nodes))
    turn = Turn(TreeState(shape, nodes, attempt, retry or RetryRule()))
    turn.start(0)
    return turn.result()


def after(state: TreeState, happening: Happening) -> tuple[TreeState, tuple[Step, ...]]:
    """The state after the happening, and the steps to take, in order. What comes twice or too late changes nothing."""
    if isinstance(happening, Cancel):
        return _cancelled(state)
    number = state.shape.numbers[happening.job_id]
    node = state.nodes[number]
    if happening.run not in (0, node.run):
        return state, ()
    turn = Turn(state)
    if isinstance(happening, Started):
        if node.phase is READY:
            turn.job_started(number)
        elif node.phase is UNDO_READY:
            turn.undoing_started(number)
    elif node.phase is RUNNING:
        turn.job_ended(number, happening.outcome)
    elif node.phase is UNDOING:
        turn.undoing_ended(number, happening.outcome)
    return turn.result()


def unasked(task: Task) -> tuple[Step, ...]:
    """The reports that end a task which earlier deliveries have begun, which was cancelled, and of which nobody can ask
    the hypervisor anything. All that they may have done has failed half-way, and so has the undoing of it."""
    state, steps = begin(task, attempt=2)
    waiting = deque[Happening]([Cancel()])
    told: list[Step] = []
    while True:
        for step in steps:
            if isinstance(step, Start):
                job_id = step.job.id
                waiting += Started(job_id, step.run), Ended(job_id, _UNASKED, step.run)
            elif isinstance(step, (Report, Finish)):
                told.append(step)
        if not waiting:
            return tuple(told)
        state, steps = after(state, waiting.popleft())


def _cancelled(state: TreeState) -> tuple[TreeState, tuple[Step, ...]]:
    if state.cancelled or state.finished:
        return state, ()
    turn = Turn(state)
    turn.cancel()
    return turn.result()
