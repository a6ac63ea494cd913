# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a create that was killed left, told from what may be the disks of a VM.

A VM has the same identity, and its disks have the same names, at every host; and hosts may share a pool. So a volume
that bears the identity of a VM that is not here says nothing. While a host makes a VM, a marker of this host's stands
in each pool in which it makes volumes: where one still stands, they are what was left. One that stands beside a VM that
is here is all that was left, of a create that was killed at its very end. So is an image of data for cloud-init that
is not in such a VM's drive, of a change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ..errors import Conflict
from . import names
from .devices import Domain
from .sdk import libvirt
from .storage import Storage


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """Volumes that bear the identity of a VM that is not here."""

    #: What a killed create of this host left, and its markers last, so that what is left of it is known till the end.
    ours: tuple[libvirt.virStorageVol, ...]
    #: Names of all others.
    unclear: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(volume.name() for volume in self.ours))

    def refuse_unclear(self, name: str) -> None:
        if self.unclear:
            raise Conflict(
                f"VM {name!r} is not at this hypervisor, which has volumes of it: {', '.join(self.unclear)}. They may "
                "be its disks at another host that shares the pool and are left alone; whoever knows that nobody needs "
                "them removes them with virsh vol-delete"
            )


def leftovers(storage: Storage, identity: str, host: Callable[[], str]) -> Leftovers:
    """``host`` gives the host's own uuid."""
    ours: list[libvirt.virStorageVol] = []
    unclear: list[str] = []
    for volumes in storage.owned_by_pool(identity):
        makers = {names.making_host(identity, volume.name()) for volume in volumes} - {None}
        if makers == {host()}:
            ours.extend(sorted(volumes, key=lambda volume: names.making_host(identity, volume.name()) is not None))
        else:
            unclear.extend(volume.name() for volume in volumes)
    return Leftovers(ours=tuple(ours), unclear=tuple(sorted(unclear)))


def markers(storage: Storage, identity: str, host: Callable[[], str]) -> list[libvirt.virStorageVol]:
    """The markers of this host."""
    found = storage.owned(identity)
    makers = {name: names.making_host(identity, name) for name in found}
    return [found[name] for name, maker in makers.items() if maker is not None and maker == host()]


def stale_seeds(storage: Storage, told: Domain, used: Collection[str]) -> list[libvirt.virStorageVol]:
    """The images of data for cloud-init that were made for a VM that is here, and are not among the files that it uses.

    Only those beside files that it does use: in another pool they may be another host's. And none if somebody took the
    VM's own out of its drive.
    """
    seeds, in_drive = [], False
    for volumes in storage.owned_by_pool(told.uuid):
        images = [volume for volume in volumes if names.is_seed_volume(told.uuid, volume.name())]
        in_drive |= any(volume.path() in used for volume in images)
        if any(volume.path() in used for volume in volumes):
            seeds += [volume for volume in images if volume.path() not in used]
    is_out = told.kept is not None and told.kept.cloud_init is not None and not in_drive
    return [] if is_out else seeds
