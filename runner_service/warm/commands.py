# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warm Ansible for people's own playbooks: ``millwright warm``."""

from __future__ import annotations

import os
import re
import sys
import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import click

from . import own, places
from .keeper import write_shim_for_people
from .own import Facts
from .places import Place

#: Seconds for a server to take notice that it should end.
_ENDS_WITHIN = 5.0


@click.group()
def warm() -> None:
    """Ansible kept loaded, so that your own playbooks start in no time.

    \b
      millwright warm run site.yml -i hosts.yml      as ansible-playbook site.yml -i hosts.yml
      export PATH="$(millwright warm path):$PATH"    from now on, ansible-playbook itself is warm

    The first run is an ordinary one, and starts a server in the background for the next ones; a server serves what is
    configured alike, to you alone. It ends after 30 minutes without a run (MILLWRIGHT_WARM_IDLE, in minutes), and when
    the configuration, a collection or Ansible changes. With MILLWRIGHT_WARM_TELL=1 a run that is not warm says why.
    """


@warm.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="PLAYBOOK [OPTIONS]")
def run(arguments: tuple[str, ...]) -> None:
    """Run a playbook warm. What follows are the arguments of ansible-playbook, and so is the exit code."""
    shim = _shim()
    sys.stdout.flush()
    try:
        os.execv(shim, [str(shim), *arguments])  # noqa: S606  # the user's own arguments, no shell
    except OSError as error:
        raise click.ClickException(f"cannot start {shim}: {error.strerror}") from error


@warm.command()
def path() -> None:
    """Print a directory with an `ansible-playbook` that is warm, for the front of your PATH.

    It stays the same, so a line in your shell's startup file can name it and need not ask each time.
    """
    click.echo(_shim().parent)


@warm.command()
def status() -> None:
    """Show your servers: since when, for which configuration, their memory, and the runs they have served."""
    servers = list(own.all_of(_directory()))
    if not servers:
        click.echo("No server is running. The next `millwright warm run` starts one.")
    for place, facts in servers:
        click.echo(_described(place, facts))


@warm.command()
@click.option("--now", is_flag=True, help="End what they run, too, instead of letting it come to its end.")
def stop(*, now: bool) -> None:
    """Stop your servers."""
    servers = list(own.all_of(_directory()))
    stopped = [place for place, facts in servers if own.end(place, facts, now=now)]
    until = time.monotonic() + _ENDS_WITHIN
    while (left := [place for place in stopped if not place.is_free()]) and time.monotonic() < until:
        time.sleep(0.02)
    if left:
        raise click.ClickException(f"{len(left)} of {len(stopped)} servers did not end; see {left[0].log}")
    click.echo(f"Stopped {len(stopped)}." if stopped else "No server is running.")


def _described(place: Place, facts: Facts) -> str:
    since = datetime.fromtimestamp(facts.since).astimezone().isoformat(" ", "seconds")
    state = f"{facts.running} running" if facts.ready else "starting"
    lines = [
        f"{place.key}  {state}, {facts.served} served, since {since}",
        f"  process        {facts.process}, {_memory(facts.process)} MiB",
        f"  configuration  {facts.file or 'none'}",
        f"  started in     {facts.directory}",
        *(f"  variable       {variable}" for variable in facts.variables),
        f"  log            {place.log}",
    ]
    return "\n".join(lines)


def _memory(process: int) -> int:
    """MiB that would be free without it: what it shares with its runs counts in part."""
    try:
        (kibibytes,) = re.findall(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M)
    except (OSError, ValueError):
        return 0
    return int(kibibytes) // 1024


def _directory() -> str:
    try:
        return places.directory(os.environ)
    except (OSError, places.Unsafe) as error:
        raise click.ClickException(str(error)) from error


def _shim() -> Path:
    """Written anew each time, as this checkout or its Python may have moved."""
    ordinary = Path(sys.executable).with_name("ansible-playbook")
    if find_spec("ansible") is None or not ordinary.exists():
        raise click.ClickException(f"there is no Ansible beside {sys.executable}: install ansible-core there")
    try:
        return write_shim_for_people(_programs(), str(ordinary))
    except OSError as error:
        raise click.ClickException(f"cannot write to {_programs()}: {error.strerror}") from error


def _programs() -> Path:
    """One for each Python that has Millwright."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    name = re.sub(r"[^\w.-]+", "-", sys.prefix).strip("-")
    return Path(home, "millwright", "warm", name)
