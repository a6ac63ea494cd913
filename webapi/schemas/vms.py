# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import VmState
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate

from ..services.guards import POWER_ACTIONS, Action
from .base import Input, ListArguments, check_by, id_field, moment_field, permit_field
from .definition import DefinitionField


class VmInput(Input):
    virtualappliance_id = id_field("Virtual appliance that it is part of.")
    definition = DefinitionField(required=True)
    template_id = id_field("Template that the first disk is made from.", required=False)
    hypervisor_id = id_field("Where it is to be; without it, where most memory is free.", required=False)


def _timeout_field(help: str) -> fields.Integer:
    return fields.Integer(
        load_default=None, allow_none=True, validate=validate.Range(1, 86_400), metadata={"description": help}
    )


class VmUpdate(Input):
    definition = DefinitionField(required=True)
    allow_power_cycle = permit_field(
        "Shut a VM that is on down for what it cannot take while it runs, and start it again."
    )
    allow_disk_removal = permit_field("Remove disks that the definition does not name, with what is on them.")
    timeout = _timeout_field("Seconds that the guest has to shut down, before its power is taken away.")


class PowerInput(Input):
    action = fields.Enum(Action, by_value=True, required=True, validate=validate.OneOf(POWER_ACTIONS))
    timeout = _timeout_field("Seconds to wait for the guest.")
    force = permit_field("With shutdown: take the power from a guest that is still on after the timeout.")

    @validates_schema
    def refuse_force_without_a_guest_that_is_asked(self, data: Mapping[str, Any], **_: Any) -> None:
        """Whoever says it of another action expects something that would not happen."""
        if data["force"] and data["action"] is not Action.SHUTDOWN:
            raise ValidationError("is for shutdown only", "force")


class CaptureInput(Input):
    name = fields.String(
        required=True, validate=validate.Length(max=80),
        metadata={"description": "Of the template in the datacenter, and, with its format as suffix, of its volume."},
    )  # fmt: skip
    disk = fields.String(
        load_default=None, metadata={"description": "Name of the VM's disk; by default its first one."}
    )
    pool = fields.String(load_default=None, metadata={"description": "Where it is kept; by default where the disk is."})
    format = fields.Enum(DiskFormat, by_value=True, load_default=DiskFormat.QCOW2)
    snapshot = fields.String(
        load_default=None, metadata={"description": "Take the disk as it was in this snapshot of the VM."}
    )

    @validates_schema
    def refuse_what_no_hypervisor_takes(self, data: Mapping[str, Any], **_: Any) -> None:
        """By the rules of the module, and in its words."""
        check_by(WantedTemplate, data)


class VmSchema(Schema):
    id = fields.String()
    name = fields.String()
    native_name = fields.String(metadata={"description": "Its name at the hypervisor."})
    virtualappliance_id = fields.String()
    virtualappliance_name = fields.String()
    state = fields.Enum(VmState, by_value=True)
    locked_by = fields.String(
        attribute="task_id", allow_none=True, metadata={"description": "The task that holds the VM, if one does."}
    )
    definition = DefinitionField()
    template_id = fields.String(allow_none=True)
    hypervisor_id = fields.String(allow_none=True)
    hypervisor_name = fields.String(allow_none=True)
    addresses = fields.List(fields.String())
    serial_log = fields.String(allow_none=True)
    power_changed_at = moment_field("When its state last changed.")
    created_at = moment_field()
    updated_at = moment_field()


class VmList(ListArguments):
    virtualappliance_id = fields.String()
    hypervisor_id = fields.String()
    template_id = fields.String()
    name = fields.String()
    state = fields.Enum(VmState, by_value=True)
