# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host behind a connection is, has free, and can do for guests."""

from __future__ import annotations

from typing import Any

from ..base import HostFacts
from . import features, planning
from .faults import unless
from .sdk import libvirt
from .storage import MIB, Storage

KIB_PER_MIB = 1024


def features_of(connection: libvirt.virConnect) -> features.Features:
    described = connection.getCapabilities()
    kind = features.domain_type(described, _cpu_features(connection, described))
    if kind == "test":
        return features.Features(domain_type=kind)
    arch = features.host_arch(described)
    machine = features.MACHINES.get(arch)
    return features.features(
        kind, arch, connection.getDomainCapabilities(None, arch, machine, kind), features.host_uuid(described)
    )


def _cpu_features(connection: libvirt.virConnect, described: str) -> frozenset[str]:
    """Also those that libvirt does not list because the processor's model implies them."""
    cpu = features.host_cpu(described)
    if cpu is None:
        return frozenset()
    listed = features.cpu_features(cpu)
    try:
        expanded = connection.baselineCPU([cpu], libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
    except libvirt.libvirtError:
        return listed
    return listed | features.cpu_features(expanded)


def facts_of(connection: libvirt.virConnect, storage: Storage, seen: features.Features) -> HostFacts:
    memory_mib, free_mib = _memory_mib(connection)
    return HostFacts(
        name=connection.getHostname(),
        hypervisor_type="libvirt",
        version=_version(connection),
        cores=connection.getInfo()[2],
        memory_mib=memory_mib,
        free_memory_mib=free_mib,
        pools={pool.name(): _space(pool.info()) for pool in storage.pools()},
        networks=tuple(sorted(network.name() for network in planning.networks(connection))),
        acceleration=seen.domain_type,
    )


def _space(info: list[int]) -> dict[str, int]:
    return {"capacity_mib": info[1] // MIB, "free_mib": info[3] // MIB}


def _version(connection: libvirt.virConnect) -> str:
    return f"{connection.getType()} {_dotted(connection.getVersion())}, libvirt {_dotted(connection.getLibVersion())}"


def _dotted(number: int) -> str:
    """libvirt counts 7.2.22 as 7002022."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _memory_mib(connection: libvirt.virConnect) -> tuple[int, int]:
    """All of it, and what is free or only caches files. A hypervisor that cannot tell (the mock) is taken as free."""
    stats = unless(
        libvirt.VIR_ERR_NO_SUPPORT, lambda: connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    )
    if not stats:
        return connection.getInfo()[1], connection.getInfo()[1]
    free = sum(stats.get(key, 0) for key in ("free", "buffers", "cached"))
    return stats["total"] // KIB_PER_MIB, free // KIB_PER_MIB


def leases_of(connection: libvirt.virConnect) -> dict[str, tuple[str, ...]]:
    """Addresses by the hardware address that libvirt's own networks gave them to."""
    found: dict[str, list[str]] = {}
    for network in planning.networks(connection):
        for lease in _leases(network):
            found.setdefault(lease["mac"].lower(), []).append(lease["ipaddr"])
    return {mac: tuple(addresses) for mac, addresses in found.items()}


def _leases(network: libvirt.virNetwork) -> list[dict[str, Any]]:
    """None of a network that is stopped while it is asked, or that gives no addresses."""
    try:
        return network.DHCPLeases() or []
    except libvirt.libvirtError:
        return []
