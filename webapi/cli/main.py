# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``millwright``: the client's nouns, and the commands that the installed services bring."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from importlib import import_module, metadata
from typing import Any

import click

from webapi.cli.noun import OUTPUTS
from webapi.cli.session import Session

DEFAULT_API = "http://127.0.0.1:8470"
#: Where services declare commands of their own (pyproject.toml).
SERVICE_COMMANDS = "millwright.commands"

#: Noun -> the module that defines it, under its own name. Imported when used.
NOUNS: dict[str, str] = {
    "vapp": "webapi.cli.vapp",
    "vm": "webapi.cli.vm",
    "task": "webapi.cli.task",
    "job": "webapi.cli.job",
    "event": "webapi.cli.event",
    "template": "webapi.cli.template",
    "vdc": "webapi.cli.vdc",
    "hypervisor": "webapi.cli.hypervisor",
    "datacenter": "webapi.cli.datacenter",
    "runners": "webapi.cli.runners",
    "sessions": "webapi.cli.sessions",
    "dlq": "webapi.cli.dlq",
}


class Root(click.Group):
    """Finds commands by name and imports none that was not asked for, so that a client needs no service's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click calls it so
        return [*NOUNS, *sorted(_service_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # likewise
        if cmd_name in NOUNS:
            found: click.Command = getattr(import_module(NOUNS[cmd_name]), cmd_name)
            return found
        return self._service_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """What was mistyped is compared with what there is, which click does for groups that know their commands."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # A service that is not installed is listed too.
            others = [name for name in self.list_commands(ctx) if name != error.command_name]
            raise click.NoSuchCommand(error.command_name, possibilities=others, ctx=ctx) from None

    def _service_command(self, name: str) -> click.Command | None:
        """None if the service is not installed, or only in part: then it is not one of this machine's commands."""
        try:
            entry = _service_commands().get(name)
            command: click.Command | None = entry.load() if entry else None
        except ImportError:
            return None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self._format_section(ctx, formatter, "Ask the API", NOUNS)
        self._format_section(ctx, formatter, "Run the platform", sorted(_service_commands()))

    def _format_section(
        self, ctx: click.Context, formatter: click.HelpFormatter, title: str, names: Iterable[str]
    ) -> None:
        commands = [(name, command) for name in names if (command := self.get_command(ctx, name))]
        rows = [(name, command.get_short_help_str(limit=64)) for name, command in commands]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def _service_commands() -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=SERVICE_COMMANDS)}


def _survive_narrow_encodings() -> None:
    """A character that the terminal cannot show is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _print_version(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
    if value:
        click.echo(f"millwright {metadata.version('millwright')}")
        context.exit()


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": None})
@click.option(
    "--api", envvar="MILLWRIGHT_API", default=DEFAULT_API, metavar="URL", show_default=True, show_envvar=True,
    help="Address of the API.",
)  # fmt: skip
@click.option("--token", envvar="MILLWRIGHT_TOKEN", metavar="TOKEN", show_envvar=True, help="Who you are to the API.")
@click.option("-o", "--output", type=OUTPUTS, default="table", help="How to answer: for people, or the API's JSON.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Say which.")
@click.pass_context
def main(context: click.Context, api: str, token: str | None, output: str) -> None:
    """Virtual machines on any hypervisor, one definition, one set of operations.

    A virtual appliance is a set of VMs that are deployed together. Write it in a file, then:

    \b
      millwright vapp create -f shop.yml     make it known, nothing runs yet
      millwright vapp deploy shop            build and start its VMs, watch them
      millwright vm list                     see what runs where
      millwright vm power shutdown web1      ask one guest to shut down
      millwright vapp undeploy shop          power off and remove its VMs

    Before the first one the API must know where VMs can run:

    \b
      millwright datacenter create --help
      millwright hypervisor register --help
      millwright template create --help
      millwright vdc create --help

    Everything can be named by its name or its id; the short id of the lists will do. A VM can be named with its
    appliance too: shop/web1. Long work is a task that you follow until it ends; Ctrl-C stops following, not the task.
    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no API.

    Tab completion, for bash (zsh and fish likewise):

    \b
      eval "$(_MILLWRIGHT_COMPLETE=bash_source millwright)"
    """
    _survive_narrow_encodings()
    context.obj = Session(api=api, token=token, output=output)
    context.call_on_close(context.obj.close)
