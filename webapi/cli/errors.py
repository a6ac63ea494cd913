# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong on the command line, and the exit code that says so: 1 refused or failed, 2 usage, 3 no API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem
from webapi.cli.printable import printable


class CommandFailed(click.ClickException):
    """The command could not do what it was asked; the message says why."""

    exit_code = 1

    def format_message(self) -> str:
        return printable(self.message)


class Refused(CommandFailed):
    """The API said no; ``code`` is stable, ``problems`` names each wrong field and the rule that it breaks."""

    def __init__(self, status: int, body: Mapping[str, Any]):
        self.status = status
        self.code = str(body.get("code", f"http.{status}"))
        self.details: Mapping[str, Any] = body.get("details") or {}
        self.problems = tuple(Problem(each["path"], each["rule"]) for each in body.get("problems") or ())
        # The message of a refused request says its problems in one line; below they have a line each.
        message = "the API refused what was sent" if self.problems else body.get("message", "the API refused")
        super().__init__(_explained(f"{message} [{self.code}]", self.problems))


class InvalidFile(CommandFailed):
    """A file does not fit its schema; found before the API was asked."""

    def __init__(self, path: str, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__(_explained(f"{path} is not valid [definition.invalid]", problems))


class NoSuchName(CommandFailed):
    """Nothing has this name or id."""


class Ambiguous(CommandFailed):
    """Several have this name, or an id that begins so; the message lists them."""


class Unreachable(CommandFailed):
    """The API gave no answer, or something else than the API answered."""

    exit_code = 3


def _explained(message: str, problems: Sequence[Problem]) -> str:
    return "\n".join([message, *(f"  {problem}" for problem in problems)])
