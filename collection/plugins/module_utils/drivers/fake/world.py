# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fake hypervisor has: host, pools, networks, images and machines. Plain values, and what follows from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from ...vm.changes import Change, merged
from ...vm.cloud_data import kept_data
from ...vm.definition import Disk, VmDefinition
from ...vm.states import PowerState


@dataclass
class Pool:
    """A storage pool; ``volumes`` are sizes in MiB by name."""

    capacity_mib: int = 64 * 1024 * 1024
    volumes: dict[str, int] = field(default_factory=dict)
    #: Of volumes that are templates of machines: what they were made of, and for whom; see templates.py.
    captured: dict[str, dict[str, str | None]] = field(default_factory=dict)

    @property
    def free_mib(self) -> int:
        return self.capacity_mib - sum(self.volumes.values())


@dataclass
class Machine:
    """A VM that the fake hypervisor has. ``definition`` is as VmDefinition.to_keep gives it; None for a foreign VM."""

    name: str
    uuid: str
    power: PowerState = PowerState.OFF
    definition: dict[str, Any] | None = None
    memory_mib: int = 64
    #: Volumes that somebody else has attached to it, like ``pool/volume``.
    attached: list[str] = field(default_factory=list)
    #: Its removal has begun.
    removing: bool = False
    #: In what it runs otherwise than ``definition`` says, as somebody else left it: the fields of Change.
    live: list[dict[str, Any]] = field(default_factory=list)
    #: In the order in which they were taken; see snapshots.py.
    snapshots: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.power = PowerState(self.power)

    @property
    def differences(self) -> tuple[Change, ...]:
        return tuple(Change(**one) for one in self.live)

    @property
    def managed(self) -> bool:
        return self.definition is not None


@dataclass
class World:
    """The whole state, as the state file holds it."""

    name: str = "fake"
    cores: int = 16
    memory_mib: int = 1024 * 1024
    #: What one guest can have.
    max_cpus: int = 255
    #: Templates and ISOs: patterns of paths and names, and the size in MiB of what matches. The suffix is the format.
    images: dict[str, int] = field(
        default_factory=lambda: {"/templates/*.qcow2": 16, "/templates/*.raw": 16, "/isos/*.iso": 1}
    )
    pools: dict[str, Pool] = field(default_factory=lambda: {"default": Pool()})
    networks: list[str] = field(default_factory=lambda: ["default"])
    machines: dict[str, Machine] = field(default_factory=dict)
    #: Volumes that stand on others -> on which, both like ``pool/volume``.
    overlays: dict[str, str] = field(default_factory=dict)
    #: SHA-256 of the tokens of open sessions, and how many logins there were.
    sessions: list[str] = field(default_factory=list)
    logins: int = 0
    #: How often each rule of the behaviour has struck.
    struck: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> World:
        world = cls(**raw)
        world.pools = {name: Pool(**pool) for name, pool in raw.get("pools", {"default": {}}).items()}
        world.machines = {uuid: Machine(**machine) for uuid, machine in raw.get("machines", {}).items()}
        return world

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def free_memory_mib(self) -> int:
        running = (machine for machine in self.machines.values() if machine.power is not PowerState.OFF)
        return max(0, self.memory_mib - sum(machine.memory_mib for machine in running))

    def named(self, name: str) -> Machine | None:
        return next((machine for machine in self.machines.values() if machine.name == name), None)

    def files_of(self, identity: str) -> Iterator[tuple[str, str]]:
        """Pool and name of every file that belongs to the VM."""
        for pool_name, pool in sorted(self.pools.items()):
            yield from ((pool_name, name) for name in sorted(pool.volumes) if name.startswith(f"{identity}-"))

    def has(self, place: str) -> bool:
        """Whether there is a volume at ``pool/volume``."""
        pool, volume = split(place)
        return pool in self.pools and volume in self.pools[pool].volumes

    def remove_attached(self, places: list[str]) -> None:
        for pool, volume in map(split, places):
            self.pools[pool].volumes.pop(volume, None)

    def is_half_deleted(self, machine: Machine) -> bool:
        """Its removal has begun, and of its disks some are gone."""
        if not (machine.removing and machine.definition):
            return False
        wanted = {volume_of(machine.uuid, disk) for disk in VmDefinition.from_dict(machine.definition).disks}
        return not wanted <= {name for _pool, name in self.files_of(machine.uuid)}

    def remove_files_of(self, identity: str, most: int | None = None) -> None:
        if machine := self.machines.get(identity):
            machine.removing = True
        for pool, name in list(self.files_of(identity))[:most]:
            del self.pools[pool].volumes[name]

    def add_files_of(self, want: VmDefinition) -> None:
        for disk in want.disks:
            self.pools[disk.pool].volumes[volume_of(want.identity, disk)] = self.size_of(disk)
        home = self._home_of(want)
        if want.cloud_init is not None:
            home.volumes[f"{want.identity}-cloud-init.iso"] = 1
        if want.console.serial_log:
            home.volumes[serial_log_of(want.identity)] = 1

    def _home_of(self, want: VmDefinition) -> Pool:
        return self.pools[want.disks[0].pool if want.disks else min(self.pools)]

    def make(self, machine: Machine, want: VmDefinition, fields: set[str]) -> None:
        """The machine has these fields of its definition as wanted, and the files that go with them."""
        before = VmDefinition.from_dict(machine.definition)
        after = replace(merged(before, want), cloud_init=kept_data(before.cloud_init, want.cloud_init)).to_dict()
        machine.name, machine.memory_mib = want.name, want.memory_mib
        # A limit of memory may have to give way.
        made = fields | {"memory_max_mib"}
        machine.definition = {**(machine.definition or {}), **{name: after[name] for name in made}}
        if "console" in fields and want.console.serial_log:
            self._home_of(want).volumes[serial_log_of(machine.uuid)] = 1
        if "cloud_init" in fields:
            self._home_of(want).volumes[f"{machine.uuid}-cloud-init.iso"] = 1
        if "disks" in fields:
            self._make_disks(machine.uuid, VmDefinition.from_dict(machine.definition).disks)

    def _make_disks(self, identity: str, disks: tuple[Disk, ...]) -> None:
        """Of the machine's files, other than its disks', nothing changes."""
        for pool, name in list(self.files_of(identity)):
            if not name.endswith((".iso", ".log")):
                del self.pools[pool].volumes[name]
        for disk in disks:
            self.pools[disk.pool].volumes[volume_of(identity, disk)] = self.size_of(disk)

    def size_of(self, disk: Disk) -> int:
        return disk.size_mib or self.size_of_image(disk.template or "")

    def size_of_image(self, image: str) -> int:
        """Size in MiB of a template or ISO; 0 if it is not there."""
        return next((size for pattern, size in self.images.items() if fnmatchcase(image, pattern)), 0)


def split(place: str) -> tuple[str, str]:
    """Pool and volume."""
    pool, _slash, volume = place.partition("/")
    return pool, volume


def serial_log_of(identity: str) -> str:
    return f"{identity}-serial.log"


def volume_of(identity: str, disk: Disk) -> str:
    return f"{identity}-{disk.name}.{disk.format.value}"
