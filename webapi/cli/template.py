# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates: disks that VMs are made from."""

from __future__ import annotations

import click

from webapi.cli.lookup import DATACENTER, TEMPLATE, find, find_id
from webapi.cli.noun import limit_option, name_argument, noun
from webapi.cli.output import Columns, field, short_id
from webapi.cli.session import Session, pass_session

COLUMNS: Columns = {"Name": field("name"), "Format": field("format"), "ID": short_id, "Path": field("path")}


@noun("template")
def template() -> None:
    """Templates: disks that VMs are made from."""


@template.command("list")
@click.option("--datacenter", metavar="NAME|ID", help="Only those of this datacenter.")
@limit_option
@pass_session
def list_(session: Session, datacenter: str | None, limit: int) -> None:
    """List templates."""
    where = find_id(session.client, DATACENTER, datacenter)
    session.show_list(session.client.listing(TEMPLATE.path, limit=limit, datacenter_id=where), COLUMNS)


@template.command()
@name_argument
@pass_session
def show(session: Session, name: str) -> None:
    """Show a template whole."""
    session.show(find(session.client, TEMPLATE, name))


@template.command()
@click.argument("name")
@click.option("--datacenter", required=True, metavar="NAME|ID", help="The datacenter whose hypervisors have it.")
@click.option("--path", required=True, help="Where it is at the hypervisors: absolute path or volume name.")
@click.option("--format", default="qcow2", show_default=True, help="Format of the disk; it is never guessed.")
@click.option("--description", help="What is on it.")
@pass_session
def create(session: Session, /, name: str, datacenter: str, **fields: str | None) -> None:
    """Make a template known.

    Its file lies at the hypervisors already.
    """
    where = find(session.client, DATACENTER, datacenter)
    body = {field: value for field, value in fields.items() if value is not None}
    made = session.client.post(TEMPLATE.path, {"name": name, "datacenter_id": where["id"], **body})
    session.made(made, f"Template {name} was created.")


@template.command()
@name_argument
@pass_session
def delete(session: Session, name: str) -> None:
    """Forget a template. Its file stays."""
    session.delete(TEMPLATE, name)
