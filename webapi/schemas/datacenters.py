# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datacenters."""

from __future__ import annotations

from marshmallow import Schema, fields

from .base import Input, ListArguments, moment_field, name_field


class DatacenterInput(Input):
    name = name_field()
    public_key = fields.String(
        load_default=None, allow_none=True,
        metadata={"description": "Key that credentials are sealed to: 32 bytes in base64, from the runner's keygen."},
    )  # fmt: skip


class DatacenterSchema(Schema):
    id = fields.String()
    name = fields.String()
    partitions = fields.Integer()
    public_key = fields.String(allow_none=True)
    created_at = moment_field()


class DatacenterList(ListArguments):
    name = fields.String()
