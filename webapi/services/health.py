# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the service can do its work, cheaply told."""

from __future__ import annotations

from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_migrate import Migrate
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ..database import db
from ..models import Relay


def health() -> dict[str, Any]:
    """``status`` is "ok" only if the database answers and has our tables. The relay runs elsewhere: its last sign of
    life is told, and is no part of the verdict."""
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return {"status": "failing", "database": "unreachable", "migrations": None, "relay": None}
    if not migrated():
        return {"status": "failing", "database": "ok", "migrations": "behind", "relay": None}
    relay = db.session.get(Relay, Relay.PUBLISHES)
    return {"status": "ok", "database": "ok", "migrations": "current", "relay": relay.seen_at if relay else None}


def migrated() -> bool:
    """Whether the database's tables are those that this code was written for."""
    with db.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == _newest_revision()


def _newest_revision() -> str | None:
    from flask import current_app

    migrate: Migrate = current_app.extensions["migrate"]
    return ScriptDirectory(migrate.directory).get_current_head()
