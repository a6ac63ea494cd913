# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the command line: which API it talks to, and how it answers."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cached_property

import click
from rich.console import Console

from webapi.cli.client import Client, Json
from webapi.cli.errors import Unreachable
from webapi.cli.lookup import Noun, find
from webapi.cli.output import Columns, as_yaml, table
from webapi.cli.tree import follow

#: States of tasks that did what they were asked to, and of those that were stopped.
DONE, CANCELLED = "FINISHED_SUCCESSFULLY", "CANCELLED"
#: What a shell reports of a command that Ctrl-C ended.
INTERRUPTED = 130
#: Wide enough that nothing is cut where no terminal sets a width.
_UNBOUNDED = 10_000


@dataclass
class Session:
    """What every command gets: the API and the way to answer. Only what was asked for goes to standard output."""

    api: str
    token: str | None
    output: str = "table"

    @cached_property
    def client(self) -> Client:
        return Client(self.api, self.token)

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()

    @property
    def wants_json(self) -> bool:
        return self.output == "json"

    @property
    def console(self) -> Console:
        """Where a person reads: beside the JSON there is only standard error."""
        return _console(stderr=self.wants_json)

    def show_list(self, listing: Json, columns: Columns) -> None:
        if self.wants_json:
            self.show_json(listing)
            return
        if listing["items"]:
            self.show_table(columns, listing["items"])
        else:
            click.echo("There are none.", err=True)
        if listing["next"]:
            click.echo(f"These are the first {len(listing['items'])}; --limit 0 shows all.", err=True)

    def show_table(self, columns: Columns, items: list[Json]) -> None:
        """In a pipe or a file without the blanks that fill a terminal's columns."""
        console = self.console
        if console.is_terminal:
            console.print(table(columns, items))
            return
        with console.capture() as drawn:
            console.print(table(columns, items))
        click.echo("\n".join(line.rstrip() for line in drawn.get().rstrip("\n").split("\n")))

    def show(self, resource: Json) -> None:
        """A resource whole."""
        if self.wants_json:
            self.show_json(resource)
        else:
            click.echo(as_yaml(resource))

    def show_json(self, resource: Json) -> None:
        click.echo(json.dumps(resource, indent=2))

    def tell(self, text: str) -> None:
        """Say what was done, to a person only."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def made(self, resource: Json, text: str) -> None:
        """Answer a command that made or changed a resource at once."""
        if self.wants_json:
            self.show_json(resource)
        else:
            self.tell(text)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is lost, where somebody can answer: a script has said what it wants. Raises Abort."""
        if not yes and at_terminal():
            click.confirm(question, abort=True, err=True)

    def delete(self, noun: Noun, name: str) -> None:
        """Delete what ``name`` names. There is no JSON to answer with."""
        found = find(self.client, noun, name)
        self.client.delete(noun.one(found["id"]))
        if not self.wants_json:
            self.tell(f"{noun.title[:1].upper()}{noun.title[1:]} {found['name']} was deleted.")

    def act(self, noun: Noun, name: str, action: str, *, wait: bool, body: Json | None = None) -> None:
        """Ask for an action on what ``name`` names; the answer is a task."""
        found = find(self.client, noun, name)
        self.finish(self.client.post(noun.one(found["id"], action), body), wait=wait)

    def finish(self, task: Json, *, wait: bool) -> None:
        """Answer a command that asked for long work: follow it to its end, which decides the exit code."""
        if wait:
            self.watch(task["id"])
        else:
            self.made(task, f"Task {task['id']} was accepted. {how_to_watch(task['id'])}")

    def watch(self, task_id: str, *, well: str = DONE) -> None:
        """Follow a task to its end; ``well`` is the state that is success."""
        task = self._followed(task_id)
        if self.wants_json:
            self.show_json(task)
        if task["state"] != well:
            raise click.exceptions.Exit(1)

    def _followed(self, task_id: str) -> Json:
        try:
            return follow(self.client, task_id, self.console)
        except KeyboardInterrupt:
            click.echo(f"\nThe task goes on without you. {how_to_watch(task_id)}", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Unreachable as error:
            hint = f"The task goes on without the API. {how_to_watch(task_id)}"
            raise Unreachable(f"{error.message}\n{hint}") from error


def at_terminal() -> bool:
    return sys.stdin.isatty()


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _UNBOUNDED)


def how_to_watch(task_id: str) -> str:
    return f"Watch it:\n  millwright task watch {task_id}"


pass_session = click.make_pass_decorator(Session)
