# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks: what was asked for, and what became of it."""

from __future__ import annotations

from datetime import datetime

import click

from webapi.cli.client import Json
from webapi.cli.lookup import TASK, find
from webapi.cli.noun import limit_option, noun, wait_option, yes_option
from webapi.cli.output import Columns, clock, field, short_id
from webapi.cli.picture import duration
from webapi.cli.session import CANCELLED, Session, how_to_watch, pass_session
from webapi.cli.tree import show as show_tree


def _took(task: Json) -> str:
    if not (task["started_at"] and task["ended_at"]):
        return ""
    started, ended = (datetime.fromisoformat(task[name]) for name in ("started_at", "ended_at"))
    return duration((ended - started).total_seconds())


COLUMNS: Columns = {
    "ID": short_id,
    "Type": field("type"),
    "Of": field("name"),
    "State": field("state"),
    "Asked": clock("created_at"),
    "Took": _took,
}


@noun("task")
def task() -> None:
    """Tasks: what was asked for, and what became of it."""


@task.command("list")
@click.option("--state", metavar="STATE", help="Only those in this state, for instance STARTED.")
@click.option("--type", "type_", metavar="TYPE", help="Only those of this type, for instance DEPLOY.")
@click.option("--owner", "owner_id", metavar="ID", help="Only those of the VM, appliance or hypervisor with this id.")
@limit_option
@pass_session
def list_(session: Session, state: str | None, type_: str | None, owner_id: str | None, limit: int) -> None:
    """List tasks."""
    found = session.client.listing(
        TASK.path, limit=limit, state=state and state.upper(), type=type_ and type_.upper(), owner_id=owner_id
    )
    session.show_list(found, COLUMNS)


@task.command()
@click.argument("id")
@pass_session
def show(session: Session, id: str) -> None:
    """Show a task with all its jobs."""
    found = find(session.client, TASK, id)
    if session.wants_json:
        session.show_json(found)
    else:
        show_tree(session.client, found, session.console)


@task.command()
@click.argument("id")
@pass_session
def watch(session: Session, id: str) -> None:
    """Follow a task until it has ended.

    Exit code 1 if it fails.
    """
    session.watch(find(session.client, TASK, id)["id"])


@task.command()
@click.argument("id")
@wait_option
@pass_session
def cancel(session: Session, id: str, *, wait: bool) -> None:
    """Stop a task and take back what it did.

    It can be one VM's part of an appliance's task too. Jobs that run are stopped; parts that have ended stay as they
    are: VMs that were deployed by then stay deployed, and the last lines name them and how to remove them. Exit code 1
    if the task ends otherwise than cancelled.
    """
    asked = session.client.post(TASK.one(find(session.client, TASK, id)["id"], "cancel"))
    if wait:
        session.watch(asked["id"], well=CANCELLED)
    elif asked["ended_at"]:
        session.made(asked, f"Task {asked['id']} was cancelled.")
    else:
        session.made(asked, f"Task {asked['id']} is being cancelled. {how_to_watch(asked['id'])}")


@task.command()
@click.argument("id")
@wait_option
@pass_session
def resend(session: Session, id: str, *, wait: bool) -> None:
    """Send the messages of a task again that the broker has lost.

    A message is lost for good when its queue was purged or deleted, or the broker came back from a backup; "task show"
    says so when no runner and no queue has had it for two minutes. The runner that gets it looks first what is done
    already. Exit code 1 if the task fails.
    """
    asked = session.client.post(TASK.one(find(session.client, TASK, id)["id"], "resend"))
    if wait:
        session.watch(asked["id"])
    else:
        session.made(asked, f"What is lost of task {asked['id']} is sent again. {how_to_watch(asked['id'])}")


@task.command()
@click.argument("id")
@click.option("--force", is_flag=True, help="Also where nobody can tell whether the message is lost.")
@yes_option
@pass_session
def abandon(session: Session, id: str, *, force: bool, yes: bool) -> None:
    """End a task that no runner is to end, as its message is lost.

    To have it carried out after all, "task resend" it. The task, or one VM's part of it, fails; nothing is taken
    back. VMs that were being worked on are UNKNOWN: "vm refresh" looks what they are. With --force a runner that
    has it in hand is told to drop it where it stands; cancel it instead if a runner can still end it.
    """
    found = find(session.client, TASK, id)
    if not yes:
        click.confirm(f"{_WARNING[force]} Abandon task {found['id']}?", abort=True, err=True)
    asked = session.client.post(TASK.one(found["id"], "abandon"), {"force": force})
    if asked["ended_at"]:
        session.made(asked, f"Task {asked['id']} was abandoned.")
    else:
        session.made(asked, f"What is lost of task {asked['id']} is being abandoned. {how_to_watch(asked['id'])}")


_WARNING = {
    False: "What was done of it stays as it is.",
    True: "A runner may be at work on it: it stops where it is, and what was done stays as it is.",
}
