# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual appliances: VMs that are deployed together."""

from __future__ import annotations

from pathlib import Path

import click

from webapi.cli.appliance import WantedAppliance, read_appliance
from webapi.cli.client import Client, Json
from webapi.cli.lookup import TEMPLATE, VAPP, VDC, find, find_id
from webapi.cli.noun import limit_option, name_argument, noun, wait_option, yes_option
from webapi.cli.output import Columns, field, short_id
from webapi.cli.session import Session, pass_session
from webapi.cli.vm import COLUMNS as VM_COLUMNS

COLUMNS: Columns = {
    "Name": field("name"),
    "State": field("state"),
    "VMs": lambda vapp: len(vapp["vms"]),
    "ID": short_id,
}


@noun("vapp")
def vapp() -> None:
    """Virtual appliances: VMs that are deployed together."""


@vapp.command("list")
@click.option("--vdc", metavar="NAME|ID", help="Only those of this virtual datacenter.")
@limit_option
@pass_session
def list_(session: Session, vdc: str | None, limit: int) -> None:
    """List virtual appliances. Their state is that of their VMs together."""
    where = find_id(session.client, VDC, vdc)
    session.show_list(session.client.listing(VAPP.path, limit=limit, virtualdatacenter_id=where), COLUMNS)


@vapp.command()
@name_argument
@pass_session
def show(session: Session, name: str) -> None:
    """Show a virtual appliance and its VMs."""
    found = find(session.client, VAPP, name)
    if session.wants_json:
        session.show_json(found)
        return
    session.show({**found, "vms": None})
    if found["vms"]:
        session.tell("")
        session.show_table(VM_COLUMNS, found["vms"])


@vapp.command()
@click.argument("name", required=False)
@click.option("--vdc", metavar="NAME|ID", help="Virtual datacenter of an appliance that is made without a file.")
@click.option(
    "-f", "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file that describes the appliance and its VMs.",
)  # fmt: skip
@pass_session
def create(session: Session, name: str | None, vdc: str | None, path: Path | None) -> None:
    """Make a virtual appliance known.

    It comes from a file, or begins empty with NAME and --vdc. Nothing is deployed yet.

    \b
    # shop.yml
    name: shop
    virtualdatacenter: lab
    vms:
      - name: web1
        template: debian-12
        memory_mib: 512
        nics: [{network: default}]
    """
    if path and not (name or vdc):
        wanted = read_appliance(path)
    elif name and vdc and not path:
        wanted = WantedAppliance(name=name, virtualdatacenter=vdc, vms=())
    else:
        raise click.UsageError("Give either --file, or NAME and --vdc.")
    made = session.client.post(VAPP.path, _body(session.client, wanted))
    session.made(made, f"Virtual appliance {wanted.name} was created. Deploy it: millwright vapp deploy {wanted.name}")


def _body(client: Client, wanted: WantedAppliance) -> Json:
    where = find(client, VDC, wanted.virtualdatacenter)
    templates = {
        name: find(client, TEMPLATE, name, datacenter_id=where["datacenter_id"])["id"]
        for name in {vm.template for vm in wanted.vms if vm.template}
    }
    vms = [
        {"definition": vm.definition} | ({"template_id": templates[vm.template]} if vm.template else {})
        for vm in wanted.vms
    ]
    return {"name": wanted.name, "virtualdatacenter_id": where["id"], "vms": vms}


@vapp.command()
@name_argument
@wait_option
@pass_session
def deploy(session: Session, name: str, *, wait: bool) -> None:
    """Build all its VMs and power them on.

    One VM's failure does not stop the others.
    """
    session.act(VAPP, name, "deploy", wait=wait)


@vapp.command()
@name_argument
@wait_option
@yes_option
@pass_session
def undeploy(session: Session, name: str, *, wait: bool, yes: bool) -> None:
    """Power off and remove all its VMs.

    Their disks are removed with them. The appliance stays known, and can be deployed again, from anew. At a terminal it
    asks first.
    """
    session.confirm(f"Remove all VMs of {name} with their disks?", yes=yes)
    session.act(VAPP, name, "undeploy", wait=wait)


@vapp.command()
@name_argument
@yes_option
@pass_session
def delete(session: Session, name: str, *, yes: bool) -> None:
    """Forget one that is not deployed.

    At a terminal it asks first.
    """
    session.confirm(f"Forget {name} and all its VMs for good?", yes=yes)
    session.delete(VAPP, name)
