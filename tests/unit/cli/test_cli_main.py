# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root command: help, version, and commands that are loaded only when asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import click
import pytest
from click.testing import CliRunner

from webapi.cli import main as root
from webapi.cli.main import NOUNS, main

HEAVY = {"pika", "ansible", "ansible_runner", "flask", "sqlalchemy", "gunicorn", "libvirt"}


class Services(dict):
    """Entry points that a test says are installed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(root, "_service_commands", lambda: self)

    def add(self, name: str, value: str) -> None:
        self[name] = metadata.EntryPoint(name, value, root.SERVICE_COMMANDS)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    return Services(monkeypatch)


@click.command()
def a_service() -> None:
    """Serve something."""
    click.echo("serving")


def run(*words: str):
    return CliRunner().invoke(main, words)


def walk(command: click.Command, path: tuple[str, ...] = ()):
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))


COMMANDS = [
    each
    for noun in NOUNS
    for each in walk(main.get_command(click.Context(main), noun), (noun,))
]  # fmt: skip


def test_help_shows_the_way_and_every_noun(services):
    said = run("--help").output
    assert "millwright vapp deploy shop" in said
    assert "_MILLWRIGHT_COMPLETE=bash_source" in said
    assert all(f"\n  {noun} " in said for noun in NOUNS)
    assert "Run the platform" not in said


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_and_option_explains_itself_in_eighty_columns(path, command):
    result = CliRunner(env={"COLUMNS": "80"}).invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert command.help
    assert all(param.help for param in command.params if isinstance(param, click.Option))
    assert max(map(len, result.output.splitlines())) <= 80
    assert "..." not in result.output.replace("[ARGS]...", "")


def test_a_mistyped_noun_is_answered_with_the_one_that_was_probably_meant():
    result = run("vapps", "list")
    assert (result.exit_code, "No such command 'vapps'. Did you mean 'vapp'?" in result.output) == (2, True)
    assert "Did you mean" not in run("xyzzy").output


def test_the_version_is_the_packages():
    assert run("--version").output == f"millwright {metadata.version('millwright')}\n"


def test_a_service_brings_its_own_commands(services):
    services.add("serve", f"{__name__}:a_service")
    assert "Run the platform:\n  serve " in run("--help").output
    assert run("serve").output == "serving\n"


def test_a_service_that_is_not_installed_is_simply_absent(services):
    services.add("ghost", "no_such_package.commands:ghost")
    assert "ghost" not in run("--help").output
    result = run("ghost")
    assert result.exit_code == 2
    assert "No such command 'ghost'" in result.output


def test_the_client_imports_no_service_and_no_sdk():
    program = (
        "import sys, click\n"
        "from webapi.cli.main import main, NOUNS\n"
        "for noun in NOUNS: main.get_command(click.Context(main), noun)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
    assert "runner_service" not in loaded
