# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From nothing, or from wherever an earlier run got to, to three guests that say that they are up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from runner_service.contract.states import FINAL_TASK_STATES, TaskState
from tools import libvirtd, services
from tools.demo.place import DATACENTER, DIRECTORY, HYPERVISOR, POOL, TEMPLATE, VAPP, VDC, VMS, definition, stack
from tools.guest.build import guest_image
from tools.private_files import write_private
from tools.stack import MILLWRIGHT, ROOT, Stack
from tools.waiting import wait_until
from webapi.cli import lookup
from webapi.cli.client import Client, Json
from webapi.cli.errors import NoSuchName
from webapi.cli.tree import follow

TASK_TIMEOUT = 120
#: Three guests boot at once, perhaps emulated, perhaps on one core.
BOOT_TIMEOUT = 300
UP = "MILLWRIGHT-GUEST-UP"

#: The power action that brings a VM of this state to ON.
TO_ON = {"OFF": "on", "CONFIGURED": "on", "PAUSED": "resume"}


class DemoFailed(Exception):
    """A step of the demo did not lead to where it should; the message says which and what to look at."""


def up(console: Console) -> None:
    """Afterwards the three guests run and have said so."""
    house = _start(console)
    with Client(house.api_url, house.token("demo")) as client:
        appliance = _register(console, client, house)
        before = _boots()
        started = _bring_up(console, client, appliance["id"])
        vms = client.get(lookup.VAPP.one(appliance["id"]))["vms"]
        _require_on(vms)
        _wait_for_guests(console, {vm["id"] for vm in vms}, started, before)
        _show(console, client.get(lookup.VAPP.one(appliance["id"])))
    _explain(console, house)


def _start(console: Console) -> Stack:
    with _stage(console, "MariaDB and RabbitMQ, private ones under .run/demo"):
        running = services.start(DIRECTORY)
    with _stage(console, f"libvirt answers on {libvirtd.URI}"):
        libvirtd.ensure(DIRECTORY)
    with _stage(console, f"A guest that boots, and the storage pool {POOL.name}"):
        POOL.prepare(guest_image())
    house = stack(running)
    with _stage(console, "The database has all migrations"):
        house.migrate()
    with _stage(console, f"The API answers on {house.api_url}"):
        house.start_api()
    with _stage(console, "The relay runs"):
        house.start_relay()
    return house


def _register(console: Console, client: Client, house: Stack) -> Json:
    """Tell the API of this machine and of what it is to run. Gives the appliance."""
    with _stage(console, f"Datacenter {DATACENTER!r} and its runner"):
        datacenter = _ensure(client, lookup.DATACENTER, name=DATACENTER, public_key=house.public_key())
        house.start_runner(datacenter["id"])
    with _stage(console, f"This machine is the hypervisor {HYPERVISOR!r}"):
        _ensure_hypervisor(client, datacenter["id"])
        house.require()
    with _stage(console, f"Template, virtual datacenter, and the appliance {VAPP!r} of {', '.join(VMS)}"):
        here = {"datacenter_id": datacenter["id"]}
        template = _ensure(client, lookup.TEMPLATE, name=TEMPLATE, path=POOL.template, format="qcow2", **here)
        vdc = _ensure(client, lookup.VDC, name=VDC, hypervisor_type="libvirt", **here)
        vms = [{"definition": definition(name), "template_id": template["id"]} for name in VMS]
        return _ensure(client, lookup.VAPP, name=VAPP, virtualdatacenter_id=vdc["id"], vms=vms)


def _ensure(client: Client, noun: lookup.Noun, **wanted: Any) -> Json:
    """The resource of this name; made if there is none."""
    try:
        return lookup.find(client, noun, wanted["name"])
    except NoSuchName:
        return client.post(noun.path, wanted)


def _ensure_hypervisor(client: Client, datacenter_id: str) -> None:
    """Afterwards the runner has reached it."""
    try:
        known = lookup.find(client, lookup.HYPERVISOR, HYPERVISOR)
    except NoSuchName:
        body = {"datacenter_id": datacenter_id, "name": HYPERVISOR, "type": "libvirt", "url": libvirtd.URI}
        task = client.post(lookup.HYPERVISOR.path, body)
    else:
        if known["state"] == "MANAGED":
            return
        task = client.post(lookup.HYPERVISOR.one(known["id"], "discover"))
    ended = _ended(client, task["id"], "the runner's look at this machine")
    _require_success(ended, "The runner could not use this machine as a hypervisor")


def _ended(client: Client, task_id: str, what: str) -> Json:
    """The task, once it has ended."""

    def look() -> Json | None:
        task = client.get(lookup.TASK.one(task_id))
        return task if task["state"] in FINAL_TASK_STATES else None

    return wait_until(look, TASK_TIMEOUT, f"{what}; see .run/demo/runner.log", every=0.3)


def _require_success(task: Json, what: str) -> None:
    if task["state"] != TaskState.FINISHED_SUCCESSFULLY:
        errors = [job["error"]["message"] for job in _jobs(task) if job["error"]]
        raise DemoFailed(f"{what}: {'; '.join(errors) or task['error']}")


def _jobs(node: Json) -> Iterator[Json]:
    if node["kind"] == "job":
        yield node
    for child in node.get("children", ()):
        yield from _jobs(child)


def _bring_up(console: Console, client: Client, appliance_id: str) -> set[str]:
    """Ask for what the appliance's VMs lack, and watch until it is done. Gives the ids of those that were started."""
    path = lookup.VAPP.one(appliance_id)
    for task_id in sorted({vm["locked_by"] for vm in client.get(path)["vms"] if vm["locked_by"]}):
        console.print("\n[bold]Still at work since the last run[/]")
        follow(client, task_id, console)
    _look_at_the_guests(console, client, path)
    lacking = [vm for vm in client.get(path)["vms"] if vm["state"] == "NOT_ALLOCATED"]
    if lacking:
        console.print(f"\n[bold]Deploying {VAPP!r}[/]: API, MariaDB, RabbitMQ, runner, Ansible, libvirt")
        task = follow(client, client.post(f"{path}/deploy")["id"], console)
        _require_success(task, "The deployment failed")
    idle = [vm for vm in client.get(path)["vms"] if vm["state"] in TO_ON]
    for vm in idle:
        action = client.post(lookup.VM.one(vm["id"], "power"), {"action": TO_ON[vm["state"]]})
        _require_success(follow(client, action["id"], console), f"{vm['name']} does not run")
    return {vm["id"] for vm in [*lacking, *idle] if vm["state"] != "PAUSED"}


def _look_at_the_guests(console: Console, client: Client, path: str) -> None:
    """Afterwards the database says what libvirt says: the machine may have been restarted since. A VM that is not what
    it was is undeployed, so that it is made anew."""
    known = [vm for vm in client.get(path)["vms"] if vm["state"] != "NOT_ALLOCATED"]
    if not known:
        return
    with _stage(console, "What libvirt says of the guests that are there"):
        for vm in known:
            _ended(client, client.post(lookup.VM.one(vm["id"], "refresh"))["id"], f"a look at {vm['name']}")
    for vm in client.get(path)["vms"]:
        if vm["state"] == "UNKNOWN":
            task = follow(client, client.post(lookup.VM.one(vm["id"], "undeploy"))["id"], console)
            _require_success(task, f"What is left of {vm['name']} cannot be removed")


def _boots() -> dict[str, int]:
    """How often each guest has said that it is up, by the VM's id."""
    return {vm: text.count(UP) for vm, text in POOL.consoles().items()}


def _require_on(vms: list[Json]) -> None:
    others = [f"{vm['name']} is {vm['state']}" for vm in vms if vm["state"] != "ON"]
    if others:
        raise DemoFailed(f"Not all VMs are on: {', '.join(others)}; see .run/demo/runner.log and millwright event list")


def _wait_for_guests(console: Console, running: set[str], started: set[str], before: dict[str, int]) -> None:
    """Afterwards each guest has said that it is up; each that was started now, once more."""

    def all_up() -> bool:
        now = _boots()
        return all(now.get(vm, 0) > (before.get(vm, 0) if vm in started else 0) for vm in running)

    console.print()
    with _stage(console, "The guests say on their serial lines that they are up"):
        wait_until(all_up, BOOT_TIMEOUT, f"{UP} on the serial lines, see {POOL.target}/*-serial.log", every=0.5)


def _show(console: Console, appliance: Json) -> None:
    """The VMs, and the two first words of what each said last."""
    said = POOL.consoles()
    table = Table(title=f"Virtual appliance {VAPP!r}: {appliance['state']}", title_justify="left", box=SIMPLE)
    for column in ("VM", "State", "Said last on its serial line"):
        table.add_column(column)
    for vm in appliance["vms"]:
        table.add_row(vm["name"], vm["state"], _last_line(said.get(vm["id"], "")))
    console.print()
    console.print(table)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if "MILLWRIGHT-GUEST" in line]
    return " ".join(lines[-1].split()[:2]) if lines else ""


def _client_settings(house: Stack) -> Path:
    """A file that a shell can read to use the command line on this API."""
    path = DIRECTORY / "client.env"
    settings = {
        "MILLWRIGHT_API": house.api_url,
        "MILLWRIGHT_TOKEN": house.token("demo"),
        "ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections",
        "PATH": f"{Path(MILLWRIGHT).parent}:$PATH",
    }
    write_private(path, "".join(f'export {name}="{value}"\n' for name, value in settings.items()))
    return path


def _explain(console: Console, house: Stack) -> None:
    settings = _client_settings(house).relative_to(ROOT)
    console.print(
        f"""
[bold]The API[/]        {house.api_url}/api/v1 (documentation: {house.api_url}/api/v1/docs)
[bold]Your token[/]     in {settings}

[bold]Look around[/]    . {settings}
               millwright vm list
               millwright vm show web
               millwright event list
               virsh -c {libvirtd.URI} list
[bold]Undeploy[/]       millwright vapp undeploy {VAPP}
[bold]Deploy again[/]   millwright vapp deploy {VAPP}, or make demo
[bold]Stop[/]           make stop    (guests powered off, no process left; make demo goes on from there)
[bold]Remove it all[/]  make clean   (no VM, disk or file left)""",
        soft_wrap=True,
    )


@contextmanager
def _stage(console: Console, text: str) -> Iterator[None]:
    """Say what is going on while it goes on, and that it is done, and how long it took."""
    started = monotonic()
    with console.status(text):
        yield
    console.print(f"[green]ok[/] {text} [dim]({monotonic() - started:.1f} s)[/]", soft_wrap=True)
