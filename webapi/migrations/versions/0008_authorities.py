# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom runners trust when they connect to a hypervisor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("hypervisors") as batch:
        batch.add_column(sa.Column("ca_certificates", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("hypervisors") as batch:
        batch.drop_column("ca_certificates")
