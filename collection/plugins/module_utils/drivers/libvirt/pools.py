# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One storage pool: where it is, and what is in it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from xml.etree import ElementTree

from .faults import unless
from .sdk import libvirt

#: Pools that are directories.
_OF_FILES = frozenset({"dir", "fs", "netfs"})
#: In /dev/mapper; a hyphen of the names themselves is written twice there.
_BETWEEN_GROUP_AND_VOLUME = re.compile(r"(?<!-)-(?:--)*(?!-)")
#: Pools whose volumes somebody else makes and removes.
_ONLY_SHOWN = frozenset({"iscsi", "iscsi-direct", "mpath", "scsi"})


def directory_of(pool: libvirt.virStoragePool) -> PurePosixPath:
    """Where the pool keeps its volumes."""
    return PurePosixPath(ElementTree.fromstring(pool.XMLDesc(0)).findtext("target/path", ""))  # noqa: S314  # libvirt's


def keeps_files(pool: libvirt.virStoragePool) -> bool:
    """Whether any file can be put where the pool keeps its volumes."""
    return ElementTree.fromstring(pool.XMLDesc(0)).get("type") in _OF_FILES  # noqa: S314  # libvirt wrote it


def file_name(path: str) -> str:
    """The name of a file or logical volume, which /dev/mapper calls by its group's name as well."""
    name = PurePosixPath(path).name
    if not path.startswith("/dev/mapper/"):
        return name
    return _BETWEEN_GROUP_AND_VOLUME.split(name)[-1].replace("--", "-")


def unseen_in(pool: libvirt.virStoragePool) -> set[str]:
    """Files that were put into its directory, if that is one of this host, since libvirt has read it."""
    if not keeps_files(pool):
        return set()
    try:
        with os.scandir(directory_of(pool)) as entries:
            there = {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()
    return there - set(names_in(pool))


def is_only_shown(pool: libvirt.virStoragePool) -> bool:
    """Whether libvirt can remove none of its volumes."""
    return ElementTree.fromstring(pool.XMLDesc(0)).get("type") in _ONLY_SHOWN  # noqa: S314  # libvirt wrote it


def volumes_in(pool: libvirt.virStoragePool) -> list[libvirt.virStorageVol]:
    """None of a pool that is stopped while it is listed."""
    return unless(libvirt.VIR_ERR_OPERATION_INVALID, partial(pool.listAllVolumes, 0)) or []


def names_in(pool: libvirt.virStoragePool) -> list[str]:
    """Of its volumes: a fifth of the work that the volumes themselves are. None of a pool that is stopped meanwhile."""
    return unless(libvirt.VIR_ERR_OPERATION_INVALID, pool.listVolumes) or []


def volumes_called(pool: libvirt.virStoragePool, fits: Callable[[str], bool]) -> list[libvirt.virStorageVol]:
    """Those whose names are so. A volume may go, and a pool be stopped, while they are looked up."""
    called = (name for name in names_in(pool) if fits(name))
    found = unless(libvirt.VIR_ERR_OPERATION_INVALID, lambda: [volume_in(pool, name) for name in called])
    return [volume for volume in found or [] if volume is not None]


def volume_in(pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    return unless(libvirt.VIR_ERR_NO_STORAGE_VOL, lambda: pool.storageVolLookupByName(name))
