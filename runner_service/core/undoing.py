# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job is undone, and when there is nothing to undo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..contract.messages import ErrorReport, Job
from ..contract.operations import OPERATIONS, Operation
from .steps import Outcome

#: Failures from before anything is tried at the hypervisor.
NOTHING_BEGUN = frozenset(
    {"credentials.unreadable", "definition.invalid", "driver.authentication_failed", "driver.unsupported"}
)


def undoing_of(job: Job, outcome: Outcome, *, untouched: bool) -> Job | None:
    """The job that takes back what ``job`` did, whole or half-way; None if nothing can or need be taken back.

    ``untouched`` says that no earlier run of the job can have begun anything, so that "nothing changed" means that it
    was so before the task began. After a crash or a retry the change may be our own.
    """
    inverse = OPERATIONS[job.operation].inverse
    if inverse is None or (untouched and _left_all_as_it_was(outcome)):
        return None
    if inverse is not Operation.RECONFIGURE:
        return replace(job, operation=inverse, timeout=None)
    definition = _definition_before(outcome) or job.previous
    return replace(job, definition=definition, previous=job.definition) if definition else None


def has_begun_nothing(error: ErrorReport) -> bool:
    """Whether the failure is from before anything was tried at the hypervisor."""
    return not error.begun or error.code in NOTHING_BEGUN


def _left_all_as_it_was(outcome: Outcome) -> bool:
    if outcome.error is not None:
        return has_begun_nothing(outcome.error)
    return outcome.changed is False


def _definition_before(outcome: Outcome) -> dict[str, Any] | None:
    """As the job recorded it before it changed anything."""
    return (outcome.before or {}).get("definition")
