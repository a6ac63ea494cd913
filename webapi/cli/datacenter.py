# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datacenters: sets of hypervisors that are served by the same runners."""

from __future__ import annotations

from pathlib import Path

import click

from webapi.cli.lookup import DATACENTER, find
from webapi.cli.noun import limit_option, name_argument, noun
from webapi.cli.output import Columns, clock, field, short_id
from webapi.cli.session import Session, pass_session

COLUMNS: Columns = {
    "Name": field("name"),
    "Partitions": field("partitions"),
    "Created": clock("created_at"),
    "ID": short_id,
}


@noun("datacenter")
def datacenter() -> None:
    """Datacenters: sets of hypervisors served by the same runners."""


@datacenter.command("list")
@limit_option
@pass_session
def list_(session: Session, limit: int) -> None:
    """List datacenters."""
    session.show_list(session.client.listing(DATACENTER.path, limit=limit), COLUMNS)


@datacenter.command()
@name_argument
@pass_session
def show(session: Session, name: str) -> None:
    """Show a datacenter whole."""
    session.show(find(session.client, DATACENTER, name))


@datacenter.command()
@click.argument("name")
@click.option(
    "--public-key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The public key that credentials of its hypervisors are sealed to; only its runners hold the private one.",
)  # fmt: skip
@pass_session
def create(session: Session, name: str, public_key_file: Path | None) -> None:
    """Make a datacenter known."""
    body = {"name": name}
    if public_key_file:
        body["public_key"] = public_key_file.read_text().strip()
    made = session.client.post(DATACENTER.path, body)
    session.made(made, f"Datacenter {name} was created; its runners need MILLWRIGHT_DATACENTER={made['id']}")
