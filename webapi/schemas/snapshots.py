# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of VMs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validates_schema

from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import Quiesce, WantedSnapshot

from .base import Input, check_by, permit_field


class SnapshotInput(Input):
    name = fields.String(required=True, metadata={"description": "Unique within the VM."})
    description = fields.String(load_default="", metadata={"description": "What it is for."})
    memory = permit_field("Keep the memory of a guest that runs, so that going back lets it run on.")
    quiesce = fields.Enum(
        Quiesce, by_value=True, load_default=Quiesce.AUTO,
        metadata={"description": "Whether the guest's agent brings file systems to rest meanwhile."},
    )  # fmt: skip

    @validates_schema
    def refuse_what_no_hypervisor_takes(self, data: Mapping[str, Any], **_: Any) -> None:
        """By the rules of the module, and in its words."""
        check_by(WantedSnapshot, data)


class SnapshotDeletion(Input):
    children = fields.Boolean(
        load_default=False, metadata={"description": "Delete those on top of it, too; else they stay, on its parent."}
    )


class SnapshotField(fields.Field[Any]):
    """A snapshot as it is told. They may stand on each other more deeply than schemas within schemas can go."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return value


class SnapshotSchema(Schema):
    """A snapshot, with those that were taken on top of it."""

    name = fields.String()
    description = fields.String()
    created_at = fields.String(
        allow_none=True,
        metadata={"description": "When it was taken, by the hypervisor's clock.", "format": "date-time"},
    )
    power = fields.String(metadata={"description": "The power state that going back to it leads to."})
    parent = fields.String(allow_none=True, metadata={"description": "The one that it was taken on."})
    current = fields.Boolean(metadata={"description": "The VM is on this one."})
    children = fields.List(SnapshotField(metadata={"oneOf": [{"$ref": "#/components/schemas/Snapshot"}]}))


class SnapshotTreesSchema(Schema):
    """All snapshots of a VM: the first ones, with what is on top of them."""

    items = fields.List(fields.Nested(SnapshotSchema))
