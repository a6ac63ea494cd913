# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead letters: messages that could not be handled, for operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from webapi.cli.client import Json
from webapi.cli.errors import CommandFailed, Refused
from webapi.cli.lookup import DATACENTER, DEAD_LETTER, TASK, find
from webapi.cli.noun import limit_option, noun, yes_option
from webapi.cli.output import Columns, clock, field, short_id
from webapi.cli.session import Session, pass_session

F = TypeVar("F", bound=Callable[..., Any])


def _task(letter: Json) -> str:
    return (letter["task_id"] or "")[:8]


def _asked(letter: Json) -> str:
    return "to be sent again" if letter["requeue_asked_at"] else ""


COLUMNS: Columns = {
    "ID": short_id,
    "Came": clock("created_at"),
    "Task": _task,
    "State": _asked,
    "Text": field("reason"),
}


class NotAll(CommandFailed):
    """Some of several were refused."""


@noun("dlq")
def dlq() -> None:
    """Dead letters: messages that could not be handled."""


def _filters(command: F) -> F:
    for option in (
        click.option("--task", metavar="ID", help="Only those of this task."),
        click.option("--datacenter", metavar="NAME|ID", help="Only those of this datacenter."),
    ):
        command = option(command)
    return command


def _which(command: F) -> F:
    """One by its id, or all that filters leave."""
    command = click.option("--all", "every", is_flag=True, help="All of them, or all that the filters leave.")(command)
    return click.argument("id", required=False)(_filters(command))


@dlq.command("list")
@_filters
@limit_option
@pass_session
def list_(session: Session, /, limit: int, **within: str | None) -> None:
    """List dead letters, the newest first."""
    session.show_list(_listing(session, limit, **within), COLUMNS)


@dlq.command()
@click.argument("id")
@pass_session
def show(session: Session, id: str) -> None:
    """Show a dead letter with the reason and what it says. Secrets in it are sealed."""
    found = session.client.get(DEAD_LETTER.one(find(session.client, DEAD_LETTER, id)["id"]))
    if not session.wants_json and found["message"] is not None:
        del found["body"]
    session.show(found)


@dlq.command()
@_which
@pass_session
def requeue(session: Session, /, id: str | None, *, every: bool, **within: str | None) -> None:
    """Have dead letters sent again, once what stopped them is put right.

    Of a request whose task has ended, the same is asked for anew: a new task is made, in your name, if the state of its
    VM still allows it.
    """
    chosen = _chosen(session, id, every=every, **within)
    made: list[str] = []

    def ask(letter: Json) -> None:
        answer = session.client.post(DEAD_LETTER.one(letter["id"], "requeue"))
        if answer.get("new_task_id"):
            made.append(answer["new_task_id"])

    _each(session, chosen, ask, lambda accepted: _requeued(accepted - len(made), made))


def _requeued(sent: int, made: list[str]) -> list[str]:
    lines = [f"{_counted(sent)} will be sent again."] if sent or not made else []
    return lines + [f"Task {task_id} asks for the same anew." for task_id in made]


@dlq.command()
@_which
@yes_option
@pass_session
def drop(session: Session, /, id: str | None, *, every: bool, yes: bool, **within: str | None) -> None:
    """Forget dead letters for good."""
    chosen = _chosen(session, id, every=every, **within)
    if not yes and chosen:
        click.confirm(f"Forget {_counted(len(chosen))} for good?", abort=True, err=True)
    were = "was" if len(chosen) == 1 else "were"

    def said(accepted: int) -> list[str]:
        return [f"{_counted(accepted)} {were} dropped."]

    _each(session, chosen, lambda letter: session.client.delete(DEAD_LETTER.one(letter["id"])), said)


def _listing(session: Session, limit: int, *, datacenter: str | None, task: str | None) -> Json:
    return session.client.listing(
        DEAD_LETTER.path,
        limit=limit,
        datacenter_id=find(session.client, DATACENTER, datacenter)["id"] if datacenter else None,
        task_id=find(session.client, TASK, task)["id"] if task else None,
    )


def _chosen(session: Session, id: str | None, *, every: bool, **within: str | None) -> list[Json]:
    """What is to be acted on. Raises UsageError for neither one nor all, so that nobody drops all by mistake."""
    if (id is None) != every:
        raise click.UsageError("give the ID of a dead letter, or --all")
    if id is None:
        found: list[Json] = _listing(session, 0, **within)["items"]
        return found
    if any(within.values()):
        raise click.UsageError("filters go with --all, not with an ID")
    return [find(session.client, DEAD_LETTER, id)]


def _each(session: Session, letters: list[Json], act: Callable[[Json], Any], said: Callable[[int], list[str]]) -> None:
    """What is refused is told, and keeps none of the others back; ``said`` tells how many were not."""
    refused = []
    for letter in letters:
        try:
            act(letter)
        except Refused as error:
            if len(letters) == 1:
                raise
            refused.append(f"{letter['id']}: {error.message}")
    if not session.wants_json:
        for line in said(len(letters) - len(refused)):
            session.tell(line)
    if refused:
        raise NotAll("\n".join(["the API refused:", *(f"  {line}" for line in refused)]))


def _counted(number: int) -> str:
    return f"{number} dead letter{'' if number == 1 else 's'}"
