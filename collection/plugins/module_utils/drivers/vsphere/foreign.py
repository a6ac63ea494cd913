# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of a VM of ours that somebody else has attached to it: what stays of them when it is removed. And whose disks
stand on the VM's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..base import NOT_OURS, KeptDisk
from ..errors import Conflict, Unsupported
from . import names
from .connection import Session
from .devices import disks_of
from .observation import Seen
from .sdk import vim

_DEVICES, _SNAPSHOT = "config.hardware.device", "snapshot"
_DISK = vim.vm.device.VirtualDisk
_RAW = (_DISK.RawDiskMappingVer1BackingInfo, _DISK.PartitionedRawDiskVer2BackingInfo)


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What becomes of the disks of others."""

    kept: tuple[KeptDisk, ...] = ()
    #: The devices that stay, and are taken out of the VM: what is in it goes with it.
    staying: tuple[Any, ...] = ()


def foreign(session: Session, vm: Any, seen: Seen, *, remove: bool) -> Foreign:
    """Raises Unsupported for a disk that should go and cannot, and Conflict for one of another VM that stands on what
    goes."""
    theirs = seen.foreign_disks if seen.managed else []
    used = _used_by_others(session, vm) if theirs and remove else None
    reasons = [(disk, _reason(disk, used) if used is not None else NOT_OURS) for disk in theirs]
    going = [disk for disk, reason in reasons if reason is None]
    _refuse_raw(going)
    # A linked clone stands on a snapshot, so a VM without one is nobody's base, and nobody else is read.
    if used is None and _has_snapshots(session, vm):
        used = _used_by_others(session, vm)
    others = [disk for disk in disks_of(seen.devices) if disk not in theirs]
    _refuse_overlays(seen, others, used or {})
    kept = [KeptDisk(path=_path(disk), why=reason) for disk, reason in reasons if reason]
    return Foreign(
        kept=tuple(sorted(kept, key=lambda disk: disk.path)),
        staying=tuple(disk for disk, reason in reasons if reason),
    )


def _has_snapshots(session: Session, vm: Any) -> bool:
    return session.read([vm], [_SNAPSHOT])[vm].get(_SNAPSHOT) is not None


def _used_by_others(session: Session, vm: Any) -> dict[str, str]:
    """Every file of a disk that another VM or template has, or stands on, and its name."""
    told = session.read_vms(session.content.rootFolder, ("name", _DEVICES))
    others = ((names.read(seen["name"]), seen.get(_DEVICES, ())) for one, seen in told.items() if one != vm)
    return {file: name for name, devices in others for disk in disks_of(devices) for file in _files(disk)}


def _files(disk: Any) -> Iterator[str]:
    """Of the disk and of all that it stands on, the topmost first."""
    backing = disk.backing
    while backing is not None:
        if getattr(backing, "fileName", None):
            yield backing.fileName
        backing = getattr(backing, "parent", None)


def _path(disk: Any) -> str:
    return next(_files(disk), None) or getattr(disk.backing, "deviceName", None) or str(disk.key)


def _reason(disk: Any, used: Mapping[str, str]) -> str | None:
    """Why the disk stays whatever is asked; None if it may go."""
    owners = [used[file] for file in _files(disk) if file in used]
    if owners:
        return f"VM or template {owners[0]!r} has it as well, or stands on it; it goes with the last of them"
    if getattr(disk.backing, "sharing", None) not in (None, "sharingNone"):
        return "it is shared with other VMs"
    if "nonpersistent" in (getattr(disk.backing, "diskMode", None) or ""):
        return "the VM changes nothing of it"
    return "it is a disk of its own at the vCenter" if getattr(disk, "vDiskId", None) else None


def _refuse_raw(going: Iterable[Any]) -> None:
    raw = sorted(_path(disk) for disk in going if isinstance(disk.backing, _RAW))
    if raw:
        raise Unsupported(f"{', '.join(raw)} is a LUN, and vSphere cannot remove it; detach it first, or let it stay")


def _refuse_overlays(seen: Seen, disks: Iterable[Any], used: Mapping[str, str]) -> None:
    """Only of files that lie beside the disk: what it stands on elsewhere is its template's."""
    for disk in disks:
        files = list(_files(disk))
        taken = [file for file in files if file in used and _directory(file) == _directory(files[0])]
        if taken:
            raise Conflict(
                f"a disk of VM {used[taken[0]]!r} stands on {taken[0]}, which would go with VM {seen.name!r}; "
                "remove that VM first, or consolidate its disk"
            )


def _directory(file: str) -> str:
    return file.rpartition("/")[0]
