# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual datacenters."""

from __future__ import annotations

from typing import Any

from ..database import transaction
from ..models import Datacenter, VirtualDatacenter
from . import rows
from .paging import Page, listing


@transaction
def create(*, datacenter_id: str, **columns: Any) -> VirtualDatacenter:
    vdc = VirtualDatacenter(datacenter_id=rows.find(Datacenter, datacenter_id).id, **columns)
    rows.add(vdc)
    return vdc


@transaction
def update(vdc_id: str, *, open_sessions: int | None) -> VirtualDatacenter:
    """Bound its operations on one hypervisor, or not. Runners are told so, and let run what runs."""
    vdc = rows.lock(VirtualDatacenter, vdc_id)
    vdc.open_sessions = open_sessions
    return vdc


@transaction
def delete(vdc_id: str) -> None:
    rows.remove(rows.lock(VirtualDatacenter, vdc_id))


def get(vdc_id: str) -> VirtualDatacenter:
    return rows.find(VirtualDatacenter, vdc_id)


def list_virtualdatacenters(**arguments: Any) -> Page[VirtualDatacenter]:
    return listing(VirtualDatacenter, **arguments)
