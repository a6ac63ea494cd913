# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tools.demo up|stop|clean``; `make demo`, `make stop` and `make clean` call it."""

from __future__ import annotations

import argparse
import sys

import click
from rich.console import Console

from tools.demo.down import clean, stop
from tools.demo.up import DemoFailed, up
from tools.guest.build import CannotBuild
from tools.libvirtd import LibvirtUnavailable
from tools.mariadb import CannotStart
from tools.processes import ProcessEnded
from tools.stack import CommandFailed

ACTIONS = {"up": up, "stop": stop, "clean": clean}

#: What goes wrong in ways that a person can act on; anything else is a bug and shows where.
EXPECTED = (
    DemoFailed, CannotBuild, LibvirtUnavailable, CannotStart, ProcessEnded, CommandFailed, TimeoutError,
    click.ClickException,
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=ACTIONS)
    console = Console(highlight=False)
    try:
        ACTIONS[parser.parse_args().action](console)
    except EXPECTED as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        console.print(f"\n[bold red]The demo cannot go on.[/] {type(error).__name__}:")
        console.print(message, markup=False)
        console.print("\nLogs of all parts: .run/demo/*.log. `make stop` stops what runs, `make demo` goes on.")
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted. What was asked for goes on; `make demo` shows it again, `make stop` stops it.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
