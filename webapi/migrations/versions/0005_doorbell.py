# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay says where its doorbell is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("relays") as batch:
        batch.add_column(sa.Column("bell", sa.String(length=64), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("relays") as batch:
        batch.drop_column("bell")
