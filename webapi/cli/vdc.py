# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual datacenters: a tenant's slice of a datacenter."""

from __future__ import annotations

import click

from webapi.cli.lookup import DATACENTER, VDC, find, find_id
from webapi.cli.noun import MOST_SESSIONS, limit_option, name_argument, noun, open_sessions_option
from webapi.cli.output import Columns, field, short_id
from webapi.cli.session import Session, pass_session

COLUMNS: Columns = {
    "Name": field("name"),
    "Hypervisor type": field("hypervisor_type"),
    "Sessions": field("open_sessions"),
    "ID": short_id,
}


@noun("vdc")
def vdc() -> None:
    """Virtual datacenters: a tenant's slice of a datacenter."""


@vdc.command("list")
@click.option("--datacenter", metavar="NAME|ID", help="Only those of this datacenter.")
@limit_option
@pass_session
def list_(session: Session, datacenter: str | None, limit: int) -> None:
    """List virtual datacenters."""
    where = find_id(session.client, DATACENTER, datacenter)
    session.show_list(session.client.listing(VDC.path, limit=limit, datacenter_id=where), COLUMNS)


@vdc.command()
@name_argument
@pass_session
def show(session: Session, name: str) -> None:
    """Show a virtual datacenter whole."""
    session.show(find(session.client, VDC, name))


@vdc.command()
@click.argument("name")
@click.option("--datacenter", required=True, metavar="NAME|ID", help="The datacenter that it is a slice of.")
@click.option("--type", "hypervisor_type", required=True, metavar="TYPE", help="The one kind of hypervisor it uses.")
@click.option(
    "--open-sessions",
    type=click.IntRange(1, MOST_SESSIONS),
    help="Operations that it may run on a hypervisor at a time.",
)
@pass_session
def create(session: Session, name: str, datacenter: str, hypervisor_type: str, open_sessions: int | None) -> None:
    """Make a virtual datacenter."""
    where = find(session.client, DATACENTER, datacenter)
    body = {"name": name, "datacenter_id": where["id"], "hypervisor_type": hypervisor_type}
    if open_sessions is not None:
        body["open_sessions"] = open_sessions
    session.made(session.client.post(VDC.path, body), f"Virtual datacenter {name} was created.")


@vdc.command("set")
@name_argument
@open_sessions_option
@pass_session
def set_(session: Session, name: str, open_sessions: int) -> None:
    """Bound its operations on one hypervisor.

    The bound is within that of the hypervisor, and holds within seconds; what runs is let run. With default it has no
    bound of its own.
    """
    found = find(session.client, VDC, name)
    changed = session.client.patch(VDC.one(found["id"]), {"open_sessions": open_sessions or None})
    bound = f"at most {open_sessions} operations" if open_sessions else "as many operations as each hypervisor lets it"
    session.made(changed, f"Virtual datacenter {found['name']} runs {bound} at a time.")


@vdc.command()
@name_argument
@pass_session
def delete(session: Session, name: str) -> None:
    """Remove an empty virtual datacenter."""
    session.delete(VDC, name)
