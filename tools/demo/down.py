# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: guests powered off, processes stopped, and at last everything removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from tools import libvirtd, services
from tools.demo.place import DIRECTORY, POOL, VAPP, stack
from tools.stack import CommandFailed as ServerCommandFailed
from tools.stack import Stack
from webapi.cli import lookup
from webapi.cli.client import Client, Json
from webapi.cli.errors import CommandFailed, NoSuchName
from webapi.cli.tree import follow

#: Seconds that a guest has to shut down before its plug is pulled.
SHUTDOWN_TIMEOUT = 60


def stop(console: Console) -> None:
    """Afterwards no guest and no process of the demo runs. What it has made stays; `up` goes on from there."""
    if not DIRECTORY.is_dir():
        console.print("There is no demo to stop.")
        return
    house = _house()
    _power_off_through_api(console, house)
    house.stop()
    services.stop(DIRECTORY)
    # What follows is for guests that the API could not reach.
    libvirtd.ensure(DIRECTORY)
    if left := POOL.power_off_guests():
        console.print(f"Pulled the plug of {left} guest(s).")
    libvirtd.stop(DIRECTORY)
    console.print("Stopped. `make demo` goes on from here, `make clean` removes it all.")


def clean(console: Console) -> None:
    """Afterwards the machine is as it was before the demo, but for packages that were installed."""
    if not DIRECTORY.is_dir():
        return
    house = _house()
    _undeploy_through_api(console, house)
    house.stop()
    services.stop(DIRECTORY)
    libvirtd.ensure(DIRECTORY)
    for what in POOL.remove():
        console.print(f"Removed {what}.")
    libvirtd.stop(DIRECTORY)
    shutil.rmtree(DIRECTORY)


def _house() -> Stack:
    return stack(services.known(DIRECTORY))


def _power_off_through_api(console: Console, house: Stack) -> None:
    """Ask every guest to shut down at once; those that do not are powered off by whoever called."""
    with _asking(console, house) as client:
        if client is None:
            return
        running = [vm for vm in lookup.find(client, lookup.VAPP, VAPP)["vms"] if vm["state"] == "ON"]
        request = {"action": "shutdown", "timeout": SHUTDOWN_TIMEOUT}
        tasks = [_try_post(console, client, lookup.VM.one(vm["id"], "power"), request) for vm in running]
        for task in filter(None, tasks):
            follow(client, task, console)


def _undeploy_through_api(console: Console, house: Stack) -> None:
    with _asking(console, house) as client:
        if client is None:
            return
        appliance = lookup.find(client, lookup.VAPP, VAPP)
        if task := _try_post(console, client, lookup.VAPP.one(appliance["id"], "undeploy"), None):
            follow(client, task, console)


@contextmanager
def _asking(console: Console, house: Stack) -> Iterator[Client | None]:
    """A client of the API; None if the API does not run. One that cannot help is no reason to leave anything behind:
    the caller asks libvirt directly afterwards."""
    if not house.api.pid():
        yield None
        return
    try:
        with suppress(NoSuchName), Client(house.api_url, house.token("demo")) as client:
            yield client
    except (CommandFailed, ServerCommandFailed) as error:
        console.print(f"Without the API, because it cannot help: {error}", markup=False)


def _try_post(console: Console, client: Client, path: str, body: Json | None) -> str | None:
    """The task's id; None, and a word about it, if the API refuses."""
    try:
        return str(client.post(path, body)["id"])
    except CommandFailed as error:
        console.print(error.format_message(), markup=False)
        return None
