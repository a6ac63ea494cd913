# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of one seed: hypervisors that are directories, and appliances that nobody has deployed yet."""

from __future__ import annotations

import time
from pathlib import Path

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Span as Written
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from tools.chaos.audit import HostSeen, JobSeen, MachineSeen, Snapshot, Span, TaskSeen, VmSeen
from tools.chaos.plan import Host, Plan
from tools.waiting import wait_until
from webapi.cli.client import Client, Json

TEMPLATE = "/templates/guest.qcow2"
#: Reading changes nothing, and needs no session of its own.
CHANGING = ("create", "update", "delete", "power_")
SETUP_TIMEOUT = 120


class FakeHost:
    """One hypervisor, told how to behave as the plan says."""

    def __init__(self, directory: Path, told: Host):
        directory.mkdir()
        self.directory, self.told = directory, told
        self.store = Store(directory)
        self.id = ""

    def behave(self, plan: Plan, *, dark: bool = False) -> None:
        rules = [failure.rule() for failure in plan.failures]
        self.store.tell({"delays": self.told.delays, "failures": rules, "unreachable": dark})

    def calm_down(self) -> None:
        """From now on it is quick and does nothing wrong."""
        self.store.tell({})

    def seen(self, deaths: dict[str, float]) -> HostSeen:
        world = self.store.read()
        machines = tuple(
            MachineSeen(machine.uuid, machine.name, machine.power.value, machine.memory_mib)
            for machine in world.machines.values()
        )
        return HostSeen(
            id=self.id,
            name=self.directory.name,
            sessions=self.told.sessions,
            machines=machines,
            volumes=frozenset(name for pool in world.pools.values() for name in pool.volumes),
            spans=tuple(_span(written, deaths) for written in self.store.operations() if _changes(written)),
            was_dark=self.told.dark is not None,
        )


def _changes(written: Written) -> bool:
    return written.operation.startswith(CHANGING)


def _span(written: Written, deaths: dict[str, float]) -> Span:
    """One without an end lasts until its process has died; if that lives, until now."""
    end = written.end if written.end is not None else deaths.get(written.id, time.time())
    return Span(written.operation, written.vm, written.pid, written.start, end, written.error)


class Site:
    """One datacenter, as the API shows it and as its hypervisors are."""

    def __init__(self, client: Client, directory: Path, plan: Plan, public_key: str):
        self._client, self._plan = client, plan
        self.hosts = [FakeHost(directory / f"host-{number}", told) for number, told in enumerate(plan.hosts)]
        self.datacenter: Json = client.post("/datacenters", {"name": "chaos", "public_key": public_key})
        self.appliances: list[Json] = []

    def furnish(self) -> None:
        """Register hypervisors, which needs a runner, and make appliances."""
        here = {"datacenter_id": self.datacenter["id"]}
        tasks = [self._register(host, here) for host in self.hosts]
        wait_until(
            lambda: not self.open_tasks(), SETUP_TIMEOUT, f"the hypervisors to be registered: {tasks}", every=0.2
        )
        vdc = self._client.post("/virtualdatacenters", {**here, "name": "chaos", "hypervisor_type": "fake"})
        template = self._client.post("/templates", {**here, "name": "guest", "path": TEMPLATE, "format": "qcow2"})
        for number, names in enumerate(self._plan.appliances):
            vms = [{"definition": _definition(name), "template_id": template["id"]} for name in names]
            body = {"virtualdatacenter_id": vdc["id"], "name": f"appliance-{number}", "vms": vms}
            self.appliances.append(self._client.post("/virtualappliances", body))

    def _register(self, host: FakeHost, here: Json) -> str:
        body = {
            **here,
            "name": host.directory.name,
            "type": "fake",
            "url": f"fake://{host.directory}",
            "open_sessions": host.told.sessions,
        }
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


def _definition(name: str) -> Json:
    return {"name": name, "memory_mib": 64, "console": {"serial_log": True}}


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
