# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health."""

from __future__ import annotations

from marshmallow import Schema, fields

from .base import moment_field


class HealthSchema(Schema):
    status = fields.String()
    database = fields.String()
    migrations = fields.String(allow_none=True)
    relay = moment_field("When a relay last did its rounds.")
