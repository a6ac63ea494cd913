# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The migrations make the tables that the models describe."""

from __future__ import annotations

from collections.abc import Iterator

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import inspect, make_url

from webapi import commands
from webapi.app import create_app
from webapi.database import Base, db
from webapi.services import health
from webapi.settings import Settings


@pytest.fixture
def app(database_url: str) -> Iterator[Flask]:
    app = create_app(Settings(database_url=database_url))
    with app.app_context():
        yield app
        db.engine.dispose()


def test_an_empty_mariadb_that_is_upgraded_does_not_differ_from_the_models(app: Flask):
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_downgrade_takes_everything_away_and_an_upgrade_brings_it_back(app: Flask):
    flask_migrate.upgrade()
    flask_migrate.downgrade(revision="base")
    assert inspect(db.engine).get_table_names() == ["alembic_version"]
    assert not health.migrated()
    flask_migrate.upgrade()
    assert health.migrated()


def test_health_says_that_a_database_is_not_migrated(app: Flask):
    response = app.test_client().get("/api/v1/health")
    assert (response.status_code, response.json["migrations"]) == (503, "behind")


def test_every_table_keeps_every_character_and_tells_names_apart(app: Flask):
    flask_migrate.upgrade()
    for table in Base.metadata.tables:
        options = inspect(db.engine).get_table_options(table)
        assert options["mysql_collate"] == "utf8mb4_bin", table


@pytest.mark.parametrize("command", ["upgrade", "downgrade", "current"])
def test_a_database_that_refuses_the_password_is_told_in_one_line(
    database_url: str, monkeypatch: pytest.MonkeyPatch, command: str
):
    refused = make_url(database_url).set(password="not-the-one").render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", refused)
    result = CliRunner().invoke(commands.db, [command])
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert line.startswith("Error: the database does not answer: ") and "Access denied" in line
