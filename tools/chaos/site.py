# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of one seed as the API shows it: hypervisors, and appliances that nobody has deployed yet."""

from __future__ import annotations

from collections.abc import Sequence

from tools.chaos.audit import JobSeen, Snapshot, TaskSeen, VmSeen
from tools.chaos.hosts import Hypervisor
from tools.chaos.plan import Plan
from tools.waiting import wait_until
from webapi.cli.client import Client, Json

SETUP_TIMEOUT = 120


class Site:
    """One datacenter with hypervisors of one type."""

    def __init__(self, client: Client, hosts: Sequence[Hypervisor], public_key: str):
        self._client, self.hosts = client, hosts
        self.datacenter: Json = client.post("/datacenters", {"name": "chaos", "public_key": public_key})
        self.appliances: list[Json] = []

    def furnish(self, plan: Plan) -> None:
        """Register hypervisors, which needs a runner, and make appliances."""
        here, first = {"datacenter_id": self.datacenter["id"]}, self.hosts[0]
        tasks = [self._register(host, here) for host in self.hosts]
        wait_until(lambda: not self.open_tasks(), SETUP_TIMEOUT, f"the end of {tasks}", every=0.2)
        vdc = self._client.post("/virtualdatacenters", {**here, "name": "chaos", "hypervisor_type": first.type})
        template = self._client.post("/templates", {**here, "name": "guest", "path": first.template, "format": "qcow2"})
        for number, names in enumerate(plan.appliances):
            vms = [{"definition": first.definition(name), "template_id": template["id"]} for name in names]
            body = {"virtualdatacenter_id": vdc["id"], "name": f"appliance-{number}", "vms": vms}
            self.appliances.append(self._client.post("/virtualappliances", body))

    def _register(self, host: Hypervisor, here: Json) -> str:
        sessions = host.told.sessions
        body = {**here, "name": host.name, "type": host.type, "url": host.url, "open_sessions": sessions}
        task = self._client.post("/hypervisors", body)
        host.id = task["owner"]["id"]
        return str(task["id"])

    def open_tasks(self) -> list[Json]:
        states = ("QUEUED", "STARTED")
        return [task for state in states for task in self._client.listing("/tasks", state=state)["items"]]

    def vms(self) -> list[Json]:
        items: list[Json] = self._client.listing("/vms")["items"]
        return items

    def snapshot(self, deaths: dict[str, float], granted: set[str], cancelled: set[str]) -> Snapshot:
        roots = [self._client.get(f"/tasks/{task['id']}") for task in self._client.listing("/tasks")["items"]]
        tasks = [node for root in roots for node in _nodes(root, cancelled=root["id"] in cancelled)]
        return Snapshot(
            tasks=tuple(tasks),
            vms=tuple(_vm(vm) for vm in self.vms()),
            hosts=tuple(host.seen(deaths) for host in self.hosts),
            granted=frozenset(granted),
        )


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
