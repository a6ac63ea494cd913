# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: what happened, for people."""

from __future__ import annotations

import click

from webapi.cli.noun import limit_option, noun
from webapi.cli.output import Columns, clock, field
from webapi.cli.session import Session, pass_session

COLUMNS: Columns = {
    "Time": clock("created_at"),
    "Severity": field("severity"),
    "Text": field("text"),
}


@noun("event")
def event() -> None:
    """Events: what happened, the newest first."""


@event.command("list")
@click.option("--severity", metavar="SEVERITY", help="Only those of this severity: INFO, WARNING, ERROR, CRITICAL.")
@click.option("--owner", "owner_id", metavar="ID", help="Only those of the VM, appliance or hypervisor with this id.")
@limit_option
@pass_session
def list_(session: Session, severity: str | None, owner_id: str | None, limit: int) -> None:
    """List events, the newest first."""
    wanted = severity and severity.upper()
    session.show_list(session.client.listing("/events", limit=limit, severity=wanted, owner_id=owner_id), COLUMNS)
