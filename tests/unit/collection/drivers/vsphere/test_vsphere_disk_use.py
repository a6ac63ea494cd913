# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What disks take at their datastores, as vSphere tells it; the simulator's disks are empty files."""

from __future__ import annotations

from pyVmomi import vim

from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.observation import Seen, observed

MIB = 1024 * 1024
device, layout = vim.vm.device, vim.vm.FileLayoutEx


def file(key: int, size: int, unique: int | None = None) -> object:
    return layout.FileInfo(key=key, name=f"[fast] {key}", type="diskExtent", size=size, uniqueSize=unique)


def disk(key: int, unit: int) -> object:
    backing = device.VirtualDisk.FlatVer2BackingInfo(fileName="[fast] web/web.vmdk", diskMode="persistent")
    return device.VirtualDisk(key=key, controllerKey=1000, unitNumber=unit, capacityInKB=10240, backing=backing)


def chain(key: int, *units: list[int]) -> object:
    return layout.DiskLayout(key=key, chain=[layout.DiskUnit(fileKey=keys) for keys in units])


def test_a_disk_takes_what_its_files_and_those_below_them_take_and_what_is_shared_counts_for_nobody():
    seen = Seen(
        {
            "name": "web",
            "config.instanceUuid": "0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10",
            "config.hardware.memoryMB": 64,
            "config.hardware.device": [
                device.ParaVirtualSCSIController(key=1000, busNumber=0), disk(2000, 0), disk(2001, 1), disk(2002, 2),
            ],
            "layoutEx.file": [file(1, 1), file(2, 3 * MIB), file(3, 5 * MIB, 0), file(4, 7 * MIB, 2 * MIB)],
            "layoutEx.disk": [chain(2000, [1, 2]), chain(2001, [3], [4])],
        }
    )  # fmt: skip
    found = observed(seen, lambda _key: None)
    # Of the third disk vSphere has not told anything yet.
    assert found.disk_use == {"scsi0-0": 4, "scsi0-1": 2}
