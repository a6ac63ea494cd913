# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual appliances."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ..models.virtualappliances import ApplianceState
from .base import Input, ListArguments, id_field, moment_field, name_field
from .definition import DefinitionField
from .vms import VmSchema


class ApplianceVmInput(Input):
    definition = DefinitionField(required=True)
    template_id = id_field("Template that the first disk is made from.", required=False)


class VirtualApplianceInput(Input):
    virtualdatacenter_id = id_field("Virtual datacenter that it is in.")
    name = name_field()
    vms = fields.List(fields.Nested(ApplianceVmInput), load_default=list, validate=validate.Length(max=2000))


class VirtualApplianceSchema(Schema):
    id = fields.String()
    virtualdatacenter_id = fields.String()
    name = fields.String()
    state = fields.Enum(
        ApplianceState, by_value=True, metadata={"description": "Computed from its VMs on every reading."}
    )
    vms = fields.List(fields.Nested(VmSchema))
    created_at = moment_field()


class VirtualApplianceList(ListArguments):
    virtualdatacenter_id = fields.String()
    name = fields.String()
