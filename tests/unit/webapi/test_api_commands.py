# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that look after the API."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import click
import flask
import pytest
from click.testing import CliRunner, Result

from webapi import commands
from webapi.commands import api, db, relay, token
from webapi.database import db as tables
from webapi.settings import Settings


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/api.sqlite")

    def run(command: click.Command, *arguments: str) -> Result:
        return CliRunner().invoke(command, arguments)

    return run


def test_a_database_that_nobody_chose_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(commands, "create_app", lambda settings: _app_at(tmp_path, settings))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    result = CliRunner().invoke(token, ["create", "alice"])
    assert result.stderr.startswith(f"DATABASE_URL is not set: the database is {tmp_path}/millwright.sqlite\n")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/api.sqlite")
    assert "DATABASE_URL is not set" not in CliRunner().invoke(token, ["create", "alice"]).stderr


def _app_at(place: Path, settings: Settings) -> flask.Flask:
    app = flask.Flask("webapi", instance_path=str(place))
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    tables.init_app(app)
    return app


@pytest.mark.parametrize("command", [api, relay])
def test_a_service_refuses_a_database_that_is_not_migrated_and_says_what_to_run(run, command: click.Command):
    result = run(command)
    assert result.exit_code == 1
    assert "millwright db upgrade" in result.output


def test_a_token_is_made_listed_and_revoked(run):
    assert run(db, "upgrade").exit_code == 0
    made = run(token, "create", "alice")
    assert made.exit_code == 0
    assert made.stdout.startswith("mw_") and len(made.stdout.split()) == 1, "nothing but the token, for scripts"
    assert "alice" in run(token, "list").output
    again = run(token, "create", "alice")
    assert (again.exit_code, again.output) == (1, "Error: there is already a token named 'alice'\n")
    assert run(token, "revoke", "alice").exit_code == 0
    assert run(token, "list").output == ""
    gone = run(token, "revoke", "alice")
    assert (gone.exit_code, "no token 'alice'" in gone.output) == (1, True)


def test_the_database_is_upgraded_and_downgraded(run):
    assert run(db, "upgrade").exit_code == 0
    assert run(db, "upgrade").exit_code == 0
    assert run(db, "downgrade", "base").exit_code == 0
    assert "db upgrade" in run(token, "list").output


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (api, []), (relay, []), (token, ["list"]), (token, ["create", "alice"]), (db, ["upgrade"]), (db, ["downgrade"]),
        (db, ["current"]), (db, ["revision", "more"]),
    ],
)  # fmt: skip
def test_a_database_that_does_not_answer_is_told_in_one_line(run, monkeypatch, command: click.Command, arguments: list):
    monkeypatch.setenv("DATABASE_URL", "sqlite:////no/such/folder/api.sqlite")
    result = run(command, *arguments)
    assert (result.exit_code, result.output) == (
        1,
        "Error: the database does not answer: unable to open database file\n",
    )


@pytest.mark.parametrize("window", ["0", "many", "-1", "²"])
def test_a_window_that_is_no_number_of_requests_is_refused(run, monkeypatch: pytest.MonkeyPatch, window: str):
    monkeypatch.setenv("MILLWRIGHT_WINDOW", window)
    assert run(db, "upgrade").exit_code == 0
    result = run(relay)
    assert (result.exit_code, result.output) == (
        1,
        f"Error: MILLWRIGHT_WINDOW must be a number from 1, not {window!r}\n",
    )


@pytest.mark.parametrize("days", ["many", "-1", "1.5", "36501", "²"])
def test_a_time_to_keep_what_has_ended_that_is_none_is_refused(run, monkeypatch: pytest.MonkeyPatch, days: str):
    monkeypatch.setenv("MILLWRIGHT_KEEP_DAYS", days)
    assert run(db, "upgrade").exit_code == 0
    for command, *arguments in ((relay,), (db, "prune")):
        result = run(command, *arguments)
        said = f"Error: MILLWRIGHT_KEEP_DAYS must be a number of days to 36500, not {days!r}\n"
        assert (result.exit_code, result.output) == (1, said)


def test_what_is_forgotten_is_counted_and_a_dry_run_forgets_nothing(run, monkeypatch: pytest.MonkeyPatch):
    assert run(db, "upgrade").exit_code == 0
    nothing = "0 tasks, 0 requests, 0 jobs, 0 events, 0 dead letters"
    assert run(db, "prune", "--dry-run").output == f"Would be forgotten: {nothing}.\n"
    assert run(db, "prune", "--days", "1").output == f"Forgotten: {nothing}.\n"
    assert run(db, "prune", "--days", "0").exit_code == 2
    monkeypatch.setenv("MILLWRIGHT_KEEP_DAYS", "0")
    kept = run(db, "prune")
    assert (kept.exit_code, "give --days" in kept.output) == (2, True)
    assert run(db, "prune", "--days", "1", "--dry-run").exit_code == 0


def test_the_history_of_the_tables_needs_no_database(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "sqlite:////no/such/folder/api.sqlite")
    assert run(db, "history").exit_code == 0


@pytest.mark.parametrize("command", [api, relay, db, token])
def test_help_names_every_setting_and_its_default(run, command: click.Command):
    said = " ".join(run(command, "--help").output.split())
    for name in ("DATABASE_URL", "AMQP_URL", "MILLWRIGHT_API_BIND"):
        assert name in said
    assert Settings().api_bind in said


def test_settings_come_from_the_environment_and_empty_ones_count_as_unset():
    settings = Settings.from_environment({"DATABASE_URL": "sqlite://", "AMQP_URL": "", "MILLWRIGHT_OTHER": "x"})
    assert settings == Settings(database_url="sqlite://")


def test_what_is_loaded_when_the_api_makes_its_workers_stays_shared(monkeypatch: pytest.MonkeyPatch):
    """The garbage collector of a worker does not go through it, and so does not write into it."""
    told: dict[str, Any] = {}

    class Server:
        def __init__(self, _app: object, options: dict[str, Any]):
            told.update(options)

        def run(self) -> None:
            gc.unfreeze()
            told["pre_fork"](None, None)
            told["frozen"] = gc.get_freeze_count()
            gc.unfreeze()

    monkeypatch.setattr(commands, "_migrated_app", lambda: None)
    monkeypatch.setattr(commands, "_Server", Server)
    done = CliRunner().invoke(api, [])
    assert done.exception is None
    assert told["frozen"] > 10_000
