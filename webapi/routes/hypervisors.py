# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors."""

from __future__ import annotations

from typing import Any

from ..auth import asker
from ..models import Hypervisor
from ..schemas.base import page_of
from ..schemas.hypervisors import HypervisorChange, HypervisorInput, HypervisorList, HypervisorSchema
from ..schemas.tasks import TaskSchema
from ..services import hypervisors
from ..services.paging import Page
from .answers import Accepted, accepted
from .strict import Blueprint

blueprint = Blueprint("hypervisors", __name__, description="Management endpoints that VMs run on")


@blueprint.post("")
@blueprint.arguments(HypervisorInput)
@blueprint.response(202, TaskSchema)
def register_hypervisor(wanted: dict[str, Any]) -> Accepted:
    """Register a hypervisor. The task tests the connection and finds out what it has."""
    return accepted(hypervisors.register(asker(), **wanted))


@blueprint.get("")
@blueprint.arguments(HypervisorList, location="query")
@blueprint.response(200, page_of(HypervisorSchema))
def list_hypervisors(arguments: dict[str, Any]) -> Page[Hypervisor]:
    """List hypervisors."""
    return hypervisors.list_hypervisors(**arguments)


@blueprint.get("/<hypervisor_id>")
@blueprint.response(200, HypervisorSchema)
def get_hypervisor(hypervisor_id: str) -> Hypervisor:
    """Show a hypervisor."""
    return hypervisors.get(hypervisor_id)


@blueprint.patch("/<hypervisor_id>")
@blueprint.arguments(HypervisorChange)
@blueprint.response(200, HypervisorSchema)
def update_hypervisor(wanted: dict[str, Any], hypervisor_id: str) -> Hypervisor:
    """Change how many operations may run on a hypervisor at once, or whom runners trust when they connect to it.

    Runners learn of a bound within seconds. Requests that were made before trust as they did."""
    return hypervisors.update(hypervisor_id, **wanted)


@blueprint.delete("/<hypervisor_id>")
@blueprint.response(204)
def delete_hypervisor(hypervisor_id: str) -> None:
    """Forget a hypervisor that no VM is on."""
    hypervisors.delete(hypervisor_id)


@blueprint.post("/<hypervisor_id>/discover")
@blueprint.response(202, TaskSchema)
def discover_hypervisor(hypervisor_id: str) -> Accepted:
    """Find out again what a hypervisor is and has."""
    return accepted(hypervisors.discover(hypervisor_id, asker()))
