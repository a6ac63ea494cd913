# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters can be sent again; jobs are listed, and tasks counted, without reading them all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webapi.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEW_INDEXES: dict[str, list[str]] = {
    "dead_letters": ["requeue_asked_at"],
    "jobs": ["created_at", "id"],
    "tasks": ["state", "parent_id"],
}


def upgrade() -> None:
    with op.batch_alter_table("dead_letters") as batch:
        batch.add_column(sa.Column("requeue_asked_at", UtcDateTime(), nullable=True))
    for table, columns in _NEW_INDEXES.items():
        op.create_index(_name(table, columns), table, columns)


def downgrade() -> None:
    for table, columns in _NEW_INDEXES.items():
        op.drop_index(_name(table, columns), table)
    with op.batch_alter_table("dead_letters") as batch:
        batch.drop_column("requeue_asked_at")


def _name(table: str, columns: list[str]) -> str:
    return op.f(f"ix_{table}_{'_'.join(columns)}")
