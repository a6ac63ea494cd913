# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: how what was done is undone, within one turn of the orchestrator."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..contract.messages import ErrorReport, Mode, Task
from ..contract.states import Event
from .draft import Draft
from .state import ABORTED, UNDO_READY, UNDOING, UNDONE, WAITING
from .steps import Outcome
from .undoing import as_whole, undoing_of
from .verdicts import judged, remains_of

_SEQUENTIAL = Mode.SEQUENTIAL


class Rollback(Draft, ABC):
    """Undoes jobs and tasks; where that ends, what began it goes on (``_climb``)."""

    @abstractmethod
    def _climb(self, number: int, error: ErrorReport | None, *, failed: bool = False) -> None:
        """The node has ended, whole (no error) or failed and with its own undoing behind it."""

    @abstractmethod
    def _conclude(self, number: int, outcome: Outcome) -> Outcome:
        """The job has ended: how, and what it would take to undo it."""

    @abstractmethod
    def _tries_again(self, number: int, outcome: Outcome) -> bool:
        """Whether the run, or that of the undoing, is made once more."""

    def _undo(self, number: int) -> bool:
        """Begin to undo what the node did; whether that takes time."""
        node = self._node(number)
        if node.phase is ABORTED or node.phase is UNDONE:
            return False
        if isinstance(self._shape.nodes[number], Task):
            # A part whose end has been reported stays as it is.
            return number not in self._shape.settled_with and self._undo_children(number)
        if node.phase is WAITING:
            self._hand_out(number, self._job(number), check=True, phase=UNDO_READY)
            return True
        if node.way_back is None:
            return False
        undo = undoing_of(self._job(number), node.way_back)
        self._set(number, undo=undo)
        self._hand_out(number, undo, undo=True, phase=UNDO_READY, tries=0, started=False)
        return True

    def _undo_children(self, number: int) -> bool:
        """Those of a sequential task one by one, from the last backwards; else all at once."""
        self._set(number, phase=UNDOING)
        children = self._shape.children[number]
        if self._task(number).mode is _SEQUENTIAL:
            return self._undo_from(number, len(children) - 1)
        under_way = sum([self._undo(child) for child in children])
        self._set(number, open=under_way, phase=UNDOING if under_way else UNDONE)
        return under_way > 0

    def _undo_from(self, number: int, turn: int) -> bool:
        children = self._shape.children[number]
        while turn >= 0:
            if self._undo(children[turn]):
                self._set(number, turn=turn)
                return True
            turn -= 1
        self._set(number, phase=UNDONE)
        return False

    def undoing_started(self, number: int) -> None:
        node = self._node(number)
        if node.undo is not None and not node.started:
            self._report(number, Event.ROLLBACK_START)
        self._set(number, phase=UNDOING, started=node.undo is not None)

    def undoing_ended(self, number: int, outcome: Outcome) -> None:
        node = self._node(number)
        if node.doubt is not None:
            self._undoing_over(number, judged(node.doubt, outcome))
        elif self._tries_again(number, outcome):
            return
        elif node.undo is None:
            self._question_ended(number, outcome)
        elif outcome.unseen and not outcome.ok:
            self._hand_out(number, node.undo, undo=True, check=True, phase=UNDO_READY, doubt=outcome)
        else:
            self._undoing_over(number, outcome)

    def _question_ended(self, number: int, outcome: Outcome) -> None:
        """A job that this delivery has not reached was asked what earlier ones left of it."""
        remains = remains_of(self._job(number).operation, outcome)
        if remains is None:
            self._set(number, phase=ABORTED)
            self._report(number, Event.ABORTED)
        else:
            self._report_started(number)
            self._conclude(number, remains)
            if self._undo(number):
                return
        self._undone(number)

    def _undoing_over(self, number: int, outcome: Outcome) -> None:
        outcome = as_whole(outcome, untouched=not (self._again or self._node(number).touched))
        self._set(number, phase=UNDONE, check=False, doubt=None)
        self._report(number, Event.ROLLBACK_DONE if outcome.ok else Event.ROLLBACK_ERROR, outcome)
        self._undone(number)

    def _undone(self, number: int) -> None:
        """Go on with undoing above, up to the node that began it; from there on its failure climbs."""
        parent = self._shape.parents[number]
        while parent is not None and self._node(parent).phase is UNDOING:
            if self._more_to_undo(parent):
                return
            number, parent = parent, self._shape.parents[parent]
        if isinstance(self._shape.nodes[number], Task):
            self._settle(number)
        self._climb(number, self._node(number).error, failed=True)

    def _more_to_undo(self, number: int) -> bool:
        node = self._node(number)
        if self._task(number).mode is _SEQUENTIAL:
            return self._undo_from(number, node.turn - 1)
        self._set(number, open=node.open - 1)
        if node.open > 1:
            return True
        self._set(number, phase=UNDONE)
        return False
