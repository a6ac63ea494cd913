# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A relay says that it applies updates, too, in a row of its own: the first is locked while one publishes."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("INSERT INTO relays (id) VALUES (2)")


def downgrade() -> None:
    op.execute("DELETE FROM relays WHERE id = 2")
