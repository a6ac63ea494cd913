# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which changes a VM takes while it runs. vSphere makes them like all others, by the same specification."""

from __future__ import annotations

from typing import Any

from ...vm.changes import Change
from ...vm.definition import DiskBus, VmDefinition
from ...vm.hot import can_be_hot
from .collector import Properties
from .devices import drives_of
from .observation import Seen

#: What is read of a VM beyond ``observation.PATHS``. Sizes in MiB.
PATHS = (
    "config.cpuHotAddEnabled", "config.memoryHotAddEnabled", "config.hotPlugMemoryLimit",
    "config.hotPlugMemoryIncrementSize",
)  # fmt: skip
#: Controllers that take a disk, or a larger one, while the guest runs.
_HOT_BUSES = frozenset({DiskBus.VIRTIO, DiskBus.SCSI})


def hot_paths(seen: Seen, told: Properties, now: VmDefinition, changes: tuple[Change, ...]) -> frozenset[str]:
    """Paths of the changes that the VM takes as it runs. ``told`` are its PATHS."""
    return frozenset(change.path for change in changes if can_be_hot(change, now) and _fits(change, seen, told, now))


def _fits(change: Change, seen: Seen, told: Properties, now: VmDefinition) -> bool:
    match change.kind:
        case "disks[]":
            return change.after["bus"] in _HOT_BUSES
        case "disks[].size_mib":
            return any(change.path == f"disks[{disk.name}].size_mib" and disk.bus in _HOT_BUSES for disk in now.disks)
        case "cdrom":
            return bool(drives_of(seen.devices))
        case "cpu.count":
            return bool(told.get("config.cpuHotAddEnabled"))
        case "memory_mib":
            return bool(told.get("config.memoryHotAddEnabled")) and _can_be_plugged(change, told)
    return True


def _can_be_plugged(change: Change, told: Properties) -> bool:
    """Memory is added, in steps and up to a limit that vSphere tells of a VM that runs; it is never taken away."""
    more: Any = change.after - change.before
    step, limit = (told.get(f"config.hotPlugMemory{what}") or 0 for what in ("IncrementSize", "Limit"))
    return more > 0 and not (step and more % step) and not (limit and change.after > limit)
