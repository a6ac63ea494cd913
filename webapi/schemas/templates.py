# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import Disk, DiskFormat
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import fields_of

from .base import Input, ListArguments, id_field, moment_field, name_field

_PATH_RULE = next(spec.rule for spec in fields_of(Disk) if spec.name == "template")
#: A path that is not absolute would mean whatever the hypervisor takes for its working directory.
_PATH_HELP = "an absolute path or a volume name without a slash, on one line, without spaces at its ends"


class TemplateInput(Input):
    datacenter_id = id_field("Datacenter whose hypervisors have it.")
    name = name_field()
    path = fields.String(
        required=True,
        validate=[
            validate.Length(1, _PATH_RULE.max_length),
            validate.Regexp(rf"(?=/|[^/]*\Z)(?:{_PATH_RULE.pattern})\Z", error=f"must be {_PATH_HELP}"),
        ],
        metadata={"description": "Absolute path or volume name at the hypervisor."},
    )
    format = fields.Enum(DiskFormat, by_value=True, load_default=DiskFormat.QCOW2)
    description = fields.String(load_default="", validate=validate.Length(max=1024))


class TemplateSchema(Schema):
    id = fields.String()
    datacenter_id = fields.String()
    name = fields.String()
    path = fields.String()
    format = fields.Enum(DiskFormat, by_value=True)
    description = fields.String()
    created_at = moment_field()


class TemplateList(ListArguments):
    datacenter_id = fields.String()
    name = fields.String()
