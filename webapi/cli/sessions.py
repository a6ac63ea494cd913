# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions: how many operations may run on a hypervisor at once."""

from __future__ import annotations

import click

from webapi.cli.client import Json
from webapi.cli.noun import noun, read_sessions
from webapi.cli.output import Columns, field, table
from webapi.cli.session import Session, pass_session

PATH = "/sessions"

COLUMNS: Columns = {
    "For": field("scope"),
    "Sessions": field("open_sessions"),
    "Power passes": lambda bound: "yes" if bound["power_passes"] else "no",
}


@noun("sessions")
def sessions() -> None:
    """Sessions: how much may run on a hypervisor at once."""


@sessions.command()
@pass_session
def show(session: Session) -> None:
    """Show the bounds of hypervisors that have none of their own."""
    _answer(session, session.client.get(PATH))


@sessions.command("set")
@click.argument("sessions", metavar="N|default", callback=read_sessions)
@click.option("--type", "type_", metavar="TYPE", help="Only for this type of hypervisor; without it, for all others.")
@click.option(
    "--power-passes/--no-power-passes", default=None,
    help="Whether power operations may start although all sessions are in use.",
)  # fmt: skip
@pass_session
def set_(session: Session, sessions: int, type_: str | None, *, power_passes: bool | None) -> None:
    """Bound what may run on a hypervisor at once.

    It holds for hypervisors that have no bound of their own (millwright hypervisor set), and never beyond the cores of
    a host. With default a type has what the platform has, and the platform has 2.
    """
    limits = session.client.get(PATH)
    before = limits["types"].get(type_) if type_ else limits["platform"]
    bound = {
        "open_sessions": sessions or 2,
        "power_passes": (before or limits["platform"])["power_passes"] if power_passes is None else power_passes,
    }
    if type_ is None:
        limits["platform"] = bound
    elif not sessions:
        limits["types"].pop(type_, None)
    else:
        limits["types"][type_] = bound
    _answer(session, session.client.put(PATH, limits))


def _answer(session: Session, limits: Json) -> None:
    if session.wants_json:
        session.show_json(limits)
        return
    rows = [{"scope": "platform", **limits["platform"]}]
    rows += [{"scope": scope, **bound} for scope, bound in limits["types"].items()]
    session.console.print(table(COLUMNS, rows))
