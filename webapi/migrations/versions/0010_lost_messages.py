# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests whose message the broker has lost are known, and can be abandoned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webapi.database import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("requests") as requests:
        requests.add_column(sa.Column("missing_since", UtcDateTime(), nullable=True))
        requests.add_column(sa.Column("abandoned_by", sa.String(length=255), nullable=True))
        requests.add_column(sa.Column("abandoned_at", UtcDateTime(), nullable=True))
        requests.add_column(sa.Column("abandoned_by_force", sa.Boolean(), nullable=True))
        requests.create_index(op.f("ix_requests_abandoned_at"), ["abandoned_at"])


def downgrade() -> None:
    with op.batch_alter_table("requests") as requests:
        requests.drop_index(op.f("ix_requests_abandoned_at"))
        requests.drop_column("abandoned_by_force")
        requests.drop_column("abandoned_at")
        requests.drop_column("abandoned_by")
        requests.drop_column("missing_since")
