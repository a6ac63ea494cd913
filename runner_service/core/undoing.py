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

#: What it takes to undo a job: the definition to go back to, and of most nothing.
Way = dict[str, Any]
_NOTHING: Way = {}


def way_back(job: Job, outcome: Outcome, *, untouched: bool) -> Way | None:
    """What it takes to undo what ``job`` did, whole or half-way; None if nothing can or need be taken back.

    ``untouched`` says that no earlier run of the job can have begun anything, so that "nothing changed" means that it
    was so before the task began. After a crash or a retry the change may be our own.
    """
    inverse = OPERATIONS[job.operation].inverse
    if inverse is None or (untouched and _left_all_as_it_was(outcome)):
        return None
    if inverse is Operation.SNAPSHOT_DELETE and outcome.changed is False:
        return None  # One that is there already may be somebody else's, with the only copy of what it holds.
    if inverse is not Operation.RECONFIGURE:
        return _NOTHING
    before = _definition_before(job, outcome, untouched=untouched)
    # An empty disk made anew would pass for the one that is gone, with all that was on it.
    return None if before is None or _disks(before) - _disks(job.definition) else before


def undoing_of(job: Job, way: Way) -> Job:
    """The job that takes back what ``job`` did. Made only when it is needed: nearly all jobs end well."""
    inverse = OPERATIONS[job.operation].inverse
    assert inverse is not None
    if inverse is Operation.RECONFIGURE:
        allowed = job.allow_disk_removal or bool(_disks(job.definition) - _disks(way))
        return replace(job, definition=way, previous=job.definition, sealed_user_data=None, allow_disk_removal=allowed)
    return replace(job, operation=inverse, timeout=None, sealed_user_data=None)


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
    return (found or job.previous if untouched else job.previous or found) or None


def _disks(definition: dict[str, Any] | None) -> frozenset[str]:
    return frozenset(disk.get("name", "") for disk in (definition or {}).get("disks") or ())
