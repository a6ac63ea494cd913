# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks, cards and drives of the VM definition as vSphere's virtual devices, and where on which controller they sit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ...vm.definition import Disk, DiskBus, DiskFormat, Nic, NicModel
from ..errors import Unsupported
from .placement import Datastore, Network
from .sdk import vim

KIB_PER_MIB = 1024

_Device = vim.vm.device
_Change = vim.vm.device.VirtualDeviceSpec

#: A definition's bus -> the controller that is added for it.
CONTROLLERS: dict[DiskBus, type] = {
    DiskBus.VIRTIO: _Device.ParaVirtualSCSIController,
    DiskBus.SCSI: _Device.VirtualLsiLogicController,
    DiskBus.SATA: _Device.VirtualAHCIController,
}
#: Places on a controller; on SCSI the controller itself has number 7.
_SCSI_UNITS, _SATA_UNITS = [unit for unit in range(16) if unit != 7], list(range(30))
_IDE_UNITS = (0, 1)
#: That a VM can have of a family.
_MOST_CONTROLLERS = 4

CARDS: dict[NicModel, type] = {NicModel.VIRTIO: _Device.VirtualVmxnet3, NicModel.E1000: _Device.VirtualE1000}

#: The IDE controller that every VM is made with, where the drive goes.
IDE_KEY = 200


def bus_of(controller: Any) -> DiskBus | None:
    """None for a controller that the definition has no word for."""
    if isinstance(controller, _Device.ParaVirtualSCSIController):
        return DiskBus.VIRTIO
    if isinstance(controller, _Device.VirtualSCSIController):
        return DiskBus.SCSI
    return DiskBus.SATA if isinstance(controller, _Device.VirtualAHCIController) else None


def disks_of(devices: Iterable[Any]) -> list[Any]:
    return [one for one in devices if isinstance(one, _Device.VirtualDisk)]


def cards_of(devices: Iterable[Any]) -> list[Any]:
    """In the order in which they were added."""
    cards = [one for one in devices if isinstance(one, _Device.VirtualEthernetCard)]
    return sorted(cards, key=lambda card: card.key)


def drives_of(devices: Iterable[Any]) -> list[Any]:
    return [one for one in devices if isinstance(one, _Device.VirtualCdrom)]


def slots_of(devices: Sequence[Any]) -> dict[str, Any]:
    """Each disk by its place, like ``scsi0:1``: it is the only thing of a disk that we choose and that stays."""
    controllers = {one.key: one for one in devices if isinstance(one, _Device.VirtualController)}
    return {_slot(controllers.get(disk.controllerKey), disk.unitNumber): disk for disk in disks_of(devices)}


def _slot(controller: Any, unit: int | None) -> str:
    family = "sata" if isinstance(controller, _Device.VirtualAHCIController) else "scsi"
    if not isinstance(controller, _Device.VirtualSCSIController | _Device.VirtualAHCIController):
        family = type(controller).__name__.rpartition(".")[2]
    return f"{family}{getattr(controller, 'busNumber', 0)}:{unit}"


@dataclass
class Board:
    """What a VM's devices will be. Collects the changes that make them so."""

    #: Devices that are there and stay.
    devices: list[Any]
    changes: list[Any] = field(default_factory=list)
    _keys: Iterator[int] = field(default_factory=lambda: count(-1, -1))

    @classmethod
    def of_template(cls, devices: Sequence[Any]) -> Board:
        """A clone's board: its cards and drives are its template's, and go."""
        going = [*cards_of(devices), *drives_of(devices)]
        board = cls([one for one in devices if one not in going])
        board.changes += [_Change(operation="remove", device=one) for one in going]
        return board

    def new_disk(self, disk: Disk, datastore: Datastore) -> str:
        """An empty disk; gives its slot."""
        controller, unit = self._place(disk.bus)
        backing = _Device.VirtualDisk.FlatVer2BackingInfo(
            fileName=f"[{datastore.entity.name}]",
            datastore=datastore.entity.object,
            diskMode="persistent",
            thinProvisioned=disk.format is DiskFormat.QCOW2,
        )
        device = _Device.VirtualDisk(key=next(self._keys), backing=backing, capacityInKB=_kib(disk))
        return self._plug(device, controller, unit, "add", "create")

    def template_disk(self, device: Any, disk: Disk) -> str:
        """A disk that came with the clone, made as it is wanted; gives its slot."""
        if disk.size_mib:
            device.capacityInKB, device.capacityInBytes = _kib(disk), _kib(disk) * 1024
        # A template's disk may forget what is written to it; a VM's does not.
        device.backing.diskMode = "persistent"
        self.devices.remove(device)
        controller, unit = self._place(disk.bus, (device.controllerKey, device.unitNumber))
        return self._plug(device, controller, unit, "edit", None)

    def grown_disk(self, old: Any, disk: Disk) -> None:
        device = self._edited(old)
        device.capacityInKB, device.capacityInBytes = _kib(disk), _kib(disk) * 1024

    def remove(self, device: Any, *, with_file: bool = False) -> None:
        """Its place is free then."""
        self.devices.remove(device)
        self.changes.append(_Change(operation="remove", fileOperation="destroy" if with_file else None, device=device))

    def _edited(self, old: Any) -> Any:
        """A copy to be changed: what was seen stays as it was seen."""
        device = copy(old)
        self.changes.append(_Change(operation="edit", device=device))
        return device

    def _plug(self, device: Any, controller: Any, unit: int, operation: str, file: str | None) -> str:
        device.controllerKey, device.unitNumber = controller.key, unit
        self.devices.append(device)
        self.changes.append(_Change(operation=operation, fileOperation=file, device=device))
        return _slot(controller, unit)

    def _place(self, bus: DiskBus, held: tuple[int, int] | None = None) -> tuple[Any, int]:
        """A controller of the bus and a free unit there; where the disk is now, if that is such a place."""
        controller = self._controller(bus)
        if held and held[0] == controller.key:
            return controller, held[1]
        taken = {one.unitNumber for one in self.devices if one.controllerKey == controller.key}
        for unit in _SATA_UNITS if bus is DiskBus.SATA else _SCSI_UNITS:
            if unit not in taken:
                return controller, unit
        raise Unsupported(f"a VM can have at most {len(taken)} disks on bus {bus.value} here")

    def _controller(self, bus: DiskBus) -> Any:
        """The first of its kind; it is added if there is none."""
        for one in self.devices:
            if bus_of(one) is bus:
                return one
        family = _Device.VirtualAHCIController if bus is DiskBus.SATA else _Device.VirtualSCSIController
        taken = {one.busNumber for one in self.devices if isinstance(one, family)}
        number = next((number for number in range(_MOST_CONTROLLERS) if number not in taken), None)
        if number is None:
            raise Unsupported(f"a disk is to be on bus {bus.value}, and the VM has no room for another controller")
        controller = CONTROLLERS[bus](key=next(self._keys), busNumber=number)
        if bus is not DiskBus.SATA:
            controller.sharedBus = "noSharing"
        self.devices.append(controller)
        self.changes.append(_Change(operation="add", device=controller))
        return controller

    def card(self, nic: Nic, network: Network) -> None:
        """A new one."""
        device = self._new_card(nic, network.backing)
        device.addressType, device.macAddress = _address(nic, "generated", None)

    def other_card(self, old: Any, nic: Nic, network: Network | None) -> None:
        """A card of another model in the place of one, with what the definition says nothing of as it was."""
        self.remove(old)
        device = self._new_card(nic, network.backing if network else old.backing)
        device.addressType, device.macAddress = _address(nic, old.addressType, old.macAddress)

    def changed_card(self, old: Any, nic: Nic, network: Network | None) -> None:
        device = self._edited(old)
        device.addressType, device.macAddress = _address(nic, device.addressType, device.macAddress)
        if network:
            device.backing = network.backing

    def _new_card(self, nic: Nic, backing: Any) -> Any:
        if nic.model not in CARDS:
            known = ", ".join(model.value for model in CARDS)
            raise Unsupported(f"card {nic.name!r} is to be {nic.model.value}; vSphere has: {known}")
        device = CARDS[nic.model](key=next(self._keys), backing=backing, connectable=_connected())
        self.devices.append(device)
        self.changes.append(_Change(operation="add", device=device))
        return device

    def drive(self, path: str) -> None:
        """A drive with an image, on the first free place of the IDE controllers."""
        ide = [one.key for one in self.devices if isinstance(one, _Device.VirtualIDEController)] or [IDE_KEY]
        taken = {(one.controllerKey, one.unitNumber) for one in self.devices}
        free = [(key, unit) for key in ide for unit in _IDE_UNITS if (key, unit) not in taken]
        if not free:
            raise Unsupported("the VM is to have a drive, and has no free place on its IDE controllers")
        key, unit = free[0]
        backing = _Device.VirtualCdrom.IsoBackingInfo(fileName=path)
        device = _Device.VirtualCdrom(
            key=next(self._keys), controllerKey=key, unitNumber=unit, backing=backing,
            connectable=_connected(),
        )  # fmt: skip
        self.devices.append(device)
        self.changes.append(_Change(operation="add", device=device))

    def other_disc(self, old: Any, path: str) -> None:
        drive = self._edited(old)
        drive.backing = _Device.VirtualCdrom.IsoBackingInfo(fileName=path)
        drive.connectable = _connected()


def _address(nic: Nic, kind: str, address: str | None) -> tuple[str, str | None]:
    """How a card comes by its address, and which one: the definition's, else the given."""
    return ("manual", nic.mac) if nic.mac and nic.mac != address else (kind, address)


def _kib(disk: Disk) -> int:
    return (disk.size_mib or 0) * KIB_PER_MIB


def _connected() -> Any:
    return _Device.VirtualDevice.ConnectInfo(startConnected=True, allowGuestControl=True, connected=True)
