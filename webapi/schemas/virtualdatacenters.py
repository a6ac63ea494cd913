# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual datacenters."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from .base import Input, ListArguments, id_field, moment_field, name_field


class VirtualDatacenterInput(Input):
    datacenter_id = id_field("Datacenter that it is a slice of.")
    name = name_field()
    hypervisor_type = fields.String(
        required=True, validate=validate.Regexp(r"[a-z0-9_]{1,32}\Z", error="must be the name of a driver")
    )


class VirtualDatacenterSchema(Schema):
    id = fields.String()
    datacenter_id = fields.String()
    name = fields.String()
    hypervisor_type = fields.String()
    created_at = moment_field()


class VirtualDatacenterList(ListArguments):
    datacenter_id = fields.String()
    name = fields.String()
    hypervisor_type = fields.String()
