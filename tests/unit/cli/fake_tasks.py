# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the fake API's tasks progress: each is a script of steps that change a task, a job or a VM."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
#: A task or job, what becomes of it, and what else happens then.
Step = tuple[Json, Json, Callable[[], None]]

UNREACHABLE = {
    "code": "driver.unreachable",
    "message": "Powering on VM 'broken' at qemu:///system failed",
    "detail": "Cannot recv data: Connection reset by peer",
    "retryable": True,
    "left": [],
}
PLACED: Json = {"hypervisor_name": "kvm-1", "addresses": ["192.0.2.7"]}
GONE: Json = {"hypervisor_id": None, "hypervisor_name": None, "addresses": []}
STATE_AFTER = {
    "configure": "OFF", "power_on": "ON", "power_off": "OFF", "shutdown": "OFF", "pause": "PAUSED", "resume": "ON",
    "reset": "ON", "unconfigure": "NOT_ALLOCATED",
}  # fmt: skip


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def node(**fields: Any) -> Json:
    times = {"created_at": now(), "started_at": None, "ended_at": None}
    return {"id": str(uuid.uuid4()), "error": None, **times, **fields}


def root(type: str, owner: str, row: Json, mode: str, children: list[Json]) -> Json:
    return node(
        kind="task", type=type, name=row["name"], owner={"type": owner, "id": row["id"]}, mode=mode, state="QUEUED",
        requested_by="admin", cancel_asked_by=None, cancel_asked_at=None, children=children,
    )  # fmt: skip


def job(operation: str, vm: Json | None) -> Json:
    return node(
        kind="job", operation=operation, vm_id=vm and vm["id"], vm_name=vm and vm["name"], hypervisor_name="kvm-1",
        state="PENDING", waits_for=None, rollback_state="NONE", changed=None, attempt=1, runner="runner-1",
    )  # fmt: skip


def script(task: Json, row: Json) -> Iterator[Step]:
    """Job after job; where one fails it and those before it are undone."""
    if row["name"].startswith("idle"):
        return
    yield begin(task)
    if task["type"] == "DISCOVER" and row["name"].startswith("broken"):
        failed = {"state": "FAILED", "error": UNREACHABLE, "ended_at": True}
        yield task["children"][0], failed, lambda: become(row, "UNREACHABLE")
        yield end(task, ok=False)
        return
    for place, each in enumerate(task["children"]):
        yield begin(each)
        if each["operation"] == "power_on" and row["name"].startswith("broken"):
            yield each, {"state": "FAILED", "error": UNREACHABLE, "ended_at": True}, nothing
            for done in reversed(task["children"][: place + 1]):
                yield done, {"rollback_state": "STARTED"}, nothing
                yield done, {"rollback_state": "DONE"}, nothing
            yield end(task, ok=False, then=lambda: become(row, "NOT_ALLOCATED") or release(row))
            return
        after = STATE_AFTER.get(each["operation"])
        yield each, {"state": "DONE", "changed": True, "ended_at": True}, lambda after=after: become(row, after)
    yield end(task, ok=True, then=lambda: release(row))


def end_early(task: Json, vms: dict[str, Json], state: str) -> None:
    """End what has not ended so, and free its VMs."""
    if task["kind"] == "job":
        if not task["ended_at"]:
            task.update(state="ABORTED", ended_at=now())
        return
    for child in task["children"]:
        end_early(child, vms, state)
    if not task["ended_at"]:
        task.update(state=state, ended_at=now())
        if state == "CANCELLED":
            task.update(cancel_asked_by="admin", cancel_asked_at=now())
        if task["owner"]["type"] == "vm":
            vm = vms[task["owner"]["id"]]
            become(vm, "NOT_ALLOCATED" if state == "CANCELLED" else "UNKNOWN")
            release(vm)


def failed_parts(task: Json) -> Iterator[Json]:
    if task["state"] == "FINISHED_UNSUCCESSFULLY":
        yield from (part for part in task["children"] if part["state"] == "FINISHED_UNSUCCESSFULLY")
        yield task


def take(step: Step) -> None:
    changed, change, then = step
    times = {key: now() for key in change if key.endswith("_at")}
    changed.update({**change, **times})
    then()


def nothing() -> None:
    pass


def begin(node: Json) -> Step:
    return node, {"state": "STARTED", "started_at": True}, nothing


def end(node: Json, *, ok: bool, then: Callable[[], None] = nothing) -> Step:
    state = "FINISHED_SUCCESSFULLY" if ok else "FINISHED_UNSUCCESSFULLY"
    # As the real one: a task failed for the reason of its first job that did.
    error = None if ok else UNREACHABLE
    return node, {"state": state, "ended_at": True, "error": error}, then


def become(row: Json, state: str | None) -> None:
    if state:
        row.update(state=state)


def release(row: Json) -> None:
    if "locked_by" in row:
        row.update(locked_by=None, **(GONE if row["state"] == "NOT_ALLOCATED" else PLACED))
    else:
        row.update(state="MANAGED")
