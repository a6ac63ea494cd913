# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bearer tokens."""

from __future__ import annotations

import hashlib

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from ..database import Base, Name, OwnId, Stamp, table_arguments


class ApiToken(Base):
    """Lets its bearer in. Only the token's digest is kept; the token itself was shown once."""

    __tablename__ = "api_tokens"
    __table_args__ = table_arguments()

    id: Mapped[OwnId]
    name: Mapped[Name] = mapped_column(unique=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[Stamp]


def digest_of(token: str) -> str:
    """Tokens are long and random, so a plain hash is as good as a slow one."""
    return hashlib.sha256(token.encode()).hexdigest()
