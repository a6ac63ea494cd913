# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands of all nouns share: the group that a noun is, and the options that mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from webapi.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])

OUTPUTS = click.Choice(["table", "json"])
DEFAULT_LIMIT = 100
#: The API's own bound.
MOST_SESSIONS = 256


def set_output(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value:
        context.ensure_object(Session).output = value


class ClientCommand(click.Command):
    """A command that takes -o after its own name too, where fingers put it."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["-o", "--output"], type=OUTPUTS, expose_value=False, callback=set_output, help="How to answer."
            )
        )


class Noun(click.Group):
    """The commands about one kind of resource."""

    command_class = ClientCommand


def read_sessions(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    """A number of sessions; 0 for the word that means no bound of one's own."""
    if value == "default":
        return 0
    if not (value.isdecimal() and 1 <= int(value) <= MOST_SESSIONS):
        raise click.BadParameter(f"must be a number from 1 to {MOST_SESSIONS}, or default")
    return int(value)


def open_sessions_option(command: F) -> F:
    return click.option(
        "--open-sessions", callback=read_sessions, required=True, metavar="N|default",
        help="Operations that may run on a hypervisor at a time; default: what holds in general.",
    )(command)  # fmt: skip


def noun(name: str) -> Callable[[Callable[..., Any]], Noun]:
    return click.group(name, cls=Noun)


def limit_option(command: F) -> F:
    return click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=DEFAULT_LIMIT,
        show_default=True,
        help="Show at most so many; 0: all.",
    )(command)


def wait_option(command: F) -> F:
    return click.option(
        "--wait/--no-wait", default=True, help="Follow the task until it has ended (the default), or only ask for it."
    )(command)


def yes_option(command: F) -> F:
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(command)


def name_argument(command: F) -> F:
    return click.argument("name", metavar="NAME|ID")(command)
