# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is asking: bearer tokens."""

from __future__ import annotations

from flask import Flask, g, request

from .errors import Unauthorized
from .services import tokens

#: The only endpoints that need no token.
OPEN_ENDPOINTS = frozenset({"health.Health", "api-docs.openapi_json", "docs.page"})


def require_token(app: Flask) -> None:
    """Let nobody in without a token, wherever a route leads, but to the open endpoints."""
    app.before_request(_check)


def _check() -> None:
    if request.endpoint is None or request.endpoint in OPEN_ENDPOINTS:
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("send a token: `Authorization: Bearer TOKEN`; `millwright token create` makes one")
    bearer = tokens.bearer(token.strip())
    if bearer is None:
        raise Unauthorized("this token is not known; `millwright token create` makes one")
    g.asker = bearer.name


def asker() -> str:
    """Name of the token that the request came with."""
    return str(g.asker)
