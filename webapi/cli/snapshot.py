# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of virtual machines: commands below ``millwright vm``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import Quiesce
from webapi.cli.client import Json
from webapi.cli.lookup import VM, find
from webapi.cli.noun import name_argument, noun, wait_option
from webapi.cli.output import Columns, clock, field
from webapi.cli.session import Session, pass_session

COLUMNS: Columns = {
    "Name": lambda one: f"{'- ' * one['depth']}{one['name']}",
    "Current": lambda one: "here" if one["current"] else "",
    "Taken": clock("created_at"),
    "Power": field("power"),
    "Text": field("description"),
}


@noun("snapshot")
def snapshot() -> None:
    """Snapshots of a virtual machine."""


@snapshot.command("list")
@name_argument
@pass_session
def list_(session: Session, name: str) -> None:
    """List a VM's snapshots.

    Each stands below the one that it was taken on. They are as they were when a task last worked on one of them.
    """
    found = session.client.get(_of(session, name))
    session.show_list(
        found if session.wants_json else {"items": list(_lines(found["items"], 0)), "next": None}, COLUMNS
    )


def _of(session: Session, name: str, snapshot: str | None = None) -> str:
    """Where the snapshots of the VM are, or one of them."""
    path = VM.one(find(session.client, VM, name)["id"], "snapshots")
    return path if snapshot is None else f"{path}/{quote(snapshot, safe='')}"


def _lines(trees: list[Json], depth: int) -> Iterator[Json]:
    """Each above those on top of it."""
    for tree in trees:
        yield {**tree, "depth": depth}
        yield from _lines(tree["children"], depth + 1)


@snapshot.command()
@name_argument
@click.argument("snapshot")
@click.option("--description", help="What it is for.")
@click.option("--memory", is_flag=True, help="Keep the memory of a guest that runs, so that going back lets it run on.")
@click.option(
    "--quiesce",
    type=click.Choice([choice.value for choice in Quiesce]),
    help="Whether the guest's agent brings file systems to rest meanwhile (auto: if one answers).",
)
@wait_option
@pass_session
def create(session: Session, /, name: str, snapshot: str, *, wait: bool, **stated: Any) -> None:
    """Take a snapshot of a VM, which may be on."""
    body = {"name": snapshot} | {field: value for field, value in stated.items() if value}
    session.finish(session.client.post(_of(session, name), body), wait=wait)


@snapshot.command()
@name_argument
@click.argument("snapshot")
@wait_option
@pass_session
def revert(session: Session, name: str, snapshot: str, *, wait: bool) -> None:
    """Make a VM what it was when the snapshot was taken.

    Its disks, its definition, and whether it is on. What happened since is lost, and nothing brings it back, cancelling
    the task included.
    """
    session.finish(session.client.post(f"{_of(session, name, snapshot)}/revert"), wait=wait)


@snapshot.command()
@name_argument
@click.argument("snapshot")
@click.option("--children", is_flag=True, help="Those on top of it go, too; else they stay, on the one below it.")
@wait_option
@pass_session
def delete(session: Session, name: str, snapshot: str, *, children: bool, wait: bool) -> None:
    """Delete a snapshot. What the VM holds now stays."""
    how = {"children": "true"} if children else {}
    session.finish(session.client.delete_later(_of(session, name, snapshot), **how), wait=wait)
