# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of one seed as the API shows it: hypervisors, and appliances that nobody has deployed yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from tools.chaos.actor import OPEN, Actor
from tools.chaos.hosts import Hypervisor
from tools.chaos.plan import Change, Plan
from tools.chaos.seen import Bound, JobSeen, Snapshot, TaskSeen, VmSeen
from tools.waiting import wait_until
from webapi.cli.client import Client, Json

SETUP_TIMEOUT = 120


class CannotFurnish(Exception):
    """A hypervisor could not be registered before the chaos began; the message says why."""


class Site:
    """One datacenter with hypervisors of one type."""

    def __init__(self, client: Client, hosts: Sequence[Hypervisor], public_key: str):
        self._client, self.hosts = client, hosts
        self.datacenter: Json = client.post("/datacenters", {"name": "chaos", "public_key": public_key})
        self.appliances: list[Json] = []
        #: The bounds of each hypervisor, in the order of time, by its id.
        self._bounds: dict[str, tuple[Bound, ...]] = {}
        #: Every VM's virtual datacenter and the bound of that.
        self._tenants: dict[str, tuple[str, int | None]] = {}

    def furnish(self, plan: Plan) -> None:
        """Register hypervisors, which needs a runner, and make appliances."""
        here, first = {"datacenter_id": self.datacenter["id"]}, self.hosts[0]
        tasks = [self._register(host, here) for host in self.hosts]
        wait_until(lambda: not self.open_tasks(), SETUP_TIMEOUT, f"the end of {tasks}", every=0.2)
        for task in tasks:
            self._require(task)
        template = self._client.post("/templates", {**here, "name": "guest", "path": first.template, "format": "qcow2"})
        vdcs = [self._rent(number, sessions, here) for number, sessions in enumerate(plan.vdcs)]
        for number, names in enumerate(plan.appliances):
            self._equip(vdcs[number % len(vdcs)], f"appliance-{number}", names, template["id"])

    def _rent(self, number: int, sessions: int | None, here: Json) -> Json:
        """A virtual datacenter with a bound of its own, or none."""
        body = {**here, "name": f"vdc-{number}", "hypervisor_type": self.hosts[0].type}
        vdc = self._client.post("/virtualdatacenters", body)
        return self._client.patch(f"/virtualdatacenters/{vdc['id']}", {"open_sessions": sessions}) if sessions else vdc

    def _equip(self, vdc: Json, name: str, vms: Sequence[str], template: str) -> None:
        """Make an appliance in a virtual datacenter."""
        wanted = [{"definition": self.hosts[0].definition(vm), "template_id": template} for vm in vms]
        appliance = self._client.post(
            "/virtualappliances", {"virtualdatacenter_id": vdc["id"], "name": name, "vms": wanted}
        )
        self.appliances.append(appliance)
        self._tenants |= {vm["id"]: (vdc["name"], vdc["open_sessions"]) for vm in appliance["vms"]}

    def _require(self, task: str) -> None:
        """Without its hypervisors a seed is none."""
        seen = self._client.get(f"/tasks/{task}")
        if seen["state"] != "FINISHED_SUCCESSFULLY":
            raise CannotFurnish(f"{seen['type']} {task} is {seen['state']}: {seen['error']}")

    def _register(self, host: Hypervisor, here: Json) -> str:
        sessions = host.told.sessions
        body = {**here, "name": host.name, "type": host.type, "url": host.url, "open_sessions": sessions}
        task = self._client.post("/hypervisors", body)
        host.id = task["owner"]["id"]
        self._bounds[host.id] = (Bound(sessions),)
        return str(task["id"])

    def change(self, actor: Actor, change: Change) -> None:
        """Give a hypervisor another bound."""
        host, asked = self.hosts[change.host], time.time()
        actor.bound(host.id, change.sessions)
        *before, last = self._bounds[host.id]
        self._bounds[host.id] = (*before, replace(last, until=time.time()), Bound(change.sessions, since=asked))

    def open_tasks(self) -> list[Json]:
        return [task for state in OPEN for task in self._client.listing("/tasks", state=state)["items"]]

    def vms(self) -> list[Json]:
        items: list[Json] = self._client.listing("/vms")["items"]
        return items

    def snapshot(self, actor: Actor, deaths: dict[str, float], struck: Sequence[float]) -> Snapshot:
        roots = [self._client.get(f"/tasks/{task['id']}") for task in self._client.listing("/tasks")["items"]]
        tasks = [node for root in roots for node in _nodes(root, cancelled=root["id"] in actor.cancelled)]
        return Snapshot(
            tasks=tuple(tasks),
            vms=tuple(self._vm(vm) for vm in self.vms()),
            hosts=tuple(host.seen(deaths, self._bounds[host.id]) for host in self.hosts),
            granted=frozenset(actor.granted),
            struck=tuple(struck),
        )

    def _vm(self, vm: Json) -> VmSeen:
        vdc, sessions = self._tenants[vm["id"]]
        return replace(_vm(vm), vdc=vdc, vdc_sessions=sessions)


def _nodes(node: Json, *, cancelled: bool) -> list[TaskSeen]:
    """The task and the tasks below it."""
    below = [child for child in node["children"] if child["kind"] == "task"]
    jobs = tuple(_job(child) for child in node["children"] if child["kind"] == "job")
    error = node["error"] or {}
    task = TaskSeen(
        id=node["id"],
        type=node["type"],
        state=node["state"],
        created_at=node["created_at"],
        vm_id=node["owner"]["id"] if node["owner"]["type"] == "vm" else "",
        error=f"{error.get('code', '')} {error.get('message', '')}".strip(),
        cancelled=cancelled,
        jobs=jobs,
    )
    return [task, *(seen for child in below for seen in _nodes(child, cancelled=cancelled))]


def _job(job: Json) -> JobSeen:
    error = job["error"] or {}
    return JobSeen(
        operation=job["operation"],
        hypervisor=job["hypervisor_name"],
        state=job["state"],
        code=error.get("code", ""),
        detail=error.get("detail", ""),
        message=error.get("message", ""),
        rollback_state=job["rollback_state"],
    )


def _vm(vm: Json) -> VmSeen:
    definition = vm["definition"]
    files = [f"{vm['id']}-{disk['name']}.{disk['format']}" for disk in definition["disks"]]
    return VmSeen(
        id=vm["id"],
        native_name=vm["native_name"],
        state=vm["state"],
        locked_by=vm["locked_by"],
        hypervisor_id=vm["hypervisor_id"],
        memory_mib=definition["memory_mib"],
        volumes=frozenset([*files, f"{vm['id']}-serial.log"]),
    )
