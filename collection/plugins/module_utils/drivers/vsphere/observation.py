# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's properties in the words of the VM definition.

What vSphere can tell is told by it, so that changes made behind our back are seen. The rest (templates, tags) comes
from what the VM keeps (kept.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from typing import Any

from ...vm.definition import Disk, DiskFormat, Firmware, InvalidDefinition, Nic, NicModel, VmDefinition
from ...vm.schema import fields_of, plain
from ...vm.states import PowerState
from ..base import ObservedVm
from . import cards, disks, kept, names
from .collector import Properties
from .devices import CARDS, KIB_PER_MIB, bus_of, drives_of, slots_of
from .guestinfo import META_DATA
from .sdk import vim

#: All that is read of a VM.
PATHS = (
    "name", "config.instanceUuid", "config.template", "config.annotation", "config.firmware", "config.extraConfig",
    "config.hardware.numCPU", "config.hardware.numCoresPerSocket", "config.hardware.memoryMB",
    "config.hardware.device", "runtime.powerState", "runtime.connectionState", "guest.net",
    "layoutEx.disk", "layoutEx.file",
)  # fmt: skip

#: vSphere's word for a power state -> ours.
POWER = {"poweredOn": PowerState.ON, "poweredOff": PowerState.OFF, "suspended": PowerState.PAUSED}
_MODELS = {theirs: ours for ours, theirs in CARDS.items()}

#: Bytes.
MIB = 1024 * KIB_PER_MIB

#: A network's id or key -> its name.
NetworkName = Callable[[str], "str | None"]


def power_of(told: Properties) -> PowerState:
    """A VM whose host does not answer, or whose files are gone, is in no state that anybody knows."""
    if told.get("runtime.connectionState", "connected") != "connected":
        return PowerState.UNKNOWN
    return POWER.get(told.get("runtime.powerState"), PowerState.UNKNOWN)


@dataclass(frozen=True)
class Seen:
    """A VM as its properties describe it."""

    told: Properties

    @property
    def name(self) -> str:
        return names.read(self.told["name"])

    @property
    def uuid(self) -> str:
        """Empty for a VM that is only just being made, or whose files cannot be read."""
        return str(self.told.get("config.instanceUuid", "")).lower()

    @property
    def is_template(self) -> bool:
        return bool(self.told.get("config.template"))

    @cached_property
    def extra(self) -> dict[str, str]:
        return kept.said_of(self.told.get("config.extraConfig", ()))

    @property
    def half_made(self) -> bool:
        """What a create has left that was killed."""
        return self.extra.get(names.MAKING) == self.uuid != ""

    @cached_property
    def kept(self) -> kept.Kept | None:
        """None for a VM of somebody else, and for somebody else's copy of one of ours, which has another identity."""
        said = kept.read(self.extra.get(names.KEPT, ""))
        ours = said and said.definition.uuid == self.uuid and not self.half_made
        return disks.seated(said, self.devices) if said and ours else None

    @property
    def managed(self) -> bool:
        return self.kept is not None

    @property
    def power(self) -> PowerState:
        return power_of(self.told)

    @property
    def devices(self) -> list[Any]:
        return list(self.told.get("config.hardware.device", ()))

    @property
    def foreign_disks(self) -> list[Any]:
        """Disks that somebody has attached to a VM of ours."""
        ours = {disk.slot for disk in self.kept.disks.values()} if self.kept else set()
        return [disk for slot, disk in slots_of(self.devices).items() if slot not in ours]


def observed(seen: Seen, network_name: NetworkName) -> ObservedVm:
    definition = _definition(seen, network_name)
    return ObservedVm(
        name=seen.name,
        uuid=seen.uuid,
        power=seen.power,
        managed=seen.managed,
        definition=definition,
        addresses=_addresses(seen) if seen.power is PowerState.ON else (),
        disk_use=_disk_use(seen) if definition else {},
    )


def _addresses(seen: Seen) -> tuple[str, ...]:
    """As VMware Tools tell them."""
    return tuple(sorted(address for card in seen.told.get("guest.net", ()) for address in card.ipAddress or ()))


def _disk_use(seen: Seen) -> dict[str, int]:
    """In MiB, as vSphere last looked. What a linked disk shares with its template is not counted."""
    sizes = {file.key: _own_size(file) for file in seen.told.get("layoutEx.file", ())}
    files = {disk.key: _files(disk) for disk in seen.told.get("layoutEx.disk", ())}
    there = {name: files[disk.key] for name, disk in named_disks(seen).items() if disk.key in files}
    return {name: -(-sum(sizes.get(key, 0) for key in keys) // MIB) for name, keys in there.items()}


def _own_size(file: Any) -> int:
    return int(file.size if file.uniqueSize is None else file.uniqueSize)


def _files(disk: Any) -> list[int]:
    """Keys of the files of a disk and of what it stands on: after a snapshot it writes into another one."""
    return [key for unit in disk.chain or () for key in unit.fileKey or ()]


def _definition(seen: Seen, network_name: NetworkName) -> VmDefinition | None:
    """None for a VM that was not made by Millwright and does not fit the definition's rules."""
    said = seen.kept.definition if seen.kept else VmDefinition(name="", memory_mib=0)
    told = _told(seen, said, network_name)
    return told if seen.kept else _within_rules(told)


def _within_rules(told: VmDefinition) -> VmDefinition | None:
    """What has its default is within them."""
    try:
        return VmDefinition.from_dict(_beyond_defaults(told))
    except InvalidDefinition:
        return None


def _beyond_defaults(told: Any) -> dict[str, Any]:
    values = ((spec, getattr(told, spec.name)) for spec in fields_of(type(told)))
    return {spec.name: _plain(value) for spec, value in values if spec.required or value != spec.default}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return _beyond_defaults(value) if is_dataclass(value) else plain(value)


def _told(seen: Seen, said: VmDefinition, network_name: NetworkName) -> VmDefinition:
    told = seen.told
    cores = told.get("config.hardware.numCoresPerSocket") or 1
    return replace(
        said,
        name=seen.name,
        uuid=seen.uuid,
        description=told.get("config.annotation", ""),
        cpu=replace(said.cpu, count=told.get("config.hardware.numCPU", 1), cores_per_socket=cores),
        memory_mib=told.get("config.hardware.memoryMB", 0),
        firmware=Firmware.UEFI if told.get("config.firmware") == "efi" else Firmware.BIOS,
        disks=tuple(_disks(seen)),
        nics=tuple(_nics(seen, network_name)),
        cdrom=_cdrom(seen, said.cdrom),
        cloud_init=said.cloud_init if META_DATA in seen.extra else None,
    )


def disk_slots(seen: Seen) -> dict[str, str]:
    """The place of each disk that is there, by the disk's name. In the order in which they were asked for; those of
    others come last, and are called by their places."""
    there = slots_of(seen.devices)
    ours = {name: disk.slot for name, disk in seen.kept.disks.items() if disk.slot in there} if seen.kept else {}
    others = sorted(there.keys() - ours.values())
    return ours | {slot.replace(":", "-").lower(): slot for slot in others}


def named_disks(seen: Seen) -> dict[str, Any]:
    """Each disk by its name."""
    there = slots_of(seen.devices)
    return {name: there[slot] for name, slot in disk_slots(seen).items()}


def _disks(seen: Seen) -> Iterator[Disk]:
    controllers = {one.key: one for one in seen.devices if isinstance(one, vim.vm.device.VirtualController)}
    for name, device in named_disks(seen).items():
        bus = bus_of(controllers.get(device.controllerKey))
        if bus is not None:
            yield replace(_disk(seen, name, device), bus=bus, size_mib=device.capacityInKB // KIB_PER_MIB)


def _disk(seen: Seen, name: str, device: Any) -> Disk:
    kept_disk = seen.kept.disks.get(name) if seen.kept else None
    said = {disk.name: disk for disk in seen.kept.definition.disks} if seen.kept else {}
    if kept_disk is None or name not in said:
        return Disk(name=name, size_mib=1, pool=datastore_name(device), format=format_of(device))
    # Wherever vSphere has moved it since: its pool is where it was to be made.
    return said[name]


def format_of(device: Any) -> DiskFormat:
    return DiskFormat.QCOW2 if getattr(device.backing, "thinProvisioned", None) else DiskFormat.RAW


def datastore_id(device: Any) -> str | None:
    datastore = getattr(device.backing, "datastore", None)
    return datastore._GetMoId() if datastore else None


def datastore_name(device: Any) -> str:
    return (getattr(device.backing, "fileName", "") or "").partition("]")[0].lstrip("[") or "default"


def _nics(seen: Seen, network_name: NetworkName) -> Iterator[Nic]:
    said = {nic.name: nic for nic in seen.kept.definition.nics} if seen.kept else {}
    for name, device in cards.named(seen.kept, seen.devices).items():
        model = model_of(device)
        if model is not None:
            asked = said.get(name) or Nic(name=name)
            yield replace(
                asked, network=_network(seen, asked, device, network_name), mac=device.macAddress, model=model
            )


def model_of(device: Any) -> NicModel | None:
    """None for a card that the definition has no word for."""
    return next((ours for theirs, ours in _MODELS.items() if isinstance(device, theirs)), None)


def _network(seen: Seen, asked: Nic, device: Any, network_name: NetworkName) -> str | None:
    key = network_key(device.backing)
    if key is not None and seen.kept and seen.kept.nics.get(asked.name) == key:
        return asked.network
    return getattr(device.backing, "deviceName", None) or (network_name(key) if key else None) or key


def network_key(backing: Any) -> str | None:
    """What tells the network in a card's backing."""
    if getattr(backing, "port", None):
        return str(backing.port.portgroupKey)
    network = getattr(backing, "network", None)
    return network._GetMoId() if network else None


def _cdrom(seen: Seen, said: str | None) -> str | None:
    for device in drives_of(seen.devices):
        path = getattr(device.backing, "fileName", None)
        if path:
            return said if seen.kept and path == seen.kept.cdrom else path
    return None
