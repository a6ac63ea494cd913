# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datacenters."""

from __future__ import annotations

from typing import Any

from ..models import Datacenter
from ..schemas.base import page_of
from ..schemas.datacenters import DatacenterInput, DatacenterList, DatacenterSchema
from ..services import datacenters
from ..services.paging import Page
from .strict import Blueprint

blueprint = Blueprint("datacenters", __name__, description="Sets of hypervisors served by one set of runners")


@blueprint.post("")
@blueprint.arguments(DatacenterInput)
@blueprint.response(201, DatacenterSchema)
def create_datacenter(wanted: dict[str, Any]) -> Datacenter:
    """Make a datacenter."""
    return datacenters.create(**wanted)


@blueprint.get("")
@blueprint.arguments(DatacenterList, location="query")
@blueprint.response(200, page_of(DatacenterSchema))
def list_datacenters(arguments: dict[str, Any]) -> Page[Datacenter]:
    """List datacenters."""
    return datacenters.list_datacenters(**arguments)


@blueprint.get("/<datacenter_id>")
@blueprint.response(200, DatacenterSchema)
def get_datacenter(datacenter_id: str) -> Datacenter:
    """Show a datacenter."""
    return datacenters.get(datacenter_id)
