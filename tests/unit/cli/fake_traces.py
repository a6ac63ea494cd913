# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake API knows of single jobs and of dead letters."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.fake_rules import Refusal
from tests.unit.cli.fake_tasks import Json, now

#: What lists leave out, by collection.
ONLY_WHOLE = {
    "jobs": {"requested_by", "timeout", "tries", "trace", "replay"},
    "deadletters": {"kind", "body", "message"},
}

INVENTORY = '!unsafe "all":\n  !unsafe "children": {}\n'


def listed(collection: str, row: Json) -> Json:
    left_out = {"children"} | ONLY_WHOLE.get(collection, set())
    return {key: value for key, value in row.items() if key not in left_out}


def whole_job(job: Json, tasks: dict[str, Json]) -> Json:
    """A job with its task, what was said of it, and how to repeat it."""
    root, task = next((root, task) for root in tasks.values() for task in _tree(root) if job in task["children"])
    ended = job["state"] in ("DONE", "FAILED")
    trace = {"attempts": {"1": [{"event": "DONE", "runs": []}]}, "dropped_attempts": 0}
    return {
        **job, "task_id": task["id"], "root_id": root["id"], "request_id": task["id"], "hypervisor_id": "h",
        "requested_by": root["requested_by"], "timeout": None, "tries": 1 if ended else None,
        "trace": trace if ended else None, "replay": replay(job),
    }  # fmt: skip


def _tree(task: Json) -> list[Json]:
    return [task, *(child for child in task["children"] if child["kind"] == "task")]


def replay(job: Json) -> Json:
    command = f"ansible-playbook -i inventory.yml millwright.virt.{job['operation']}"
    return {"command": command, "inventory": INVENTORY, "files": {}}


def letter(**fields: Any) -> Json:
    """A dead letter; without a kind it is no message that can be read."""
    unread = {"queue": "millwright.dc1.out", "reason": "not JSON", "body": "what is this", "message": None}
    return {
        "datacenter_id": "dc1", **unread, "kind": None, "request_id": None, "task_id": None, "requeue_asked_at": None,
        **fields,
    }  # fmt: skip


def requeue(row: Json) -> Json:
    if row["kind"] is None:
        raise Refusal(409, "deadletter.unreadable", "this is no message that can be read")
    if row["kind"] == "request" and row.get("is_of_a_vm_that_is_there"):
        return listed("deadletters", row) | {"new_task_id": "0a1b2c3d-anew"}
    if row["kind"] == "request":
        raise Refusal(409, "deadletter.gone", f"what task {row['task_id']} was about is not there any more")
    row["requeue_asked_at"] = now()
    return listed("deadletters", row) | {"new_task_id": None}
