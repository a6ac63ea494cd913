# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a VM boots from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...vm.definition import BootDevice, VmDefinition
from .devices import cards_of, disks_of, drives_of
from .sdk import vim

#: What vSphere does by itself.
DEFAULT = (BootDevice.DISK,)


def options(want: VmDefinition, devices: list[Any]) -> Any:
    """Boot options for a specification; the devices are those that the VM has."""
    return vim.vm.BootOptions(bootOrder=list(_order(want, devices)))


def _order(want: VmDefinition, devices: list[Any]) -> Iterator[Any]:
    boot = vim.vm.BootOptions
    for device in want.boot_order:
        if device is BootDevice.CDROM and drives_of(devices):
            yield boot.BootableCdromDevice()
        elif device is BootDevice.NETWORK:
            yield from (boot.BootableEthernetDevice(deviceKey=card.key) for card in cards_of(devices)[:1])
        else:
            yield from (boot.BootableDiskDevice(deviceKey=disk.key) for disk in disks_of(devices)[:1])
