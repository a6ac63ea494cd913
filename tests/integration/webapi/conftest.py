# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API on a real MariaDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.webapi_world import World, migrate, world_on
from webapi.database import db


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    migrate(database_url)
    world = world_on(database_url)
    with world.app.app_context():
        yield world
        db.session.remove()
        db.engine.dispose()
