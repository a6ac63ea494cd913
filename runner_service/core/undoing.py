# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job is undone, and when there is nothing to undo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..contract.messages import Job
from ..contract.operations import OPERATIONS, Operation
from .steps import Outcome


def undoing_of(job: Job, outcome: Outcome, *, untouched: bool) -> Job | None:
    """The job that takes back what ``job`` did, whole or half-way; None if nothing can or need be taken back.

    ``untouched`` says that no earlier run of the job can have begun anything, so that "nothing changed" means that it
    was so before the task began. After a crash or a retry the change may be our own.
    """
    inverse = OPERATIONS[job.operation].inverse
    if inverse is None or (untouched and _left_all_as_it_was(outcome)):
        return None
    if inverse is not Operation.RECONFIGURE:
        return replace(job, operation=inverse, timeout=None, sealed_user_data=None)
    definition = _definition_before(job, outcome, untouched=untouched)
    return replace(job, definition=definition, previous=job.definition, sealed_user_data=None) if definition else None


def as_whole(outcome: Outcome, *, untouched: bool) -> Outcome:
    """What the last run says, told of all runs of the job: what an earlier one has begun, the job has begun."""
    if untouched or outcome.error is None:
        return outcome
    return replace(outcome, error=replace(outcome.error, begun=True))


def _left_all_as_it_was(outcome: Outcome) -> bool:
    return outcome.changed is False if outcome.error is None else not outcome.error.begun


def _definition_before(job: Job, outcome: Outcome, *, untouched: bool) -> dict[str, Any] | None:
    """As the job found it, unless what it found may be the work of an earlier run."""
    found = (outcome.before or {}).get("definition")
    return found or job.previous if untouched else job.previous or found
