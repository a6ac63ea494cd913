# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks, cards and drives as virtual devices, without a vCenter."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.devices import Board, slots_of
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.inventory import Entity
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.placement import Datastore, Network
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import Disk, Nic, VmDefinition

device = vim.vm.device
STORE = Datastore(Entity(vim.Datastore("datastore-1"), "fast", "/DC0/datastore/fast"), 1 << 40, 1 << 40, usable=True)
NET = Network(
    Entity(vim.Network("network-7"), "VM Network", "/DC0/network/VM Network"), "network-7",
    device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network"),
)  # fmt: skip


def disk(**fields: object) -> Disk:
    raw = {"name": "root", "size_mib": 10, **fields}
    return VmDefinition.from_dict({"name": "web", "memory_mib": 64, "disks": [raw]}).disks[0]


def nic(**fields: object) -> Nic:
    raw = {"name": "front", "network": "VM Network", **fields}
    return VmDefinition.from_dict({"name": "web", "memory_mib": 64, "nics": [raw]}).nics[0]


def template(unit: int = 0) -> list[object]:
    """A template's devices: one disk on LSI Logic, a card and a drive."""
    return [
        device.VirtualIDEController(key=200, busNumber=0),
        device.VirtualLsiLogicController(key=1000, busNumber=0),
        device.VirtualDisk(
            key=2000, controllerKey=1000, unitNumber=unit, capacityInKB=10240,
            backing=device.VirtualDisk.FlatVer2BackingInfo(fileName="[fast] t/t.vmdk", diskMode="nonpersistent"),
        ),
        device.VirtualE1000(key=4000), device.VirtualCdrom(key=3000),
    ]  # fmt: skip


def test_disks_of_one_bus_share_a_controller_and_never_its_own_number():
    board = Board([])
    slots = [board.new_disk(disk(name=f"disk{index}"), STORE) for index in range(15)]
    assert slots == [f"scsi0:{unit}" for unit in range(16) if unit != 7]
    assert [type(change.device) for change in board.changes].count(device.ParaVirtualSCSIController) == 1
    with pytest.raises(Unsupported, match="at most 15 disks on bus virtio"):
        board.new_disk(disk(name="more"), STORE)


def test_each_bus_has_a_controller_of_its_own_with_a_number_of_its_own():
    board = Board([])
    slots = [board.new_disk(disk(name=bus, bus=bus), STORE) for bus in ("virtio", "scsi", "sata")]
    assert slots == ["scsi0:0", "scsi1:0", "sata0:0"]
    assert sorted(slots_of(board.devices)) == sorted(slots)


@pytest.mark.parametrize(("image_format", "thin"), [("qcow2", True), ("raw", False)])
def test_a_disk_that_grows_is_thin(image_format: str, thin: bool):
    board = Board([])
    board.new_disk(disk(format=image_format), STORE)
    made = board.changes[-1]
    assert (made.operation, made.fileOperation) == ("add", "create")
    assert (made.device.backing.thinProvisioned, made.device.backing.fileName) == (thin, "[fast]")
    assert made.device.capacityInKB == 10 * 1024


def test_a_clone_loses_the_cards_and_drives_of_its_template():
    board = Board.of_template(template())
    assert [(change.operation, type(change.device)) for change in board.changes] == [
        ("remove", device.VirtualE1000), ("remove", device.VirtualCdrom),
    ]  # fmt: skip


def test_a_template_disk_stays_where_it_is_and_keeps_what_is_written():
    board = Board.of_template(template(unit=3))
    slot = board.template_disk(board.devices[2], disk(bus="scsi", size_mib=20))
    edited = board.changes[-1]
    assert (slot, edited.operation, edited.fileOperation) == ("scsi0:3", "edit", None)
    assert (edited.device.capacityInKB, edited.device.backing.diskMode) == (20 * 1024, "persistent")


def test_a_template_disk_moves_to_the_bus_that_was_asked_for():
    board = Board.of_template(template())
    slot = board.template_disk(board.devices[2], disk(bus="virtio", size_mib=None, template="t"))
    controller = board.changes[-2].device
    assert isinstance(controller, device.ParaVirtualSCSIController)
    assert (slot, controller.busNumber, board.changes[-1].device.controllerKey) == ("scsi1:0", 1, controller.key)
    assert board.changes[-1].device.capacityInKB == 10240


@pytest.mark.parametrize(("mac", "kind"), [("00:50:56:00:00:01", "manual"), (None, "generated")])
def test_a_card_has_the_address_that_was_given_or_one_of_vspheres(mac: str | None, kind: str):
    board = Board([])
    board.card(nic(mac=mac), NET)
    made = board.changes[-1].device
    assert (type(made), made.addressType, made.macAddress) == (device.VirtualVmxnet3, kind, mac)


def test_a_card_that_vsphere_does_not_have_is_refused():
    with pytest.raises(Unsupported, match="rtl8139; vSphere has: virtio, e1000"):
        Board([]).card(nic(model="rtl8139"), NET)


def test_a_new_controller_has_the_first_free_number_of_its_family():
    there = [device.VirtualLsiLogicController(key=1000 + number, busNumber=number) for number in (1, 2, 3)]
    board = Board(list(there))
    assert board.new_disk(disk(bus="virtio"), STORE) == "scsi0:0"
    full = Board([*there, device.VirtualLsiLogicController(key=1000, busNumber=0)])
    with pytest.raises(Unsupported, match="on bus virtio, and the VM has no room for another controller"):
        full.new_disk(disk(bus="virtio"), STORE)


def test_a_drive_is_where_no_other_device_is():
    ide = [device.VirtualIDEController(key=200, busNumber=0), device.VirtualIDEController(key=201, busNumber=1)]
    others = [device.VirtualDisk(key=3000 + unit, controllerKey=200, unitNumber=unit) for unit in (0, 1)]
    board = Board([*ide, *others])
    for unit in (0, 1):
        board.drive("[fast] x.iso")
        assert (board.changes[-1].device.controllerKey, board.changes[-1].device.unitNumber) == (201, unit)
    with pytest.raises(Unsupported, match="no free place on its IDE controllers"):
        board.drive("[fast] x.iso")


def test_a_drive_of_a_new_vm_is_the_first_one():
    board = Board([])
    board.drive("[fast] x.iso")
    assert (board.changes[-1].device.controllerKey, board.changes[-1].device.unitNumber) == (200, 0)
