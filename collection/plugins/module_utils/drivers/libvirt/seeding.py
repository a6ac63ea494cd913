# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other data for cloud-init in a domain that is there: what its new image holds, and where that goes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...vm.changes import changes
from ...vm.cloud_data import data_after
from ...vm.definition import CloudInit, VmDefinition
from ...vm.fingerprint import is_fingerprint_of
from ..errors import Conflict
from .cloud_init import user_data_in
from .devices import Domain, seed_node, source_path
from .planning import home_of
from .sdk import libvirt
from .storage import Storage


@dataclass(frozen=True, kw_only=True)
class Reseeding:
    """A new image for the drive, which is added if there is none."""

    #: Whole, also what the definition says nothing of.
    data: CloudInit
    home: libvirt.virStoragePool


def reseeding(before: str, now: VmDefinition, want: VmDefinition, storage: Storage) -> Reseeding | None:
    """None if the drive stays as it is. Raises Conflict if user data should stay that nobody knows."""
    if want.cloud_init is None or not any(change.kind.startswith("cloud_init") for change in changes(now, want)):
        return None
    old = _volume(before, storage)
    home = home_of(want, storage) if old is None else old.storagePoolLookupByVolume()
    data = data_after(now.cloud_init or CloudInit(), want.cloud_init)
    kept = now.cloud_init.user_data if now.cloud_init else None
    if kept is not None and data.user_data == kept:
        data = replace(data, user_data=_user_data(now.name, kept, old, storage))
    return Reseeding(data=data, home=home)


def _volume(xml: str, storage: Storage) -> libvirt.virStorageVol | None:
    drive = seed_node(Domain(xml).root)
    path = None if drive is None else source_path(drive)
    return storage.by_path(path) if path else None


def _user_data(vm: str, kept: str, old: libvirt.virStorageVol | None, storage: Storage) -> str:
    """Of what stays only a fingerprint is kept; the text is in the old image."""
    text = user_data_in(storage.content_of(old)) if old else None
    if text is None or not is_fingerprint_of(kept, text):
        raise Conflict(
            f"what VM {vm!r} has of cloud-init's user data cannot be read or is not what it was given; "
            "say cloud_init.user_data as well"
        )
    return text
