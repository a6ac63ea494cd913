# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk of a VM is which, when somebody has changed where they are."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import disks, names
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.kept import Kept, KeptDisk, read
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.making import _last_spec as last_spec
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.observation import Seen
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

device = vim.vm.device
ROOT, DATA = "6000c29a-0000", "6000c29b-0000"


def devices(*places: tuple[int, str | None]) -> list[object]:
    """A controller with disks: their units and the uuids of their files."""
    controller = device.ParaVirtualSCSIController(key=1000, busNumber=0)
    return [
        controller,
        *(
            device.VirtualDisk(
                key=2000 + unit, controllerKey=1000, unitNumber=unit,
                backing=device.VirtualDisk.FlatVer2BackingInfo(fileName=f"[ds] web/{unit}.vmdk", uuid=uuid),
            )
            for unit, uuid in places
        ),
    ]  # fmt: skip


def kept(root: str | None = ROOT, data: str | None = DATA) -> Kept:
    told = {"root": KeptDisk(slot="scsi0:0", datastore="ds", uuid=root)}
    told["data"] = KeptDisk(slot="scsi0:1", datastore="ds", uuid=data)
    return Kept(definition=VmDefinition(name="web", memory_mib=64), disks=told)


@pytest.mark.parametrize(
    ("there", "slots"),
    [
        ([(0, ROOT), (1, DATA)], {"root": "scsi0:0", "data": "scsi0:1"}),
        ([(3, ROOT.upper()), (1, DATA)], {"root": "scsi0:3", "data": "scsi0:1"}),
        ([(1, ROOT), (0, DATA)], {"root": "scsi0:1", "data": "scsi0:0"}),
        # A copy of a disk has its uuid.
        ([(0, ROOT), (1, DATA), (2, ROOT)], {"root": "scsi0:0", "data": "scsi0:1"}),
        # Brought back from a backup, under another uuid.
        ([(0, "other"), (1, DATA)], {"root": "scsi0:0", "data": "scsi0:1"}),
        ([(0, None), (1, None)], {"root": "scsi0:0", "data": "scsi0:1"}),
        # The first one is gone, and the second one is where it was.
        ([(0, DATA)], {"data": "scsi0:0"}),
    ],
)
def test_a_disk_is_where_its_file_is(there: list[tuple[int, str | None]], slots: dict[str, str]):
    seated = disks.seated(kept(), devices(*there))
    assert {name: disk.slot for name, disk in seated.disks.items()} == slots


def test_a_disk_whose_uuid_is_not_known_is_the_one_at_its_place():
    seated = disks.seated(kept(None, None), devices((0, DATA), (1, ROOT)))
    assert {name: disk.slot for name, disk in seated.disks.items()} == {"root": "scsi0:0", "data": "scsi0:1"}


def test_the_uuids_of_what_is_there_are_remembered():
    told = disks.told_apart(kept(None, DATA).disks, devices((0, ROOT.upper())))
    assert {name: disk.uuid for name, disk in told.items()} == {"root": ROOT, "data": DATA}
    remembered = Kept(definition=VmDefinition(name="web", memory_mib=64), disks=told)
    assert read(remembered.written("11111111-2222-4333-8444-555555555555")).disks == told


def test_a_vm_that_is_made_remembers_the_uuids_of_its_disks():
    seen = Seen({"config.hardware.device": devices((0, ROOT), (1, DATA)), "config.extraConfig": []})
    spec = last_spec(VmDefinition(name="web", memory_mib=64), kept(None, None), seen)
    written = next(one.value for one in spec.extraConfig if one.key == names.KEPT)
    assert read(written).disks == kept().disks
