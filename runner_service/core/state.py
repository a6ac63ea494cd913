# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a task tree: one small value per node."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

from ..contract.messages import ErrorReport, Job
from .frozen_sequence import FrozenSequence
from .retry import RetryRule
from .shape import Shape
from .steps import Outcome
from .undoing import Way


class Phase(Enum):
    """Where a node is on its way. READY and UNDO_READY are of jobs: they wait for a session of their lane."""

    WAITING = auto()
    READY = auto()
    RUNNING = auto()
    DONE = auto()
    FAILED = auto()
    ABORTED = auto()
    UNDO_READY = auto()
    UNDOING = auto()
    #: Undone, or it was tried.
    UNDONE = auto()


# The members by name: Python 3.11 looks Phase.READY up by a function, each time.
WAITING, READY, RUNNING, DONE, FAILED, ABORTED, UNDO_READY, UNDOING, UNDONE = Phase


class Node(NamedTuple):
    """What is known of one job or task."""

    phase: Phase = Phase.WAITING
    #: A job: counts its runs and those of its undoing, as they are handed out.
    run: int = 0
    #: A job: the run that waits or runs only asks, in check mode.
    check: bool = False
    #: A task: one of its jobs has started. A job: the start of it, or of its undoing, was reported.
    started: bool = False
    #: A job: how often its run, or that of its undoing, has been tried and failed.
    tries: int = 0
    #: A job: a run of it that failed may have changed something.
    touched: bool = False
    #: A job: the end of its run, or of its undoing, that nobody saw, and that a check run is to judge.
    doubt: Outcome | None = None
    #: A job that has ended: what it would take to undo it; None: there is nothing to undo.
    way_back: Way | None = None
    #: A job that is being undone: what undoes it.
    undo: Job | None = None
    #: A task that fails as a whole: no further child is started.
    stopping: bool = False
    #: A sequential task: the place of the child whose turn it is.
    turn: int = 0
    #: A concurrent task: how many children are under way.
    open: int = 0
    #: A task: the first failure below it.
    error: ErrorReport | None = None

    def with_fields(self, **fields: Any) -> Node:
        """The node with other values in these fields: ``_replace``, in a quarter of its time."""
        values = list(self)
        for name, value in fields.items():
            values[_PLACES[name]] = value
        return _new_tuple(Node, values)


_PLACES = {name: place for place, name in enumerate(Node._fields)}
_new_tuple = tuple.__new__


class TreeState(NamedTuple):
    """A task tree on its way. ``finished`` once nothing is left to do."""

    shape: Shape
    nodes: FrozenSequence[Node]
    #: Which delivery of the request this is; from the second on, jobs may have been run before.
    attempt: int = 1
    retry: RetryRule = RetryRule()
    cancelled: bool = False
    finished: bool = False
