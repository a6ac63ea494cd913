# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform that is measured: API, relay and runners on private servers, with one datacenter and its hypervisors."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from tools.bench_all.place import SESSIONS
from tools.bench_all.usage import parts_of
from tools.chaos.keeper import Platform, tidy
from tools.chaos.servers import Servers
from tools.services import free_port
from tools.waiting import wait_until
from webapi.cli.client import Client, Json

TASK_TIMEOUT, READY_TIMEOUT = 900, 120
#: Seconds between two questions to the API: often enough for the figure, seldom enough not to be in it.
LOOK, LOOK_AT_ONE = 0.05, 0.01


class TaskFailed(Exception):
    """A task of the platform's failed; the message says which and why."""


class Host(Protocol):
    """A hypervisor to register."""

    type: str
    url: str

    def definition(self, name: str) -> Json:
        """Of a small VM."""


@dataclass(frozen=True)
class House(Platform):
    """The platform's processes, as many runners as are asked for."""

    extra: dict[str, str] = field(default_factory=dict)

    def _runner_settings(self, name: str) -> dict[str, str]:
        return {**super()._runner_settings(name), **self.extra}


class Tenant:
    """Who asks the API: for runners and hypervisors first, then for VMs."""

    def __init__(self, house: House, client: Client):
        self._client = client
        datacenter = client.post("/datacenters", {"name": "bench", "public_key": house.public_key()})
        self.house = replace(house, datacenter_id=datacenter["id"])
        self._here = {"datacenter_id": datacenter["id"]}
        self.runners: list[str] = []

    def run(self, number: int) -> None:
        """Afterwards so many runners serve the datacenter, and all its partitions have one."""
        wanted = [f"runner-{place}" for place in range(number)]
        for name in set(self.runners) - set(wanted):
            self.house.process(name).stop()
        for name in wanted:
            self.house.begin(name)
        self.runners = wanted
        wait_until(self._shared_out, READY_TIMEOUT, f"{number} runners to share the partitions", every=0.5)

    def _shared_out(self) -> bool:
        seen = [row for row in self._client.get("/runners")["items"] if row["state"] == "alive"]
        served = sorted(partition for row in seen for partition in row["partitions"])
        shares = {len(row["partitions"]) for row in seen}
        return len(seen) == len(self.runners) and served == [0, 1, 2, 3] and max(shares) - min(shares) <= 1

    def register(self, hosts: Sequence[Host]) -> None:
        for number, host in enumerate(hosts):
            body = {"name": f"host-{number}", "type": host.type, "url": host.url, "open_sessions": SESSIONS}
            task = self._client.post("/hypervisors", {**self._here, **body})
            self._end(task["owner"]["id"])
        self._vdc = self._client.post(
            "/virtualdatacenters", {**self._here, "name": "bench", "hypervisor_type": hosts[0].type}
        )

    def appliance(self, host: Host, names: Sequence[str]) -> str:
        """One that nobody has deployed yet."""
        vms = [{"definition": host.definition(name)} for name in names]
        name = f"appliance-{time.monotonic_ns()}"
        body = {"virtualdatacenter_id": self._vdc["id"], "name": name, "vms": vms}
        return str(self._client.post("/virtualappliances", body)["id"])

    def deploy(self, appliance: str, *, every: float = LOOK) -> float:
        """Seconds from the question until the API says that all VMs are on."""
        began = time.monotonic()
        self._ask(appliance, "deploy", every)
        vms = self._client.get(f"/virtualappliances/{appliance}")["vms"]
        seconds = time.monotonic() - began
        if others := [vm["state"] for vm in vms if vm["state"] != "ON"]:
            raise TaskFailed(f"{len(others)} of {len(vms)} VMs are {set(others)}")
        return seconds

    def undeploy(self, appliance: str) -> None:
        self._ask(appliance, "undeploy", LOOK)

    def _ask(self, appliance: str, action: str, every: float) -> None:
        self._client.post(f"/virtualappliances/{appliance}/{action}")
        self._end(appliance, every)

    def _end(self, owner: str, every: float = LOOK) -> None:
        """Wait for the owner's last task. A list of one is cheap to ask for; the task with its children is not."""

        def look() -> Json | None:
            [task] = self._client.get("/tasks", owner_id=owner, limit=1)["items"]
            return task if task["ended_at"] else None

        task = wait_until(look, TASK_TIMEOUT, f"the end of the task of {owner}", every=every)
        if task["state"] != "FINISHED_SUCCESSFULLY":
            raise TaskFailed(f"{task['type']} of {task['name']} is {task['state']}: {task['error']}")

    def parts(self) -> dict[str, set[int]]:
        """The platform's processes by part."""
        pids = {name: self.house.process(name).pid() for name in ("api", "relay", *self.runners)}
        return parts_of({name: pid for name, pid in pids.items() if pid is not None})


@contextmanager
def house(servers: Servers, directory: Path) -> Iterator[Tenant]:
    """A platform that nobody has used yet, on an empty database; its processes are gone afterwards."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    with servers.fresh() as services:
        built = House(directory, services, f"127.0.0.1:{free_port()}")
        names = ["api", "relay", *(f"runner-{number}" for number in range(8))]
        try:
            built.migrate()
            built.start_api()
            built.begin("relay")
            with Client(built.api_url, built.token("bench")) as client:
                yield Tenant(built, client)
        finally:
            tidy(built, names)
