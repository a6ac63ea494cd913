# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancelling, dead letters, runners, bounds of sessions, and traces of jobs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from webapi.database import LongText, PlainJson, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

_NEW_COLUMNS: dict[str, list[tuple[str, Any]]] = {
    "tasks": [("cancel_asked_by", sa.String(length=255)), ("cancel_asked_at", UtcDateTime())],
    "jobs": [("tries", sa.Integer()), ("replay", PlainJson()), ("trace", PlainJson())],
    "virtualdatacenters": [("open_sessions", sa.Integer())],
    "requests": [("publishing_at", UtcDateTime()), ("cancel_asked_at", UtcDateTime())],
}


def upgrade() -> None:
    for table, columns in _NEW_COLUMNS.items():
        with op.batch_alter_table(table) as batch:
            for name, kind in columns:
                batch.add_column(sa.Column(name, kind, nullable=True))
    _count_crashes()
    with op.batch_alter_table("hypervisors") as batch:
        batch.alter_column("open_sessions", existing_type=sa.Integer(), nullable=True)
    # What was the default of every hypervisor is the platform's from now on, and can be changed for all at once.
    op.execute("UPDATE hypervisors SET open_sessions = NULL WHERE open_sessions = 2")
    _make_session_limits()
    _make_runners()
    _make_dead_letters()


def _count_crashes() -> None:
    """With a default for the rows that there are, which the models do without."""
    names = ("crashes", "begun_attempt")
    with op.batch_alter_table("requests") as batch:
        for name in names:
            batch.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        batch.create_index(op.f("ix_requests_cancel_asked_at"), ["cancel_asked_at"])
    with op.batch_alter_table("requests") as batch:
        for name in names:
            batch.alter_column(name, existing_type=sa.Integer(), existing_nullable=False, server_default=None)


def _make_session_limits() -> None:
    op.create_table(
        "session_limits",
        sa.Column("scope", sa.String(length=32), nullable=False),
        sa.Column("open_sessions", sa.Integer(), nullable=False),
        sa.Column("power_passes", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_session_limits")),
        **_MYSQL,
    )


def _make_runners() -> None:
    op.create_table(
        "runners",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datacenter_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("stopping", sa.Boolean(), nullable=False),
        sa.Column("status", PlainJson(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["datacenter_id"], ["datacenters.id"], name=op.f("fk_runners_datacenter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runners")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_runners_datacenter_id"), "runners", ["datacenter_id"])
    op.create_index(op.f("ix_runners_seen_at"), "runners", ["seen_at"])
    op.create_index(op.f("ix_runners_created_at_id"), "runners", ["created_at", "id"])


def _make_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datacenter_id", sa.String(length=36), nullable=False),
        sa.Column("queue", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", LongText, nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=True),
        sa.Column("task_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["datacenter_id"], ["datacenters.id"], name=op.f("fk_dead_letters_datacenter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        **_MYSQL,
    )
    op.create_index(op.f("ix_dead_letters_created_at_id"), "dead_letters", ["created_at", "id"])
    op.create_index(op.f("ix_dead_letters_datacenter_id"), "dead_letters", ["datacenter_id"])


def downgrade() -> None:
    for table in ("dead_letters", "runners", "session_limits"):
        op.drop_table(table)
    op.execute("UPDATE hypervisors SET open_sessions = 2 WHERE open_sessions IS NULL")
    with op.batch_alter_table("hypervisors") as batch:
        batch.alter_column("open_sessions", existing_type=sa.Integer(), nullable=False)
    with op.batch_alter_table("requests") as batch:
        batch.drop_index(op.f("ix_requests_cancel_asked_at"))
        batch.drop_column("crashes")
        batch.drop_column("begun_attempt")
    for table, columns in _NEW_COLUMNS.items():
        with op.batch_alter_table(table) as batch:
            for name, _kind in columns:
                batch.drop_column(name)
