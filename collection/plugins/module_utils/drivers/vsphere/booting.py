# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a VM boots from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...vm.definition import BootDevice, VmDefinition
from .sdk import vim

#: What vSphere does by itself.
DEFAULT = (BootDevice.DISK,)


def options(want: VmDefinition, disks: Mapping[str, Any], cards: Mapping[str, Any]) -> Any:
    """Boot options for a specification. Disks and cards are those that the VM has, by their names; a definition's first
    ones are those that it boots from."""
    return vim.vm.BootOptions(bootOrder=list(_order(want, disks, cards)))


def _order(want: VmDefinition, disks: Mapping[str, Any], cards: Mapping[str, Any]) -> Iterator[Any]:
    boot = vim.vm.BootOptions
    for device in want.boot_order:
        if device is BootDevice.CDROM:
            yield boot.BootableCdromDevice()
        elif device is BootDevice.NETWORK:
            there = (cards.get(nic.name) for nic in want.nics[:1])
            yield from (boot.BootableEthernetDevice(deviceKey=card.key) for card in there if card)
        else:
            there = (disks.get(disk.name) for disk in want.disks[:1])
            yield from (boot.BootableDiskDevice(deviceKey=disk.key) for disk in there if disk)


def devices(definition: VmDefinition) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the disk and the card that a VM boots from, as far as it boots from any."""
    disks = definition.disks[: BootDevice.DISK in definition.boot_order]
    cards = definition.nics[: BootDevice.NETWORK in definition.boot_order]
    return tuple(disk.name for disk in disks), tuple(nic.name for nic in cards)
