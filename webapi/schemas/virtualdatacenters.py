# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual datacenters."""

from __future__ import annotations

from marshmallow import Schema, fields

from .base import Input, ListArguments, hypervisor_type_field, id_field, moment_field, name_field
from .sessions import SESSIONS


class VirtualDatacenterInput(Input):
    datacenter_id = id_field("Datacenter that it is a slice of.")
    name = name_field()
    hypervisor_type = hypervisor_type_field("The one kind of hypervisor that its VMs run on.")
    open_sessions = fields.Integer(
        load_default=None, allow_none=True, validate=SESSIONS,
        metadata={
            "description": "How many of its operations may run on one hypervisor at once; null or absent: no own bound."
        },
    )  # fmt: skip


class VirtualDatacenterSchema(Schema):
    id = fields.String()
    datacenter_id = fields.String()
    name = fields.String()
    hypervisor_type = fields.String()
    open_sessions = fields.Integer(
        allow_none=True,
        metadata={"description": "How many of its operations may run on one hypervisor at once; null: no own bound."},
    )
    created_at = moment_field()


class VirtualDatacenterList(ListArguments):
    datacenter_id = fields.String()
    name = fields.String()
    hypervisor_type = fields.String()
