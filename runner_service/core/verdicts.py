# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a job when its run does not tell: judged by a check run, cancelled, or begun by an earlier runner."""

from __future__ import annotations

from dataclasses import replace

from ..contract.messages import ErrorReport
from ..contract.operations import Operation
from .steps import Outcome

ROLLED_BACK = ErrorReport(code="task.rolled_back", message="undone, because another step of the same task failed")
CANCELLED = ErrorReport(code="task.cancelled", message="the task was cancelled")

#: Said by a driver that looked at the VM, and found that the operation cannot have been done to it.
_REFUSALS = frozenset({"driver.vm_not_found", "driver.invalid_transition"})


def judged(unseen: Outcome, check: Outcome) -> Outcome:
    """How a run ended whose end nobody saw, after a check run: nothing is left to change, so it was done."""
    if check.ok and check.changed is False:
        return replace(check, changed=True, before=unseen.before)
    assert unseen.error is not None
    return replace(unseen, error=replace(unseen.error, begun=True))


def as_cancelled(outcome: Outcome) -> Outcome:
    """A failure, told as what it comes from."""
    error = outcome.error
    if error is None or error.code == CANCELLED.code:
        return outcome
    told = replace(CANCELLED, detail=error.message, left=error.left, begun=error.begun)
    return replace(outcome, error=told)


def remains_of(operation: Operation, check: Outcome) -> Outcome | None:
    """What earlier deliveries left of a job that is not wanted any more, as a check run found it.

    It is done, or, told as an error, it is not: then it may be there in part, or an earlier delivery may have said that
    it was done, and undone it since. None: it cannot have been done.
    """
    if check.error is None:
        return check if check.changed is False else Outcome(error=ROLLED_BACK)
    # A configure that is refused now may have left files before; to remove a VM that is not there is no harm.
    refused = check.error.code in _REFUSALS and not check.unseen
    return None if refused and operation is not Operation.CONFIGURE else Outcome(error=check.error)
