# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a run for people who ask later what was done: see docs/traces.md."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ..ports import Work
from .verdict import MAX_TEXT, Listening, TaskResult, without

#: Bytes of JSON that the results of one run may have together.
MAX_BYTES = 64 * 1024


def playbook_of(work: Work) -> str:
    return f"millwright.virt.{work.job.operation}"


def trace_of(work: Work, heard: Listening, started_at: datetime, secrets: tuple[str, ...]) -> dict[str, Any]:
    """The trace of a run that has just ended; the secrets are in none of its texts."""
    results = _bounded(_entry(result, secrets) for result in heard.results)
    details = (entry["result"].get("detail") for entry in results if not entry["ok"])
    return {
        "playbook": playbook_of(work),
        "check": work.check,
        "host": socket.gethostname(),
        "started_at": started_at.isoformat(),
        "ended_at": datetime.now(UTC).isoformat(),
        "results": results,
        "hypervisor": [str(detail) for detail in details if detail],
    }


def _entry(heard: TaskResult, secrets: tuple[str, ...]) -> dict[str, Any]:
    return {
        "task": heard.task,
        "ok": heard.ok,
        "changed": heard.result.get("changed") is True,
        "result": _cleaned(heard.result, secrets),
    }


def _cleaned(value: Any, secrets: tuple[str, ...]) -> Any:
    """Without secrets, and without what Ansible keeps for itself: how the module was called may hold them, too."""
    if isinstance(value, dict):
        return {
            without(str(name), secrets): _cleaned(item, secrets)
            for name, item in value.items()
            if name != "invocation" and not str(name).startswith("_ansible")
        }
    if isinstance(value, list):
        return [_cleaned(item, secrets) for item in value]
    return _shortened(without(value, secrets)) if isinstance(value, str) else value


def _shortened(text: str) -> str:
    more = len(text) - MAX_TEXT
    return text if more <= 0 else f"[{more} characters are left out] {text[-MAX_TEXT:]}"


def _bounded(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries in order; the result of one that does not fit any more says only how large it was."""
    kept, room = [], MAX_BYTES
    for entry in entries:
        size = len(json.dumps(entry))
        if size > room:
            entry = {**entry, "result": {"truncated": f"{size} bytes are left out"}}
            size = 0
        kept.append(entry)
        room -= size
    return kept
