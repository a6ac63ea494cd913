# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, VmState
from webapi.cli.appliance import WantedVm, read_vm
from webapi.cli.client import Json
from webapi.cli.errors import InvalidFile
from webapi.cli.lookup import HYPERVISOR, TEMPLATE, VAPP, VM, find, find_id
from webapi.cli.noun import F, limit_option, name_argument, noun, wait_option, yes_option
from webapi.cli.output import Columns, field, short_id
from webapi.cli.session import Session, pass_session
from webapi.cli.snapshot import snapshot


def _state(vm: Json) -> str:
    return f"{vm['state']}, locked" if vm["locked_by"] else str(vm["state"])


COLUMNS: Columns = {
    "Name": field("name"),
    "State": _state,
    "CPUs": lambda vm: vm["definition"]["cpu"]["count"],
    "MiB": lambda vm: vm["definition"]["memory_mib"],
    "Hypervisor": field("hypervisor_name"),
    "Addresses": lambda vm: " ".join(vm["addresses"]),
    "ID": short_id,
}

#: Beside VMs of other appliances.
OF_ALL: Columns = {"Name": COLUMNS["Name"], "Appliance": field("virtualappliance_name"), **COLUMNS}

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

#: What a change of a deployed VM may do besides, as the API calls it.
PERMITS = ("allow_power_cycle", "allow_disk_removal", "timeout")


def permits_options(command: F) -> F:
    """The options of PERMITS."""
    for option in (
        click.option("--timeout", type=click.IntRange(min=1), help="Seconds that the guest has to shut down for it."),
        click.option("--allow-disk-removal", is_flag=True, help="Disks that are not named go, with what is on them."),
        click.option("--allow-power-cycle", is_flag=True, help="Shut the VM down for it if need be, and start it."),
    ):
        command = option(command)
    return command


@noun("vm")
def vm() -> None:
    """Virtual machines."""


vm.add_command(snapshot)


@vm.command("list")
@click.option("--vapp", metavar="NAME|ID", help="Only those of this virtual appliance.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in VmState], case_sensitive=False),
    help="Only those in this state.",
)
@limit_option
@pass_session
def list_(session: Session, vapp: str | None, state: str | None, limit: int) -> None:
    """List VMs. A VM that is locked is being worked on by a task."""
    where = find_id(session.client, VAPP, vapp)
    found = session.client.listing(VM.path, limit=limit, virtualappliance_id=where, state=state)
    session.show_list(found, COLUMNS if vapp else OF_ALL)


@vm.command()
@name_argument
@pass_session
def show(session: Session, name: str) -> None:
    """Show a VM whole, with its definition."""
    session.show(find(session.client, VM, name))


@vm.command()
@click.argument("name", required=False)
@click.option("--vapp", required=True, metavar="NAME|ID", help="The virtual appliance that it becomes part of.")
@click.option("--template", metavar="NAME|ID", help="The template that its first disk is made from.")
@click.option("--cpus", type=int, help="Virtual CPUs.")
@click.option("--memory-mib", type=int, help="Memory in MiB.")
@click.option("-f", "--file", "path", type=_FILE, help="YAML file with its definition; options win over it.")
@click.option("--hypervisor", metavar="NAME|ID", help="Where it shall run. Without it the API chooses.")
@pass_session
def create(session: Session, /, vapp: str, path: Path | None, hypervisor: str | None, **stated: Any) -> None:
    """Add a VM to a virtual appliance. It runs once it is deployed."""
    template = stated.pop("template")
    wanted = read_vm(path, stated["name"]) if path else WantedVm(definition={})
    definition = _changed(wanted.definition, **stated)
    if "name" not in definition:
        raise click.UsageError("Give a NAME, or a --file that has one.")
    body = {
        "virtualappliance_id": find_id(session.client, VAPP, vapp),
        "definition": definition,
        "template_id": find_id(session.client, TEMPLATE, template or wanted.template),
        "hypervisor_id": find_id(session.client, HYPERVISOR, hypervisor),
    }
    made = session.client.post(VM.path, {name: value for name, value in body.items() if value is not None})
    session.made(made, f"VM {made['name']} was created. Deploy it: millwright vm deploy {made['name']}")


def _changed(definition: Json, *, name: str | None, cpus: int | None, memory_mib: int | None) -> Json:
    """The definition with what was stated put in its place."""
    changed = dict(definition)
    if name is not None:
        changed["name"] = name
    if memory_mib is not None:
        changed["memory_mib"] = memory_mib
    if cpus is not None:
        changed["cpu"] = {**(definition.get("cpu") or {}), "count": cpus}
    return changed


@vm.command()
@name_argument
@click.option("--cpus", type=int, help="Virtual CPUs.")
@click.option("--memory-mib", type=int, help="Memory in MiB.")
@click.option("--rename", metavar="NEW_NAME", help="Another name.")
@click.option("-f", "--file", "path", type=_FILE, help="YAML file with the whole definition; options win over it.")
@permits_options
@wait_option
@pass_session
def reconfigure(
    session: Session, /, name: str, *, path: Path | None, rename: str | None, wait: bool, **stated: Any
) -> None:
    """Change the definition of a VM.

    One that is deployed is changed at its hypervisor by a task. One that is on takes what it can while it runs: disks
    and cards that are added, disks that grow, other networks, CPUs and memory up to its maximum. Anything else is
    refused, and nothing is changed, unless --allow-power-cycle is given. A disk that has grown stays as large, even if
    the task fails or is cancelled.
    """
    permits = {permit: stated.pop(permit) for permit in PERMITS}
    if path is None and rename is None and not any(stated.values()):
        raise click.UsageError("Say what to change: --cpus, --memory-mib, --rename or --file.")
    found = find(session.client, VM, name)
    definition = _read_for(session, found, path, rename) if path else found["definition"]
    wanted = {"definition": _changed(definition, name=rename, **stated)} | {
        permit: value for permit, value in permits.items() if value
    }
    answer = session.client.put(VM.one(found["id"]), wanted)
    if answer.get("kind") == "task":
        session.finish(answer, wait=wait)
    else:
        session.made(answer, f"VM {answer['name']} was changed.")


def _read_for(session: Session, vm: Json, path: Path, name: str | None) -> Json:
    """The definition in a file, for a VM that exists: it may name the VM's template, and no other."""
    wanted = read_vm(path, name)
    if wanted.template:
        template = session.client.get(TEMPLATE.one(vm["template_id"])) if vm["template_id"] else {}
        if wanted.template not in (template.get("name"), template.get("id")):
            rule = f"cannot change: the VM is made from {template.get('name', 'no template')}"
            raise InvalidFile(str(path), [Problem("template", rule)])
    return wanted.definition


@vm.command()
@click.argument("action", type=click.Choice([action.value for action in PowerAction]))
@name_argument
@click.option("--timeout", type=click.IntRange(min=1), help="Seconds that the guest has, for instance to shut down.")
@click.option("--force", is_flag=True, help="With shutdown: take its power if it is still on after the timeout.")
@wait_option
@pass_session
def power(session: Session, /, action: str, name: str, *, wait: bool, **stated: int | None) -> None:
    """Switch a VM.

    \b
    on, off          as with its power button held: off is hard
    shutdown         ask the guest to shut down, and wait for it
    pause, resume    stop and continue its processors; memory stays
    reset            as with its reset button
    """
    body = {"action": action} | {field: value for field, value in stated.items() if value}
    session.act(VM, name, "power", body=body, wait=wait)


@vm.command()
@name_argument
@wait_option
@pass_session
def deploy(session: Session, name: str, *, wait: bool) -> None:
    """Build a VM and power it on."""
    session.act(VM, name, "deploy", wait=wait)


@vm.command()
@name_argument
@wait_option
@yes_option
@pass_session
def undeploy(session: Session, name: str, *, wait: bool, yes: bool) -> None:
    """Power a VM off and remove it with its disks.

    What is known of it stays, and it can be deployed again, from anew. At a terminal it asks first.
    """
    session.confirm(f"Remove VM {name} with its disks?", yes=yes)
    session.act(VM, name, "undeploy", wait=wait)


@vm.command()
@name_argument
@wait_option
@pass_session
def refresh(session: Session, name: str, *, wait: bool) -> None:
    """Read a VM's state and snapshots at its hypervisor.

    What is known of it is put right.
    """
    session.act(VM, name, "refresh", wait=wait)


@vm.command()
@name_argument
@click.argument("template")
@click.option("--disk", help="Name of its disk; by default its first one.")
@click.option("--snapshot", help="Take the disk as it was in this snapshot.")
@click.option("--format", type=click.Choice([each.value for each in DiskFormat]), help="Format of the template.")
@click.option("--pool", help="Where it is kept; by default where the disk is.")
@wait_option
@pass_session
def capture(session: Session, /, name: str, template: str, *, wait: bool, **stated: str | None) -> None:
    """Make a template of a VM that is off.

    It is whole in itself, and stays when the VM goes. Its datacenter knows it once the task is done.
    """
    body = {"name": template} | {field: value for field, value in stated.items() if value}
    session.act(VM, name, "capture", body=body, wait=wait)


@vm.command()
@name_argument
@pass_session
def delete(session: Session, name: str) -> None:
    """Forget a VM that is not deployed."""
    session.delete(VM, name)
