# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual datacenters."""

from __future__ import annotations

from typing import Any

from ..models import VirtualDatacenter
from ..schemas.base import page_of
from ..schemas.sessions import OwnSessionsInput
from ..schemas.virtualdatacenters import VirtualDatacenterInput, VirtualDatacenterList, VirtualDatacenterSchema
from ..services import virtualdatacenters
from ..services.paging import Page
from .strict import Blueprint

blueprint = Blueprint("virtualdatacenters", __name__, description="Tenants' slices of datacenters")


@blueprint.post("")
@blueprint.arguments(VirtualDatacenterInput)
@blueprint.response(201, VirtualDatacenterSchema)
def create_virtualdatacenter(wanted: dict[str, Any]) -> VirtualDatacenter:
    """Make a virtual datacenter."""
    return virtualdatacenters.create(**wanted)


@blueprint.get("")
@blueprint.arguments(VirtualDatacenterList, location="query")
@blueprint.response(200, page_of(VirtualDatacenterSchema))
def list_virtualdatacenters(arguments: dict[str, Any]) -> Page[VirtualDatacenter]:
    """List virtual datacenters."""
    return virtualdatacenters.list_virtualdatacenters(**arguments)


@blueprint.get("/<vdc_id>")
@blueprint.response(200, VirtualDatacenterSchema)
def get_virtualdatacenter(vdc_id: str) -> VirtualDatacenter:
    """Show a virtual datacenter."""
    return virtualdatacenters.get(vdc_id)


@blueprint.patch("/<vdc_id>")
@blueprint.arguments(OwnSessionsInput)
@blueprint.response(200, VirtualDatacenterSchema)
def update_virtualdatacenter(wanted: dict[str, Any], vdc_id: str) -> VirtualDatacenter:
    """Change how many operations of a virtual datacenter may run on one hypervisor at once."""
    return virtualdatacenters.update(vdc_id, **wanted)


@blueprint.delete("/<vdc_id>")
@blueprint.response(204)
def delete_virtualdatacenter(vdc_id: str) -> None:
    """Delete a virtual datacenter that has no appliances."""
    virtualdatacenters.delete(vdc_id)
