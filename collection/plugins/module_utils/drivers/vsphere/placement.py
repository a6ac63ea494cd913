# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a VM goes: compute, folder, datastores and networks, found before anything is made."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...vm.definition import Disk, Nic
from ..errors import NotFound, Unsupported
from .connection import Session
from .inventory import Entity, Inventory, pick
from .sdk import vim

MIB = 1024 * 1024
#: A pool of this name is the datastore that the hypervisor's URL names, if it names one.
DEFAULT_POOL = Disk(size_mib=1).pool

#: What vCenter tags the port groups of uplinks with.
_UPLINK_TAG = "SYSTEM/DVS.UPLINKPG"

#: What is read of the hosts of a cluster that has no DRS.
_LANDING = (
    "summary.runtime.connectionState", "summary.runtime.inMaintenanceMode", "summary.hardware.memorySize",
    "summary.quickStats.overallMemoryUsage", "datastore", "network",
)  # fmt: skip
_SPACE = ("summary.capacity", "summary.freeSpace", "summary.accessible", "summary.maintenanceMode")


@dataclass(frozen=True)
class Datastore:
    """A datastore that the compute resource reaches. Space in bytes."""

    entity: Entity
    capacity: int
    free: int
    usable: bool


@dataclass(frozen=True)
class Network:
    """A network, and the backing with which a card is on it."""

    entity: Entity
    #: What tells it in a card's backing: the id of the network, or a distributed port group's key.
    key: str
    backing: Any


class Places:
    """The places of one connection, as its URL says them. Raises NotFound or Ambiguous where they are asked for."""

    def __init__(self, session: Session, inventory: Inventory):
        self._session = session
        self._inventory = inventory
        self._said = session.placement

    def _every(self, kind: type) -> list[Entity]:
        return self._inventory.every(kind, within=self._inventory.datacenter)

    # --- compute ---

    @cached_property
    def host(self) -> Entity | None:
        """The host that the URL names."""
        return pick("host", self._every(vim.HostSystem), self._said.host) if self._said.host else None

    @cached_property
    def compute(self) -> Entity:
        """A cluster, or a host that is in none."""
        there = self._every(vim.ComputeResource)
        if self.host:
            there = [one for one in there if self.host.path.startswith(f"{one.path}/")]
        return pick("cluster or host", there, self._said.cluster)

    @cached_property
    def pool(self) -> Any:
        """The resource pool."""
        root = self._of_compute["resourcePool"]
        if self._said.resource_pool is None:
            return root
        there = self._every(vim.ResourcePool)
        ours = [one for one in there if one.path.startswith(f"{self.compute.path}/")]
        return pick("resource pool", ours, self._said.resource_pool).object

    @cached_property
    def folder(self) -> Any:
        """The folder for VMs."""
        datacenter = self._inventory.datacenter
        root = self._session.read([datacenter.object], ["vmFolder"])[datacenter.object]["vmFolder"]
        if self._said.folder is None:
            return root
        below = f"{self._inventory.entity(root).path}/"
        return pick(
            "folder", [one for one in self._every(vim.Folder) if one.path.startswith(below)], self._said.folder
        ).object

    def settle(self) -> None:
        """Find all that does not depend on the VM."""
        _found = self.pool, self.folder

    @cached_property
    def _of_compute(self) -> dict[str, Any]:
        paths = ("resourcePool", "datastore", "network", "host")
        told = self._session.read([self.compute.object], paths)[self.compute.object]
        if self.host:
            told |= self._session.read([self.host.object], ("datastore", "network"))[self.host.object]
        return told

    def landing(self, identity: str, needed: Iterable[Any], memory: int = 0) -> Any:
        """The host that a VM is to be made on: the one that the URL names; None where vSphere decides, as DRS does. In
        a cluster without DRS one of those that reach all datastores and networks that are needed, and have the memory
        (in bytes) if any has it: VMs are spread, as what those use that are only just made is not told yet. Raises
        NotFound."""
        if self.host or self._is_placed_by_vsphere:
            return self.host.object if self.host else None
        needed = set(needed)
        told = self._session.read(list(self._of_compute.get("host", ())), _LANDING)
        fitting = [one for one, seen in told.items() if _can_land(seen) and needed <= _reached(seen)]
        if not fitting:
            entities = filter(None, map(self._inventory.entity, needed))
            wanted = ", ".join(sorted(one.path for one in entities)) or "anything"
            raise NotFound(f"no host of {self.compute.path} that is connected and not in maintenance reaches {wanted}")
        free = {one: _free_memory(told[one]) for one in fitting}
        roomy = [one for one in fitting if free[one] > memory] or fitting
        return random.Random(identity).choices(roomy, [free[one] + 1 for one in roomy])[0]  # noqa: S311

    @cached_property
    def _is_placed_by_vsphere(self) -> bool:
        cluster = self.compute.object
        if not isinstance(cluster, vim.ClusterComputeResource):
            return True
        config = self._session.read([cluster], ["configurationEx"])[cluster].get("configurationEx")
        return bool(config is None or config.drsConfig is None or config.drsConfig.enabled)

    @cached_property
    def most_cpus(self) -> int:
        """No VM that is to start can have more; 0 if no host says."""
        hosts = [self.host.object] if self.host else list(self._of_compute.get("host", ()))
        told = self._session.read(hosts, ["summary.hardware.numCpuThreads"]).values()
        return max((seen.get("summary.hardware.numCpuThreads", 0) for seen in told), default=0)

    # --- storage ---

    @cached_property
    def datastores(self) -> list[Datastore]:
        """Those that the compute resource reaches."""
        told = self._session.read(list(self._of_compute.get("datastore", ())), _SPACE)
        found = [(self._inventory.entity(one), seen) for one, seen in told.items()]
        return [
            Datastore(entity, seen.get("summary.capacity", 0), seen.get("summary.freeSpace", 0), _usable(seen))
            for entity, seen in found
            if entity is not None
        ]

    def datastore(self, pool: str) -> Datastore:
        """The datastore of this name, path or id; of a datastore cluster the one with the most room."""
        said, there = self._meant(pool), [one for one in self.datastores if one.usable]
        clusters = self._clusters(said)
        if clusters and not any(one.entity.is_called(said) for one in there):
            return self._roomiest(pick("datastore cluster", clusters, said), there)
        entity = pick("datastore", [one.entity for one in there], said)
        return next(one for one in there if one.entity is entity)

    def _meant(self, pool: str) -> str:
        return self._said.datastore if pool == DEFAULT_POOL and self._said.datastore else pool

    def _clusters(self, said: str) -> list[Entity]:
        return [one for one in self._every(vim.StoragePod) if one.is_called(said)]

    def holds(self, pool: str, datastore_id: str | None) -> bool:
        """Whether the pool is the datastore of this id, or a datastore cluster that it is in."""
        said = self._meant(pool)
        found = next((one for one in self._every(vim.Datastore) if one.id == datastore_id), None)
        return found is not None and (
            found.is_called(said) or any(found.path.startswith(f"{one.path}/") for one in self._clusters(said))
        )

    def _roomiest(self, cluster: Entity, there: Iterable[Datastore]) -> Datastore:
        ours = [one for one in there if one.entity.path.startswith(f"{cluster.path}/")]
        if not ours:
            raise NotFound(f"datastore cluster {cluster.path} has no datastore that {self.compute.path} reaches")
        return max(ours, key=lambda one: one.free)

    # --- networks ---

    @cached_property
    def networks(self) -> list[Entity]:
        """Those that the compute resource reaches, but for the uplinks of switches, on which no card can be."""
        reached = list(self._of_compute.get("network", ()))
        uplinks = self._uplinks([one for one in reached if isinstance(one, vim.dvs.DistributedVirtualPortgroup)])
        found = (self._inventory.entity(one) for one in reached if one not in uplinks)
        return sorted((one for one in found if one is not None), key=lambda one: one.path)

    def _uplinks(self, groups: list[Any]) -> set[Any]:
        told = self._session.read(groups, ["tag"])
        return {one for one, seen in told.items() if any(tag.key == _UPLINK_TAG for tag in seen.get("tag", ()))}

    def network(self, nic: Nic) -> Network:
        """The network that the card is to be on."""
        if nic.bridge is not None:
            raise Unsupported(f"card {nic.name!r} is to be on bridge {nic.bridge!r}; vSphere has networks, no bridges")
        if nic.vlan is not None:
            raise Unsupported(f"card {nic.name!r} asks for a VLAN; in vSphere the port group has it")
        entity = pick("network", self.networks, nic.network)
        if isinstance(entity.object, vim.dvs.DistributedVirtualPortgroup):
            return self._port_group(entity)
        if type(entity.object) is not vim.Network:  # pylint: disable=unidiomatic-typecheck  # subclasses are others
            raise Unsupported(f"network {entity.path} is neither a standard nor a distributed port group")
        backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=entity.name, network=entity.object)
        return Network(entity, entity.id, backing)

    def _port_group(self, entity: Entity) -> Network:
        paths = ("key", "config.distributedVirtualSwitch")
        told = self._session.read([entity.object], paths)[entity.object]
        switch = told["config.distributedVirtualSwitch"]
        uuid = self._session.read([switch], ["uuid"])[switch]["uuid"]
        port = vim.dvs.PortConnection(portgroupKey=told["key"], switchUuid=uuid)
        backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
        return Network(entity, told["key"], backing)


def _usable(seen: dict[str, Any]) -> bool:
    return bool(seen.get("summary.accessible")) and seen.get("summary.maintenanceMode", "normal") == "normal"


def _can_land(seen: dict[str, Any]) -> bool:
    connected = seen.get("summary.runtime.connectionState") == "connected"
    return connected and not seen.get("summary.runtime.inMaintenanceMode")


def _reached(seen: dict[str, Any]) -> set[Any]:
    return {*seen.get("datastore", ()), *seen.get("network", ())}


def _free_memory(seen: dict[str, Any]) -> int:
    used = seen.get("summary.quickStats.overallMemoryUsage", 0)
    return max(0, int(seen.get("summary.hardware.memorySize", 0)) - used * MIB)
