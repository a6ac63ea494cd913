# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a template loses of what the VM was, without a vCenter."""

from __future__ import annotations

from pyVmomi import vim

from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import names
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.capturing import Capture, bare
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.observation import Seen

device = vim.vm.device


def seen() -> Seen:
    """A VM with two disks, a card and a drive, which remembers what it was asked for."""
    said = {
        names.KEPT: "{}", "guestinfo.userdata": "secret", "guestinfo.userdata.encoding": "base64",
        "guestinfo.metadata": "{}", "svga.present": "TRUE",
    }  # fmt: skip
    devices = [
        device.ParaVirtualSCSIController(key=1000, busNumber=0),
        device.VirtualDisk(key=2000, controllerKey=1000, unitNumber=0),
        device.VirtualDisk(key=2001, controllerKey=1000, unitNumber=1),
        device.VirtualVmxnet3(key=4000),
        device.VirtualCdrom(key=3000),
    ]
    extra = [vim.option.OptionValue(key=key, value=value) for key, value in said.items()]
    return Seen({"config.hardware.device": devices, "config.extraConfig": extra})


def test_a_template_keeps_one_disk_and_forgets_whose_it_was():
    vm = seen()
    planned = Capture(
        vm=None, seen=vm, disk="scsi0-1", datastore=None, places=None, host=None, snapshot=None, identity=""
    )
    spec = bare(seen(), planned)
    lost = {change.device.key: change.fileOperation for change in spec.deviceChange}
    assert lost == {2000: "destroy", 4000: None, 3000: None}
    assert {change.operation for change in spec.deviceChange} == {"remove"}
    assert {option.key: option.value for option in spec.extraConfig} == dict.fromkeys(
        (names.KEPT, "guestinfo.userdata", "guestinfo.userdata.encoding", "guestinfo.metadata"), ""
    )
