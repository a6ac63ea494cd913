# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots of the fake API's VMs: a flat list with the VM, told as trees."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from flask import Flask, request

from tests.unit.cli.fake_rules import Refusal, invalid
from tests.unit.cli.fake_tasks import Json, now

SETTLED = {"ON", "OFF", "PAUSED"}


def trees(snapshots: list[Json], parent: str | None = None) -> list[Json]:
    return [{**one, "children": trees(snapshots, one["name"])} for one in snapshots if one["parent"] == parent]


def _known(snapshots: list[Json], name: str) -> Json:
    for one in snapshots:
        if one["name"] == name:
            return one
    raise Refusal(404, "not_found", f"the VM has no snapshot {name!r}")


def _take(vm: Json, snapshots: list[Json], body: Json) -> None:
    if body["name"].isdigit():
        raise invalid("name", "must be a letter, then letters, digits, dots, hyphens and underscores")
    if any(one["name"] == body["name"] for one in snapshots):
        raise Refusal(409, "snapshot.exists", f"VM {vm['name']!r} has a snapshot {body['name']!r} already")
    parent = next((one["name"] for one in snapshots if one["current"]), None)
    for one in snapshots:
        one["current"] = False
    snapshots.append({
        "name": body["name"], "description": body.get("description", ""), "created_at": now(),
        "power": "on" if body.get("memory") else "off", "parent": parent, "current": True,
    })  # fmt: skip


def _forget(snapshots: list[Json], gone: Json) -> None:
    snapshots.remove(gone)
    for one in snapshots:
        one["current"] = one["current"] or (gone["current"] and one["name"] == gone["parent"])
        if one["parent"] == gone["name"]:
            one["parent"] = gone["parent"]


def add_routes(app: Flask, api: Any) -> None:
    """The routes of a FakeApi. What a task would do once it is done is done when it is asked for."""
    kept: dict[str, list[Json]] = defaultdict(list)

    def settled(id: str) -> Json:
        vm: Json = api.get("vms", id)
        api.guard(vm, SETTLED)
        return vm

    @app.get("/api/v1/vms/<id>/snapshots")
    def snapshots(id: str) -> Json:
        return {"items": trees(kept[id])}

    @app.post("/api/v1/vms/<id>/snapshots")
    def take(id: str) -> tuple[Json, int]:
        vm, body = settled(id), request.get_json()
        _take(vm, kept[id], body)
        return api.task("SNAPSHOT", "vm", vm, [("snapshot_create", vm)]), 202

    @app.post("/api/v1/vms/<id>/snapshots/<name>/revert")
    def revert(id: str, name: str) -> tuple[Json, int]:
        vm, goal = settled(id), _known(kept[id], name)
        for one in kept[id]:
            one["current"] = one is goal
        return api.task("REVERT", "vm", vm, [("snapshot_revert", vm)]), 202

    @app.delete("/api/v1/vms/<id>/snapshots/<name>")
    def forget(id: str, name: str) -> tuple[Json, int]:
        vm, gone = settled(id), _known(kept[id], name)
        _forget(kept[id], gone)
        return api.task("DELETE_SNAPSHOT", "vm", vm, [("snapshot_delete", vm)]), 202


def capture(api: Any, vm: Json, body: Json) -> Json:
    """As for snapshots: the datacenter of the first template, which is the only one, has it at once."""
    api.guard(vm, {"OFF"})
    templates = list(api.rows["templates"].values())
    if any(one["name"] == body["name"] for one in templates):
        raise Refusal(409, "template.exists", f"there is already a template named {body['name']!r}")
    format = body.get("format", "qcow2")
    api.create_templates({
        "name": body["name"], "path": f"{body['name']}.{format}", "format": format,
        "datacenter_id": templates[0]["datacenter_id"],
    })  # fmt: skip
    return api.task("CAPTURE", "vm", vm, [("capture", vm)])
