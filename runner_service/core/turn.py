# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One turn of the orchestrator: from one state to the next, collecting steps on the way.

Failures and ends climb from child to parent in loops; only the (bounded) way down is recursive. The way back is told in
``rollback``.
"""

from __future__ import annotations

from dataclasses import replace

from ..contract.messages import ErrorReport, Job, Mode, Task
from ..contract.operations import OPERATIONS
from ..contract.states import Event
from .rollback import Rollback
from .shape import can_roll_back
from .state import ABORTED, DONE, FAILED, READY, RUNNING, UNDO_READY, WAITING
from .steps import Outcome, Stop, Withdraw
from .undoing import as_whole, way_back
from .verdicts import CANCELLED, as_cancelled, judged, remains_of

_WELL, _BADLY = (DONE, Event.DONE), (FAILED, Event.ERROR)
_SEQUENTIAL = Mode.SEQUENTIAL


class Turn(Rollback):
    """Makes a new state; the one that it is given stays as it is."""

    # -- forward ------------------------------------------------------------------------------------------------------

    def start(self, number: int) -> None:
        """Hand out what of the node can start now."""
        node = self._shape.nodes[number]
        if isinstance(node, Job):
            check = self._again and OPERATIONS[node.operation].can_be_checked
            self._hand_out(number, node, check=check, phase=READY)
            return
        children = self._shape.children[number]
        first = children[:1] if node.mode is _SEQUENTIAL else children
        self._set(number, phase=RUNNING, open=len(first))
        for child in first:
            self.start(child)

    def job_started(self, number: int) -> None:
        if not self._node(number).started:
            self._report_started(number)
        self._set(number, phase=RUNNING, started=True)

    def job_ended(self, number: int, outcome: Outcome) -> None:
        node = self._node(number)
        if node.doubt is not None:
            self._job_over(number, judged(node.doubt, outcome))
        elif self._tries_again(number, outcome):
            return
        elif node.check:
            self._check_ended(number, outcome)
        elif outcome.unseen and self._needs_judgement(number, outcome):
            self._hand_out(number, self._job(number), check=True, phase=READY, doubt=outcome, touched=True)
        else:
            self._job_over(number, outcome)

    def _check_ended(self, number: int, outcome: Outcome) -> None:
        """What an earlier delivery did is passed over; what it did not is done now, if it is still wanted."""
        if self._cancelled:
            remains = remains_of(self._job(number).operation, outcome)
            if remains is None:
                self._give_up(number)
            else:
                self._job_over(number, remains)
        elif outcome.ok and outcome.changed is not False:
            self._hand_out(number, self._job(number), phase=READY, tries=0)
        else:
            self._job_over(number, outcome)

    def _needs_judgement(self, number: int, outcome: Outcome) -> bool:
        """Of a run whose end nobody saw. What is undone next, whatever was done, needs none."""
        job = self._job(number)
        if outcome.ok or not OPERATIONS[job.operation].can_be_checked:
            return False
        return not self._cancelled or way_back(job, outcome, untouched=False) is None

    def _job_over(self, number: int, outcome: Outcome) -> None:
        if self._cancelled and not outcome.ok and OPERATIONS[self._job(number).operation].reads_only:
            self._give_up(number)
            return
        outcome = self._conclude(number, outcome)
        if outcome.ok:
            self._climb(number, None)
        else:
            self._job_failed(number, outcome.error)

    def _conclude(self, number: int, outcome: Outcome) -> Outcome:
        """The job has ended: how, and what it would take to undo it."""
        untouched = not (self._again or self._node(number).touched)
        outcome = as_whole(outcome, untouched=untouched)
        if self._cancelled:
            outcome = as_cancelled(outcome)
        back = way_back(self._job(number), outcome, untouched=untouched)
        phase, event = _WELL if outcome.error is None else _BADLY
        self._set(number, phase=phase, way_back=back, check=False, doubt=None)
        self._report(number, event, outcome)
        return outcome

    def _give_up(self, number: int) -> None:
        """Nothing of the job is at the hypervisor, and nothing will be."""
        self._set(number, phase=ABORTED)
        self._report(number, Event.ABORTED)
        self._climb(number, None, failed=True)

    def _job_failed(self, number: int, error: ErrorReport | None) -> None:
        self._stop_atomic_above(number)
        if not self._is_undone_in_its_place(number) and self._undo(number):
            self._set(number, error=error)
        else:
            self._climb(number, error)

    def _is_undone_in_its_place(self, number: int) -> bool:
        """By a task above, after what comes behind it, because an earlier delivery may have reached that."""
        if not self._again:
            return False
        parent = self._shape.parents[number]
        while parent is not None and not can_roll_back(self._task(parent)):
            parent = self._shape.parents[parent]
        return parent is not None

    def _tries_again(self, number: int, outcome: Outcome) -> bool:
        """What was cancelled is not, but its undoing is."""
        node = self._node(number)
        forward = node.phase is RUNNING
        tries = node.tries if outcome.innocent else node.tries + 1
        delay = 0.0 if outcome.innocent else self._state.retry.delay_after(outcome, self._job(number).id, tries)
        if delay is None or (forward and self._cancelled):
            return False
        touched = node.touched or (outcome.error is not None and outcome.error.begun)
        self._hand_out(
            number, node.undo or self._job(number), undo=node.undo is not None, check=node.check, delay=delay,
            phase=READY if forward else UNDO_READY, tries=tries, touched=touched,
        )  # fmt: skip
        return True

    # -- ends climb ---------------------------------------------------------------------------------------------------

    def _climb(self, number: int, error: ErrorReport | None, *, failed: bool = False) -> None:
        """The node has ended, whole (no error) or failed and with its own undoing behind it."""
        failed = failed or error is not None
        parent = self._shape.parents[number]
        while parent is not None:
            if not self._child_ended(parent, error, failed=failed):
                return
            failed = self._node(parent).phase is not DONE
            error = self._node(parent).error
            self._settle(parent)
            parent = self._shape.parents[parent]
        self._finish()

    def _child_ended(self, number: int, error: ErrorReport | None, *, failed: bool) -> bool:
        """Whether the task has ended with it."""
        if error is not None and self._node(number).error is None:
            self._set(number, error=error)
        if self._task(number).mode is _SEQUENTIAL:
            return self._step_ended(number, failed=failed)
        return self._sibling_ended(number, failed=failed)

    def _step_ended(self, number: int, *, failed: bool) -> bool:
        node, children = self._node(number), self._shape.children[number]
        rest = children[node.turn + 1 :]
        if not failed and not rest and not self._cancelled:
            self._set(number, phase=DONE)
            return True
        if not failed and not node.stopping:
            self._set(number, turn=node.turn + 1)
            self.start(rest[0])
            return False
        for child in rest:
            self._abort(child)
        return self._failed_whole(number)

    def _sibling_ended(self, number: int, *, failed: bool) -> bool:
        node = self._node(number)
        stopping = node.stopping or failed
        self._set(number, open=node.open - 1, stopping=stopping)
        if node.open > 1:
            return False
        if stopping and (self._cancelled or self._task(number).atomic):
            return self._failed_whole(number)
        self._set(number, phase=FAILED if stopping else DONE)
        return True

    def _failed_whole(self, number: int) -> bool:
        """All that was done in the task is to be undone; whether that takes no time."""
        if self._is_undone_in_its_place(number):
            self._set(number, phase=FAILED)
            return True
        return not self._undo_children(number)

    def _stop_atomic_above(self, number: int) -> None:
        """All tasks above fail with the job; the atomic ones among them stop at once, while it is being undone."""
        parent = self._shape.parents[number]
        while parent is not None:
            if self._task(parent).atomic and not self._node(parent).stopping:
                self._set(parent, stopping=True)
                self._stop_below(parent)
            parent = self._shape.parents[parent]

    def _stop_below(self, number: int) -> None:
        """Take back what is with the lanes and has not started. What runs is let end, unless the task is cancelled."""
        for child in self._shape.children[number]:
            node = self._node(child)
            if isinstance(self._shape.nodes[child], Task):
                if node.phase is RUNNING:
                    self._set(child, stopping=True)
                    self._stop_below(child)
            elif node.phase is READY and not node.started:
                self._steps.append(Withdraw(self._job(child).id))
                self._abort(child)
                # Of an atomic task, the job that failed has not climbed yet, so that the task does not end here.
                self._climb(child, None, failed=True)
            elif self._cancelled and node.phase in (READY, RUNNING):
                self._break_off(child)

    def _abort(self, number: int) -> None:
        """This delivery starts nothing of the node. What earlier ones left of it is asked when it is to be undone."""
        node = self._shape.nodes[number]
        may_be_there = self._again and (isinstance(node, Task) or OPERATIONS[node.operation].can_be_checked)
        self._set(number, phase=WAITING if may_be_there else ABORTED)
        if isinstance(node, Job) and not may_be_there:
            self._report(number, Event.ABORTED)
        for child in self._shape.children[number]:
            self._abort(child)

    # -- cancelled ----------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """End all that has not ended, as its owner wants; what is being undone goes on."""
        self._cancelled = True
        if self._node(0).phase is RUNNING:
            self._set(0, stopping=True)
            self._stop_below(0)

    def _break_off(self, number: int) -> None:
        """The job has started. If it only asks, and nothing undoes it, then the answer is what its VM's state is."""
        node, job = self._node(number), self._job(number)
        over = node.doubt or Outcome(error=replace(CANCELLED, begun=node.touched))
        if node.check and way_back(job, over, untouched=False) is None:
            return
        if node.phase is RUNNING:
            self._steps.append(Stop(job.id))
        else:
            self._steps.append(Withdraw(job.id))
            self._job_over(number, over)
