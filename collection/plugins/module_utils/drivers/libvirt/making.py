# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the disks and images of one VM, and taking them back."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ...vm.definition import CloudInit, Firmware, VmDefinition
from . import names
from .cloud_init import seed_image
from .domain_xml import Media, Source
from .planning import Plan, PlannedDisk
from .pools import directory_of, keeps_files
from .sdk import libvirt
from .storage import Storage
from .volume_xml import volume_xml

#: A marker holds nothing; a pool of block devices makes it as small as it can.
MARKER_BYTES = 512


class Making:
    """Remembers every volume that it made, so that exactly those can be taken back."""

    def __init__(self, storage: Storage, identity: str, in_use: Callable[[], Collection[str]] = tuple):
        """``in_use`` gives the paths of files that a domain has: they are not taken back."""
        self._storage = storage
        self._identity = identity
        self._in_use = in_use
        self._made: list[libvirt.virStorageVol] = []
        self._left: list[str] = []
        self._markers: list[libvirt.virStorageVol] = []

    def claim(self, plan: Plan, host: str) -> None:
        """Say, in each pool in which the plan makes volumes, that this host makes the VM; see leftovers.py."""
        pools = [planned.pool for planned in plan.disks] + ([plan.home] if plan.home else [])
        for pool in {pool.UUIDString(): pool for pool in pools}.values():
            xml = volume_xml(names.making_volume(self._identity, host), "raw", MARKER_BYTES)
            self._markers.append(pool.createXML(xml, 0))

    @property
    def is_taken_over(self) -> bool:
        """Somebody took what was made so far for leftovers, and has it now."""
        return any(self._storage.usage_of(marker) is None for marker in self._markers)

    def finish(self) -> None:
        """The VM is there. A marker that cannot be removed now goes with it."""
        for marker in self._markers:
            self._removed(marker)

    def media(self, want: VmDefinition, plan: Plan) -> Media:
        """Make all that the plan says."""
        return Media(
            disks={planned.disk.name: self.disk(planned) for planned in plan.disks},
            cdrom=plan.cdrom,
            seed=self._seed(want, plan),
            serial_log=self._serial_log(want, plan),
            nvram=self._nvram(want, plan),
        )

    def disk(self, planned: PlannedDisk) -> Source:
        volume = self._volume(planned.pool, planned.xml(self._identity), planned.template_volume, copy=planned.copies)
        self._storage.grow(volume, planned.capacity or 0)
        return self._storage.source_of(volume)

    def _volume(
        self,
        pool: libvirt.virStoragePool,
        xml: str,
        template: libvirt.virStorageVol | None = None,
        *,
        copy: bool = False,
    ) -> libvirt.virStorageVol:
        volume = pool.createXMLFrom(xml, template, 0) if copy else pool.createXML(xml, 0)
        self._made.append(volume)
        return volume

    def _seed(self, want: VmDefinition, plan: Plan) -> Source | None:
        if want.cloud_init is None or plan.home is None:
            return None
        return self.seed(want, want.cloud_init, plan.home, names.seed_volume(self._identity))

    def seed(self, want: VmDefinition, data: CloudInit, home: libvirt.virStoragePool, name: str) -> Source:
        """An image of cloud-init's data."""
        content = seed_image(want, data)
        volume = self._volume(home, volume_xml(name, "raw", len(content)))
        self._storage.fill(volume, content)
        return self._storage.source_of(volume)

    def _serial_log(self, want: VmDefinition, plan: Plan) -> str | None:
        return self.serial_log(plan.home) if want.console.serial_log and plan.home else None

    def serial_log(self, home: libvirt.virStoragePool) -> str:
        """An empty volume, so that libvirt knows the file and removes it; what logs the line appends to it."""
        name = names.serial_volume(self._identity)
        self._volume(home, volume_xml(name, "raw", 0))
        return str(directory_of(home) / name)

    def _nvram(self, want: VmDefinition, plan: Plan) -> str | None:
        """libvirt makes the file of the firmware's template when the VM starts, and removes it with the domain."""
        if want.firmware is not Firmware.UEFI or plan.home is None or not keeps_files(plan.home):
            return None
        return str(directory_of(plan.home) / names.nvram_file(self._identity))

    def take_back(self) -> tuple[str, ...]:
        """Remove what was made; gives the names of what could not be removed, or is in use. Markers go last."""
        if self._is_known_to_be_taken_over():
            return ()
        left = [volume.name() for volume in self._made if not self._removed(volume)]
        left += [marker.name() for marker in self._markers if left or not self._removed(marker)]
        return (*sorted(left), *self._left)

    def leave(self, what: str) -> None:
        """Name what is left and is no volume."""
        self._left.append(what)

    def _is_known_to_be_taken_over(self) -> bool:
        try:
            return self.is_taken_over
        except libvirt.libvirtError:
            return False

    def _removed(self, volume: libvirt.virStorageVol) -> bool:
        try:
            if volume.path() in self._in_use():
                return False
            self._storage.remove(volume)
        except libvirt.libvirtError:
            return False
        return True
