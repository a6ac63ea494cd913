# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk of a VM is which: told by the uuid of its file, and by its place where that is not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .devices import slots_of
from .kept import Kept, KeptDisk


def seated(kept: Kept, devices: Sequence[Any]) -> Kept:
    """With each disk at the place where it is now: somebody may have put it on another one at the vCenter. A disk whose
    file is not there is the one at its place, as after a restore, unless that is another one of ours."""
    uuids = _uuids(devices)
    places = {uuid: slot for slot, uuid in uuids.items()}
    moved = {name: places.get(disk.uuid or "") for name, disk in kept.disks.items() if not _is_at_home(disk, uuids)}
    home = {name: disk.slot for name, disk in kept.disks.items() if name not in moved}
    found = home | {name: slot for name, slot in moved.items() if slot and slot not in home.values()}
    disks = {
        name: replace(disk, slot=found.get(name, disk.slot))
        for name, disk in kept.disks.items()
        if name in found or disk.slot not in found.values()
    }
    return replace(kept, disks=disks)


def _is_at_home(disk: KeptDisk, uuids: dict[str, str]) -> bool:
    return disk.uuid is not None and uuids.get(disk.slot) == disk.uuid


def told_apart(disks: dict[str, KeptDisk], devices: Sequence[Any]) -> dict[str, KeptDisk]:
    """With the uuids of those that are there."""
    uuids = _uuids(devices)
    return {name: replace(disk, uuid=uuids.get(disk.slot) or disk.uuid) for name, disk in disks.items()}


def _uuids(devices: Sequence[Any]) -> dict[str, str]:
    """By the places."""
    told = {slot: getattr(disk.backing, "uuid", None) for slot, disk in slots_of(devices).items()}
    return {slot: uuid.lower() for slot, uuid in told.items() if uuid}
