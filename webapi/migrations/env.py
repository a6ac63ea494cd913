# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs migrations on the app's database. Alembic executes this file."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from flask import current_app

from webapi import models  # noqa: F401  # makes the tables known
from webapi.database import Base, PlainJson, UtcDateTime


def render(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Our types are written by their names."""
    if kind == "type" and isinstance(item, (PlainJson, UtcDateTime)):
        return f"{type(item).__name__}()"
    return False


with current_app.extensions["migrate"].db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render,
        compare_type=True,
        render_as_batch=False,
    )
    with context.begin_transaction():
        context.run_migrations()
