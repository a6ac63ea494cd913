# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a vCenter or ESXi host is and has free, for VMs that go where its URL says."""

from __future__ import annotations

from typing import Any

from ..base import HostFacts
from .connection import Session
from .inventory import Inventory
from .placement import MIB, Places
from .sdk import vim

_HOST = (
    "summary.hardware.numCpuCores", "summary.hardware.memorySize", "summary.quickStats.overallMemoryUsage",
    "summary.runtime.connectionState", "summary.runtime.inMaintenanceMode",
)  # fmt: skip


def facts_of(session: Session, inventory: Inventory, places: Places) -> HostFacts:
    about = session.content.about
    hosts = [told for told in _hosts(session, inventory, places) if _takes_part(told)]
    memory = sum(told.get("summary.hardware.memorySize", 0) for told in hosts) // MIB
    used = sum(told.get("summary.quickStats.overallMemoryUsage", 0) for told in hosts)
    return HostFacts(
        name=places.compute.name,
        hypervisor_type="vsphere",
        version=about.fullName,
        cores=sum(told.get("summary.hardware.numCpuCores", 0) for told in hosts),
        memory_mib=memory,
        free_memory_mib=max(0, memory - used),
        pools={
            one.entity.name: {"capacity_mib": one.capacity // MIB, "free_mib": one.free // MIB}
            for one in places.datastores
            if one.usable
        },
        networks=tuple(sorted({network.name for network in places.networks})),
    )


def _hosts(session: Session, inventory: Inventory, places: Places) -> list[dict[str, Any]]:
    every = [places.host] if places.host else inventory.every(vim.HostSystem, within=places.compute)
    return list(session.read([one.object for one in every], _HOST).values())


def _takes_part(told: dict[str, Any]) -> bool:
    """A host that is away or under maintenance runs nothing."""
    return told.get("summary.runtime.connectionState") == "connected" and not told.get(
        "summary.runtime.inMaintenanceMode"
    )
