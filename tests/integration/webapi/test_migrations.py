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
from sqlalchemy import Connection, inspect, make_url, text

from runner_service.contract.topology import Topology
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


def test_relays_that_publish_and_that_apply_have_a_row_each(app: Flask):
    flask_migrate.upgrade(revision="0008")
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM relays ORDER BY id")).scalars().all() == [1, 2]
    flask_migrate.downgrade(revision="0008")
    with db.engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM relays")).scalars().all() == [1]


def test_requests_that_wait_when_the_tables_change_wait_for_their_queue(app: Flask):
    flask_migrate.upgrade(revision="0003")
    now, host, datacenter = "2026-11-22 12:00:00", "h" * 36, "d" * 36
    rows = {
        "datacenters": {"id": datacenter, "name": "dc", "partitions": 4, "created_at": now},
        "hypervisors": {
            "id": host, "datacenter_id": datacenter, "name": "h", "type": "fake", "url": "fake:///", "created_at": now,
            "validate_certs": True, "state": "MANAGED",
        },
        "tasks": {
            "id": "t", "root_id": "t", "position": 0, "type": "DISCOVER", "owner_type": "hypervisor", "owner_id": host,
            "name": "h", "mode": "sequential", "state": "QUEUED", "requested_by": "x", "created_at": now,
        },
    }  # fmt: skip
    request = {"task_id": "t", "hypervisor_id": host, "created_at": now, "attempt": 0, "sequence": 0, "crashes": 0}
    marks = {"waits": {}, "marked": {"publishing_at": now}, "out": {"published_at": now}, "ended": {"outcome": "DONE"}}
    with db.engine.begin() as connection:
        for table, row in rows.items():
            _insert(connection, table, row)
        for name, mark in marks.items():
            _insert(connection, "requests", request | {"id": name, "begun_attempt": 0} | mark)
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        found = connection.execute(text("SELECT id, waits_in, tenant, priority FROM requests ORDER BY number")).all()
    queue = Topology(datacenter, 4).in_queue_for(host)
    assert [tuple(row) for row in found] == [(name, queue if name == "waits" else None, "", 1) for name in marks]
    flask_migrate.downgrade(revision="0003")


def _insert(connection: Connection, table: str, row: dict[str, object]) -> None:
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


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
