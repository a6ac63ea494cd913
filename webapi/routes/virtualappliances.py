# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual appliances."""

from __future__ import annotations

from typing import Any

from ..auth import asker
from ..models import VirtualAppliance
from ..schemas.base import page_of
from ..schemas.tasks import TaskSchema
from ..schemas.virtualappliances import VirtualApplianceInput, VirtualApplianceList, VirtualApplianceSchema
from ..services import virtualappliances
from ..services.paging import Page
from .answers import Accepted, accepted
from .strict import Blueprint

blueprint = Blueprint("virtualappliances", __name__, description="VMs that are deployed together")


@blueprint.post("")
@blueprint.arguments(VirtualApplianceInput)
@blueprint.response(201, VirtualApplianceSchema)
def create_virtualappliance(wanted: dict[str, Any]) -> VirtualAppliance:
    """Make a virtual appliance with its VMs. Nothing is deployed yet."""
    return virtualappliances.create(**wanted)


@blueprint.get("")
@blueprint.arguments(VirtualApplianceList, location="query")
@blueprint.response(200, page_of(VirtualApplianceSchema))
def list_virtualappliances(arguments: dict[str, Any]) -> Page[VirtualAppliance]:
    """List virtual appliances."""
    return virtualappliances.list_virtualappliances(**arguments)


@blueprint.get("/<vapp_id>")
@blueprint.response(200, VirtualApplianceSchema)
def get_virtualappliance(vapp_id: str) -> VirtualAppliance:
    """Show a virtual appliance."""
    return virtualappliances.get(vapp_id)


@blueprint.delete("/<vapp_id>")
@blueprint.response(204)
def delete_virtualappliance(vapp_id: str) -> None:
    """Delete a virtual appliance and its VMs, none of which may be at a hypervisor."""
    virtualappliances.delete(vapp_id)


@blueprint.post("/<vapp_id>/deploy")
@blueprint.response(202, TaskSchema)
def deploy_virtualappliance(vapp_id: str) -> Accepted:
    """Deploy the VMs that are not deployed yet."""
    return accepted(virtualappliances.deploy(vapp_id, asker()))


@blueprint.post("/<vapp_id>/undeploy")
@blueprint.response(202, TaskSchema)
def undeploy_virtualappliance(vapp_id: str) -> Accepted:
    """Take the VMs away from their hypervisors. Their disks are lost; their definitions stay."""
    return accepted(virtualappliances.undeploy(vapp_id, asker()))
