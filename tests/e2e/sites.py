# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A datacenter of its own for a test, as its tenants, its operator and its hypervisor see it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Span, Store
from runner_service.contract.states import FINAL_TASK_STATES
from tests.waiting import wait_until
from tools.guest.pool import GuestPool
from tools.stack import Stack
from webapi.cli.client import Client, Json

#: Long enough for the slowest of the platform's operations on a busy machine.
TASK_TIMEOUT = 180

FAKE_TEMPLATE = "/templates/guest.qcow2"


class FakeHypervisor:
    """A hypervisor in a directory, seen from its own side."""

    def __init__(self, directory: Path):
        directory.mkdir()
        self.url = f"fake://{directory}"
        self.store = Store(directory)

    @property
    def machines(self) -> dict[str, str]:
        """Power state by native name."""
        return {machine.name: machine.power.value for machine in self.store.read().machines.values()}

    @property
    def volumes(self) -> list[str]:
        return sorted(name for pool in self.store.read().pools.values() for name in pool.volumes)

    def finished(self, operation: str) -> list[str]:
        """Names of the VMs for which the operation has ended well, one entry per time."""
        return [span.vm for span in self.store.operations() if span.operation == operation and _ended_well(span)]

    def begun(self, operation: str) -> list[str]:
        return [span.vm for span in self.store.operations() if span.operation == operation]


def _ended_well(span: Span) -> bool:
    return span.end is not None and not span.error


class Site:
    """One datacenter with its runner, as a tenant and as an operator see it."""

    def __init__(self, house: Stack, client: Client, directory: Path):
        self.client = client
        self.directory = directory
        self.house = dataclasses.replace(house, directory=directory)
        self.datacenter = client.post("/datacenters", {"name": directory.name, "public_key": self.house.public_key()})

    def start_runner(self) -> None:
        self.house.start_runner(self.datacenter["id"])

    def ended(self, task: Json) -> Json:
        """The task once it has ended."""

        def look() -> Json | None:
            now = self.client.get(f"/tasks/{task['id']}")
            return now if now["state"] in FINAL_TASK_STATES else None

        return wait_until(look, TASK_TIMEOUT, f"the end of task {task['id']}; logs are in {self.directory}", every=0.2)

    def register(self, type: str, url: str, **more: Any) -> Json:
        """Register a hypervisor and wait for the runner's look at it. Gives the hypervisor."""
        body = {"datacenter_id": self.datacenter["id"], "name": f"{type}-host", "type": type, "url": url, **more}
        task = self.ended(self.client.post("/hypervisors", body))
        return self.client.get(f"/hypervisors/{task['owner']['id']}")

    def fake(self, **more: Any) -> FakeHypervisor:
        """A registered fake hypervisor."""
        fake = FakeHypervisor(self.directory / "hypervisor")
        assert self.register("fake", fake.url, **more)["state"] == "MANAGED"
        return fake

    def appliance(
        self, definitions: list[Json], *, type: str = "fake", template: str = FAKE_TEMPLATE, name: str = "site"
    ) -> Json:
        """A virtual appliance of VMs whose first disk is made from the template."""
        here = {"datacenter_id": self.datacenter["id"], "name": name}
        vdc = self.client.post("/virtualdatacenters", {**here, "hypervisor_type": type})
        made = self.client.post("/templates", {**here, "path": template, "format": "qcow2"})
        vms = [{"definition": definition, "template_id": made["id"]} for definition in definitions]
        body = {"virtualdatacenter_id": vdc["id"], "name": "shop", "vms": vms}
        return self.client.post("/virtualappliances", body)

    def deploy(self, appliance: Json) -> Json:
        return self.client.post(f"/virtualappliances/{appliance['id']}/deploy")

    def undeploy(self, appliance: Json) -> Json:
        return self.client.post(f"/virtualappliances/{appliance['id']}/undeploy")

    def vms(self, appliance: Json) -> list[Json]:
        """The VMs as they are now, with all their fields."""
        listed = self.client.get(f"/virtualappliances/{appliance['id']}")["vms"]
        return [self.client.get(f"/vms/{vm['id']}") for vm in listed]

    def states(self, appliance: Json) -> dict[str, str]:
        return {vm["name"]: vm["state"] for vm in self.vms(appliance)}

    def is_unlocked(self, appliance: Json) -> bool:
        return not any(vm["locked_by"] for vm in self.vms(appliance))


def jobs(node: Json) -> list[Json]:
    """All jobs below a task, in order."""
    if node["kind"] == "job":
        return [node]
    return [job for child in node["children"] for job in jobs(child)]


def small(name: str, **more: Any) -> Json:
    """A definition of a VM whose first disk comes from the template that the appliance is made with."""
    return {"name": name, "memory_mib": 128, "console": {"serial_log": True}, **more}


def real(name: str, pool: GuestPool, **more: Any) -> Json:
    """The same with its disk in a pool of real libvirt."""
    return small(name, disks=[{"name": "root", "pool": pool.name}], **more)
