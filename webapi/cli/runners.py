# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runners: the processes that carry requests out."""

from __future__ import annotations

from typing import Any

import click

from webapi.cli.client import Json
from webapi.cli.lookup import DATACENTER, RUNNER, find, find_id
from webapi.cli.noun import OUTPUTS, Noun, limit_option, name_argument, set_output
from webapi.cli.output import Columns, clock, field, short_id
from webapi.cli.session import Session, pass_session

#: States in which a runner is heard of.
_PRESENT = ("alive", "stopping")


def _state(runner: Json) -> str:
    return str(runner["state"]) if runner["state"] in _PRESENT else f"{runner['state']}, {clock('seen_at')(runner)}"


def _partitions(runner: Json) -> str:
    leaving = set(runner["draining"])
    return " ".join(f"({number})" if number in leaving else str(number) for number in runner["partitions"])


COLUMNS: Columns = {
    "Name": field("name"),
    "State": _state,
    "Datacenter": field("datacenter_name"),
    "Partitions": _partitions,
    "Runs": lambda runner: f"{runner['running']}/{runner['max_runs']}",
    "Requests": field("requests"),
    "Waiting": field("waiting"),
    "ID": short_id,
}

LANES: Columns = {
    "Hypervisor": lambda lane: lane["hypervisor_name"] or lane["hypervisor_id"],
    "Sessions": lambda lane: f"{lane['in_use']}/{lane['sessions']}",
    "Waiting": field("waiting"),
}


@click.group("runners", cls=Noun, invoke_without_command=True)
@click.option("-o", "--output", type=OUTPUTS, expose_value=False, callback=set_output, help="How to answer.")
@click.pass_context
def runners(context: click.Context) -> None:
    """Runners: who works on what.

    Without a command they are listed. A partition in brackets is being given up. A runner that was not heard of for
    five seconds is silent, or stopped if it had said so; it is listed for an hour.

    \b
    Runs       playbooks that it runs, of as many as it may
    Requests   what it was given and has not ended
    Waiting    jobs of these that wait for a session of their hypervisor
    Lanes      of show: the hypervisors at which something runs or waits
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@runners.command("list")
@click.option("--datacenter", metavar="NAME|ID", help="Only those of this datacenter.")
@limit_option
@pass_session
def list_(session: Session, datacenter: str | None = None, limit: int = 100) -> None:
    """List runners."""
    where = find_id(session.client, DATACENTER, datacenter)
    session.show_list(session.client.listing(RUNNER.path, limit=limit, datacenter_id=where), COLUMNS)


@runners.command()
@name_argument
@pass_session
def show(session: Session, name: str) -> None:
    """Show a runner and its lanes.

    A lane is a hypervisor at which something runs or waits.
    """
    found = _present(session, name) or find(session.client, RUNNER, name)
    if session.wants_json:
        session.show_json(found)
        return
    session.show({key: value for key, value in found.items() if key != "lanes"})
    if found["lanes"]:
        session.tell("")
        session.show_table(LANES, found["lanes"])


def _present(session: Session, name: str) -> Json | None:
    """The one of this name that is heard of, whatever earlier processes had it too."""
    items: list[dict[str, Any]] = session.client.listing(RUNNER.path, name=name)["items"]
    present = [runner for runner in items if runner["state"] in _PRESENT]
    return present[0] if len(present) == 1 else None
