# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bearer tokens."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import select

from ..database import db, transaction
from ..errors import NotFound
from ..models import ApiToken
from ..models.apitokens import digest_of
from . import rows


@transaction
def create(name: str) -> str:
    """Make a token. This is the only time that it can be read."""
    token = f"mw_{secrets.token_urlsafe(32)}"
    rows.add(ApiToken(name=name, digest=digest_of(token)))
    return token


def bearer(token: str) -> ApiToken | None:
    """Whom a token belongs to; None for one that is not ours."""
    return db.session.scalars(select(ApiToken).filter_by(digest=digest_of(token))).one_or_none()


def list_tokens() -> Sequence[ApiToken]:
    return db.session.scalars(select(ApiToken).order_by(ApiToken.name)).all()


@transaction
def revoke(name: str) -> None:
    """The token is worth nothing from now on. Raises NotFound."""
    token = db.session.scalars(select(ApiToken).filter_by(name=name)).one_or_none()
    if token is None:
        raise NotFound(f"there is no token {name!r}")
    rows.remove(token)
