# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of VMs."""

from __future__ import annotations

from typing import Any

from ..auth import asker
from ..schemas.snapshots import SnapshotDeletion, SnapshotInput, SnapshotTreesSchema
from ..schemas.tasks import TaskSchema
from ..services import snapshots
from .answers import Accepted, accepted
from .strict import Blueprint

#: They are below their VMs.
PLACE = "vms"

blueprint = Blueprint("snapshots", __name__, description="Snapshots of virtual machines")


@blueprint.get("/<vm_id>/snapshots")
@blueprint.response(200, SnapshotTreesSchema)
def list_snapshots(vm_id: str) -> dict[str, Any]:
    """List a VM's snapshots as trees, as a runner last told of them."""
    return {"items": snapshots.trees(vm_id)}


@blueprint.post("/<vm_id>/snapshots")
@blueprint.arguments(SnapshotInput)
@blueprint.response(202, TaskSchema)
def create_snapshot(wanted: dict[str, Any], vm_id: str) -> Accepted:
    """Take a snapshot of a VM."""
    return accepted(snapshots.create(vm_id, asker(), **wanted))


@blueprint.post("/<vm_id>/snapshots/<name>/revert")
@blueprint.response(202, TaskSchema)
def revert_to_snapshot(vm_id: str, name: str) -> Accepted:
    """Make a VM what it was when the snapshot was taken. What happened since is lost."""
    return accepted(snapshots.revert(vm_id, asker(), name))


@blueprint.delete("/<vm_id>/snapshots/<name>")
@blueprint.arguments(SnapshotDeletion, location="query")
@blueprint.response(202, TaskSchema)
def delete_snapshot(wanted: dict[str, Any], vm_id: str, name: str) -> Accepted:
    """Delete a snapshot. What the VM holds now stays."""
    return accepted(snapshots.delete(vm_id, asker(), name, **wanted))
