# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake of the API that keeps its promises: resources with state, guards, checked definitions, tasks that progress.

A task takes one step each time that it is looked at, so that a test needs no clock. VMs whose name begins with
"broken" fail to power on, and are rolled back; what is asked of those whose name begins with "idle" is never taken.
"""

from __future__ import annotations

import copy
import itertools
import threading
import uuid
from collections import deque
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from tests.unit.cli import fake_snapshots, fake_tasks, fake_traces
from tests.unit.cli.fake_rules import IN_USE, JOBS, POWER_FROM, Refusal, check, effective_sessions, invalid, vapp_state
from tests.unit.cli.fake_tasks import Json, Step

TOKEN = "a-token"

NEWEST_FIRST = {"tasks", "jobs", "deadletters", "events"}


class FakeApi:
    """The resources, and what can be asked of them."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Json]] = {
            name: {}
            for name in (
                "datacenters", "hypervisors", "templates", "virtualdatacenters", "virtualappliances", "vms", "tasks",
                "jobs", "deadletters", "events", "runners",
            )
        }  # fmt: skip
        self.limits: Json = {"platform": {"open_sessions": 2, "power_passes": False}, "types": {}}
        self.steps: dict[str, deque[Step]] = {}
        self.lock = threading.RLock()
        #: Tasks take no step while this is set.
        self.holds = False
        #: The places among the requests at which a proxy says that there is no API behind it.
        self.down = range(0)
        #: What was asked, for tests that want to know.
        self.asked: list[tuple[str, str, Any]] = []

    # What is stored -------------------------------------------------------------------------------------------------

    def add(self, collection: str, **fields: Any) -> Json:
        row = {"id": str(uuid.uuid4()), **fields, "created_at": fake_tasks.now()}
        self.rows[collection][row["id"]] = row
        return row

    def get(self, collection: str, id: str) -> Json:
        try:
            row = self.rows[collection][id]
        except KeyError:
            raise Refusal(404, "not_found", f"there is nothing with the id {id}") from None
        if collection == "tasks":
            self.step(id)
        return self.shown(collection, row)

    def shown(self, collection: str, row: Json) -> Json:
        if collection == "jobs":
            return fake_traces.whole_job(row, self.rows["tasks"])
        if collection == "hypervisors":
            return {**row, "effective_sessions": effective_sessions(row, self.limits)}
        if collection != "virtualappliances":
            return row
        vms = self.vms_of(row["id"])
        return {**row, "vms": vms, "state": vapp_state(vms)}

    def vms_of(self, vapp_id: str) -> list[Json]:
        return [vm for vm in self.rows["vms"].values() if vm["virtualappliance_id"] == vapp_id]

    def listing(self, collection: str, args: dict[str, str]) -> Json:
        limit, after = int(args.pop("limit", 25)), int(args.pop("after", 0))
        if limit > 200:
            raise invalid("limit", "must be at most 200")
        rows = [self.shown(collection, row) for row in self.rows[collection].values()]
        rows = [row for row in rows if all(str(row.get(key)) == value for key, value in args.items())]
        if collection in NEWEST_FIRST:
            rows.reverse()
        page = [fake_traces.listed(collection, row) for row in rows[after : after + limit]]
        return {"items": page, "next": str(after + limit) if len(rows) > after + limit else None}

    def create(self, collection: str, body: Json) -> tuple[Json, int]:
        made: Json = getattr(self, f"create_{collection}")(body)
        return made, 202 if made.get("kind") == "task" else 201

    def create_datacenters(self, body: Json) -> Json:
        if any(row["name"] == body["name"] for row in self.rows["datacenters"].values()):
            raise Refusal(409, "datacenter.exists", f"there is a datacenter {body['name']!r} already")
        return self.add("datacenters", **{"partitions": 4, "public_key": None, **body})

    def create_hypervisors(self, body: Json) -> Json:
        body.pop("password", None)
        made = self.add("hypervisors", **{
            "open_sessions": None, "ca_certificates": None, "state": "CHECKING", "error": None, "host": None,
            "last_seen_at": None, **body,
        })  # fmt: skip
        return self.task("DISCOVER", "hypervisor", made, [("discover", None)])

    def create_templates(self, body: Json) -> Json:
        return self.add("templates", **{"description": "", **body})

    def create_virtualdatacenters(self, body: Json) -> Json:
        return self.add("virtualdatacenters", **{"open_sessions": None, **body})

    def create_virtualappliances(self, body: Json) -> Json:
        vms = body.pop("vms", [])
        for place, vm in enumerate(vms):
            check(vm["definition"], bool(vm.get("template_id")), f"vms[{place}].definition")
        made = self.add("virtualappliances", **body)
        for vm in vms:
            self.create_vms({**vm, "virtualappliance_id": made["id"]})
        return self.shown("virtualappliances", made)

    def create_vms(self, body: Json) -> Json:
        definition = check(body["definition"], bool(body.get("template_id")), "definition")
        vm = self.add(
            "vms", name=definition["name"], virtualappliance_id=body["virtualappliance_id"], state="NOT_ALLOCATED",
            virtualappliance_name=self.rows["virtualappliances"][body["virtualappliance_id"]]["name"],
            locked_by=None, definition=definition, template_id=body.get("template_id"),
            hypervisor_id=None, hypervisor_name=None, addresses=[],
            serial_log=None, power_changed_at=None, updated_at=fake_tasks.now(),
        )  # fmt: skip
        return {**vm, "native_name": f"{vm['name']}-{vm['id'][:8]}"}

    # What is asked --------------------------------------------------------------------------------------------------

    def change(self, vm: Json, body: Json) -> tuple[Json, int]:
        definition = check(body["definition"], bool(vm["template_id"]), "definition")
        if vm["state"] == "NOT_ALLOCATED":
            vm.update(definition=definition, name=definition["name"])
            return vm, 200
        self.guard(vm, {"ON", "OFF"})
        vm.update(definition=definition, name=definition["name"])
        return self.task("RECONFIGURE", "vm", vm, [("reconfigure", vm)]), 202

    def bound(self, collection: str, id: str, body: Json) -> Json:
        self.rows[collection][id].update(body)
        return self.get(collection, id)

    def cancel(self, task: Json, state: str = "CANCELLED") -> Json:
        """As if no runner had heard of it, or all of them stopped at once."""
        if task["ended_at"]:
            raise Refusal(409, "task.ended", f"task {task['id']} has ended already: it is {task['state']}")
        self.steps[task["id"]].clear()
        fake_tasks.end_early(task, self.rows["vms"], state)
        return task

    def act_on_lost(self, task: Json, *, force: bool = False) -> Json:
        """To abandon it, or to send it again. As if a runner had none of it in hand yet."""
        if not (task["ended_at"] or force):
            raise Refusal(409, "task.not_lost", f"task {task['id']} is not lost: cancel it")
        return self.cancel(task, state="FINISHED_UNSUCCESSFULLY")

    def delete(self, collection: str, row: Json) -> None:
        for vm in [row] if collection == "vms" else self.vms_of(row["id"]):
            self.guard(vm, {"NOT_ALLOCATED"})
            self.rows["vms"].pop(vm["id"], None)
        if collection in IN_USE:
            title, others, field = IN_USE[collection]
            if any(other[field] == row["id"] for other in self.rows[others].values()):
                raise Refusal(409, f"{title}.in_use", f"the {title} {row['name']!r} is in use")
        self.rows[collection].pop(row["id"], None)

    def act(self, collection: str, row: Json, action: str, body: Json) -> Json:
        if collection == "deadletters":
            return fake_traces.requeue(row)
        if collection == "tasks":
            return self.cancel(row) if action == "cancel" else self.act_on_lost(row, **body)
        if collection == "hypervisors":
            return self.task("DISCOVER", "hypervisor", row, [("discover", None)])
        if collection == "virtualappliances":
            return self.act_on_vapp(row, action)
        if action == "capture":
            return fake_snapshots.capture(self, row, body)
        if action == "power":
            self.guard(row, POWER_FROM[body["action"]])
            name = f"power_{body['action']}" if body["action"] in ("on", "off") else body["action"]
            return self.task(name.upper(), "vm", row, [(name, row)])
        self.guard(
            row, {"deploy": {"NOT_ALLOCATED"}, "refresh": {"ON", "OFF", "PAUSED"}}.get(action, {"ON", "OFF", "PAUSED"})
        )
        return self.task(action.upper(), "vm", row, [(name, row) for name in JOBS[action.upper()]])

    def act_on_vapp(self, vapp: Json, action: str) -> Json:
        vms = self.vms_of(vapp["id"])
        if not vms:
            raise Refusal(409, "vapp.empty", f"the virtual appliance {vapp['name']!r} has no VMs to {action}")
        allowed = {"NOT_ALLOCATED"} if action == "deploy" else {"ON", "OFF", "PAUSED"}
        vms = [vm for vm in vms if vm["state"] in allowed or (vm["locked_by"] and action == "undeploy")]
        if not vms:
            raise Refusal(409, "vapp.state", f"the virtual appliance {vapp['name']!r} has nothing to {action}")
        for vm in vms:
            self.guard(vm, allowed)
        jobs = JOBS[action.upper()]
        children = [self.task(action.upper(), "vm", vm, [(job, vm) for job in jobs], root=False) for vm in vms]
        root = fake_tasks.root(action.upper(), "virtualappliance", vapp, "concurrent", children)
        ok = not any(vm["name"].startswith("broken") for vm in vms) or action != "deploy"
        rounds = itertools.zip_longest(*(self.steps.pop(child["id"]) for child in children))
        inner = [step for several in rounds for step in several if step]
        self.steps[root["id"]] = deque([fake_tasks.begin(root), *inner, fake_tasks.end(root, ok=ok)])
        self.rows["tasks"][root["id"]] = root
        return root

    def guard(self, vm: Json, allowed: set[str]) -> None:
        if vm["locked_by"]:
            raise Refusal(409, "vm.locked", f"VM {vm['name']!r} is held by the task {vm['locked_by']}")
        if vm["state"] not in allowed:
            words = " or ".join(sorted(allowed))
            raise Refusal(
                409, "vm.state", f"VM {vm['name']!r} is {vm['state']}; this needs {words}", details={"allowed": []}
            )

    def task(self, type: str, owner: str, row: Json, jobs: list[tuple[str, Json | None]], *, root: bool = True) -> Json:
        children = [fake_tasks.job(operation, vm) for operation, vm in jobs]
        task = fake_tasks.root(type, owner, row, "sequential", children)
        if owner == "vm":
            row["locked_by"] = task["id"]
            row["hypervisor_id"] = row["hypervisor_id"] or next(iter(self.rows["hypervisors"]), None)
        self.steps[task["id"]] = deque(fake_tasks.script(task, row))
        self.rows["jobs"].update({child["id"]: child for child in children})
        if root:
            self.rows["tasks"][task["id"]] = task
        return task

    def step(self, task_id: str) -> None:
        if (steps := self.steps.get(task_id)) and not self.holds:
            fake_tasks.take(steps.popleft())
            for failed in fake_tasks.failed_parts(self.rows["tasks"][task_id]) if not steps else ():
                text = f"{failed['type']} of {failed['name']} failed"
                self.add("events", severity="ERROR", owner=failed["owner"], text=text, task_id=failed["id"])


def make_app(api: FakeApi) -> Flask:
    """The routes."""
    app = Flask("fake_api")

    @app.before_request
    def check_token() -> Response | None:
        api.lock.acquire()
        api.asked.append((request.method, request.path, copy.deepcopy(request.get_json(silent=True))))
        if len(api.asked) in api.down:
            return Response("<h1>Bad gateway</h1>", 502)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "auth.required", "the request brings no valid token")
        return None

    @app.teardown_request
    def release(_error: BaseException | None) -> None:
        api.lock.release()

    @app.errorhandler(Refusal)
    def refuse(error: Refusal) -> tuple[Json, int]:
        return error.body, error.status

    @app.errorhandler(HTTPException)
    def not_found(error: HTTPException) -> tuple[Json, int]:
        return {"code": "not_found", "message": str(error)}, error.code or 500

    fake_snapshots.add_routes(app, api)
    _add_routes(app, api)
    _add_bounds(app, api)
    return app


def _add_routes(app: Flask, api: FakeApi) -> None:
    @app.get("/api/v1/<collection>")
    def list_(collection: str) -> Response:
        return jsonify(api.listing(collection, request.args.to_dict()))

    @app.post("/api/v1/<collection>")
    def create(collection: str) -> tuple[Json, int]:
        return api.create(collection, request.get_json())

    @app.get("/api/v1/<collection>/<id>")
    def get(collection: str, id: str) -> Json:
        return api.get(collection, id)

    @app.put("/api/v1/vms/<id>")
    def change(id: str) -> tuple[Json, int]:
        return api.change(api.get("vms", id), request.get_json())

    @app.delete("/api/v1/<collection>/<id>")
    def delete(collection: str, id: str) -> tuple[str, int]:
        api.delete(collection, api.get(collection, id))
        return "", 204

    @app.post("/api/v1/<collection>/<id>/<action>")
    def act(collection: str, id: str, action: str) -> tuple[Json, int]:
        return api.act(collection, api.get(collection, id), action, request.get_json()), 202


def _add_bounds(app: Flask, api: FakeApi) -> None:
    @app.get("/api/v1/sessions")
    def limits() -> Json:
        return api.limits

    @app.put("/api/v1/sessions")
    def set_limits() -> Json:
        api.limits = request.get_json()
        return api.limits

    @app.patch("/api/v1/<collection>/<id>")
    def bound(collection: str, id: str) -> Json:
        return api.bound(collection, id, request.get_json())
