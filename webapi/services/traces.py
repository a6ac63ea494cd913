# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of what runners say of their runs of a job, attempt by attempt (docs/traces.md)."""

from __future__ import annotations

import json
from typing import Any

from runner_service.contract.messages import Update

#: Attempts of which something is kept, the newest.
KEPT_ATTEMPTS = 5
#: Reports of one attempt: the job's end, and that of undoing it.
KEPT_REPORTS = 4
#: Bytes of one report's trace.
MAX_TRACE = 1024 * 1024


def extended(trace: dict[str, Any] | None, update: Update) -> dict[str, Any] | None:
    """The trace with what the update says of a run, if it says anything."""
    if update.trace is None:
        return trace
    attempts = {int(number): reports for number, reports in (trace or {}).get("attempts", {}).items()}
    attempts[update.attempt] = [*attempts.get(update.attempt, ()), _report(update)][-KEPT_REPORTS:]
    kept = sorted(attempts)[-KEPT_ATTEMPTS:]
    dropped = (trace or {}).get("dropped_attempts", 0) + len(attempts) - len(kept)
    return {"attempts": {str(number): attempts[number] for number in kept}, "dropped_attempts": dropped}


def _report(update: Update) -> dict[str, Any]:
    head = {"event": update.event.value, "at": update.at, "runner": update.runner, "tries": update.tries}
    return {**head, **_bounded(update.trace or {}), **head}


def _bounded(trace: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(trace))
    return trace if size <= MAX_TRACE else {"left_out": f"{size} bytes; at most {MAX_TRACE} are kept"}
