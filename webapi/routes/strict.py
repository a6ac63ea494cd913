# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A blueprint that lets nothing pass unread: a misspelt filter would otherwise give the whole list."""

from __future__ import annotations

from typing import Any

import flask_smorest
from marshmallow import RAISE, Schema


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's, but unknown arguments are refused in bodies and queries alike."""

    def arguments(self, schema: type[Schema], *, location: str = "json", **stated: Any) -> Any:
        return super().arguments(schema, location=location, unknown=RAISE, **stated)
