# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the runner: ``millwright runner``."""

from __future__ import annotations

from pathlib import Path

import click

from .credentials import UnusableKey, make_key
from .settings import InvalidSetting, Settings


@click.group(invoke_without_command=True)
@click.pass_context
def runner(context: click.Context) -> None:
    """The runner service: takes tasks from a datacenter's queues and runs their jobs as playbooks.

    Without a command it serves, as `run` does.
    """
    if context.invoked_subcommand is None:
        context.invoke(run)


@runner.command(help="Serve a datacenter until SIGTERM.\n\n\b\nSettings, by environment:\n" + Settings.describe())
def run() -> None:
    from . import bootstrap  # Ansible's runner and pika are loaded by who needs them

    try:
        bootstrap.run(Settings.from_environment())
    except (InvalidSetting, UnusableKey) as error:
        raise click.ClickException(str(error)) from error


@runner.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File for the private key, not there yet.")
def keygen(out: Path) -> None:
    """Make the key pair of a datacenter: keeps the private key in a file (0600), prints the public key."""
    try:
        click.echo(make_key(out))
    except OSError as error:
        raise click.ClickException(f"cannot write the private key to {out}: {error.strerror}") from error
