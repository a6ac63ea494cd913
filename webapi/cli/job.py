# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: single operations of tasks, what Ansible and the hypervisor said of each, and how to repeat one by hand."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from webapi.cli.client import Json
from webapi.cli.errors import CommandFailed
from webapi.cli.lookup import JOB, TASK, find
from webapi.cli.noun import limit_option, noun
from webapi.cli.output import Columns, clock, field, short_id
from webapi.cli.printable import printable
from webapi.cli.session import Session, pass_session

INVENTORY = "inventory.yml"


def _error(job: Json) -> str:
    return str((job["error"] or {}).get("code", ""))


COLUMNS: Columns = {
    "ID": short_id,
    "Operation": field("operation"),
    "Of": field("vm_name"),
    "Hypervisor": field("hypervisor_name"),
    "State": field("state"),
    "Asked": clock("created_at"),
    "Error": _error,
}


class NoReplay(CommandFailed):
    """The job cannot be repeated by hand."""


@noun("job")
def job() -> None:
    """Jobs: single operations of tasks, and how each went."""


@job.command("list")
@click.option("--task", "task_name", metavar="ID", help="Only those of this task, its parts included.")
@click.option("--state", metavar="STATE", help="Only those in this state, for instance FAILED.")
@click.option("--operation", metavar="OPERATION", help="Only those of this operation, for instance power_on.")
@limit_option
@pass_session
def list_(session: Session, task_name: str | None, state: str | None, operation: str | None, limit: int) -> None:
    """List jobs, the newest first."""
    root = find(session.client, TASK, task_name)["id"] if task_name else None
    found = session.client.listing(
        JOB.path, limit=limit, root_id=root, state=state and state.upper(), operation=operation and operation.lower()
    )
    session.show_list(found, COLUMNS)


@job.command()
@click.argument("id")
@pass_session
def show(session: Session, id: str) -> None:
    """Show a job with all that is known of it.

    Who asked, when, where and how often it ran, and what Ansible and the hypervisor said.
    """
    found = _whole(session, id)
    if not session.wants_json:
        found = {**found, "replay": found["replay"] and f"millwright job replay {found['id']}"}
    session.show(found)


@job.command()
@click.argument("id")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Write inventory.yml there; without it the inventory is printed.",
)  # fmt: skip
@pass_session
def replay(session: Session, id: str, out: Path | None) -> None:
    """Give the way to repeat exactly this job by hand.

    That is a playbook and an inventory. Secrets are not in the inventory: it names the files that you have to put
    beside it. The line that is printed only tells what would be done; without --check --diff it is done.
    """
    found = _whole(session, id)["replay"]
    if not found:
        raise NoReplay("too little was kept of this job to repeat it: an earlier version made it")
    if out:
        _write(out / INVENTORY, found["inventory"])
    if session.wants_json:
        session.show_json(found)
    else:
        _explain(session, found, out)


def _write(file: Path, inventory: str) -> None:
    """Raises NoReplay where there is another already: somebody may have worked at it."""
    if file.exists() and file.read_text(encoding="utf-8") != inventory:
        raise NoReplay(f"{file} is there already and says something else; remove it, or give another folder")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(inventory, encoding="utf-8")


def _whole(session: Session, id: str) -> Json:
    """Lists leave the trace out."""
    return session.client.get(JOB.one(find(session.client, JOB, id)["id"]))


def _explain(session: Session, found: Json, out: Path | None) -> None:
    where = f"cd {shlex.quote(str(out))} && " if out else ""
    if not out:
        # As it is: it is a file's contents, in which every string is quoted.
        click.echo(f"# {INVENTORY}\n{printable(found['inventory'])}")
    for name, content in found["files"].items():
        session.tell(f"# put beside it: {name}, {content}")
    session.tell(f"{where}{found['command']} --check --diff")
