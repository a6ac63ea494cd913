# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API on SQLite: quick, and enough for what does not depend on the database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webapi_world import World, migrate, world_on
from webapi.database import db
from webapi.services import outbox


@pytest.fixture(scope="session")
def empty_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and nothing in them."""
    path = tmp_path_factory.mktemp("webapi") / "empty.sqlite"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def world(empty_tables: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(empty_tables, tmp_path / "api.sqlite")
    world = world_on(f"sqlite:///{tmp_path}/api.sqlite")
    with world.app.app_context():
        yield world
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def shop(world: World) -> dict:
    """An appliance of two VMs, before which nothing waits to be published."""
    shop = world.site("web", "db")
    outbox.publish_pending(lambda _: None)
    return shop
