# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks in libvirt's storage pools: looking up what a definition names, making volumes, and removing them."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath

from ..errors import Busy, NotFound, Unsupported
from . import names
from .domain_xml import Source
from .faults import asking, unless
from .images import image_of_file, is_readable_file, likely
from .observation import Usage
from .pools import directory_of, file_name, is_only_shown, names_in, unseen_in, volume_in, volumes_called, volumes_in
from .sdk import libvirt
from .volume_xml import HEADER_BYTES, Image, backing_of, image_of, image_of_header

MIB = 1024 * 1024

#: What a volume is -> whether it is a block device. Other kinds (network, directory) are no disks for us.
_IS_BLOCK = {libvirt.VIR_STORAGE_VOL_FILE: False, libvirt.VIR_STORAGE_VOL_BLOCK: True}
#: A pool is not read again while one of its volumes is being made; seconds to wait for that.
REFRESH_PATIENCE = 20


class Storage:
    """The pools of one connection."""

    def __init__(self, connection: libvirt.virConnect, *, local: bool):
        self._connection = connection
        #: The hypervisor's files are this host's files.
        self._local = local

    def pools(self) -> list[libvirt.virStoragePool]:
        """The pools that are active; none for a hypervisor without storage."""
        active = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
        return unless(libvirt.VIR_ERR_NO_SUPPORT, lambda: self._connection.listAllStoragePools(active)) or []

    def pool(self, name: str) -> libvirt.virStoragePool:
        """An active pool. Raises NotFound, which names those that there are."""
        active = {pool.name(): pool for pool in self.pools()}
        if name not in active:
            there = ", ".join(sorted(active)) or "none"
            raise NotFound(f"there is no active storage pool {name!r}; active pools: {there}{self._inactive(name)}")
        return active[name]

    def _inactive(self, name: str) -> str:
        """An inactive pool is not started: that may mount things, and is its administrator's to decide."""
        found = unless(libvirt.VIR_ERR_NO_STORAGE_POOL, lambda: self._connection.storagePoolLookupByName(name))
        return f" ({name!r} is defined but inactive; start it with virsh pool-start)" if found else ""

    def active(self, name: str) -> libvirt.virStoragePool | None:
        """The pool, if there is one of this name that is active."""
        found = unless(libvirt.VIR_ERR_NO_STORAGE_POOL, lambda: self._connection.storagePoolLookupByName(name))
        return found if found and found.isActive() else None

    def path_of(self, pool: str, volume: str) -> str | None:
        """Where a volume is; None if it is not there."""
        home = self.active(pool)
        found = unless(libvirt.VIR_ERR_NO_STORAGE_VOL, lambda: home.storageVolLookupByName(volume)) if home else None
        return found.path() if found else None

    def is_gone(self, pool: str | None, volume: str | None) -> bool:
        """Whether it is a volume that is not in its pool, which can be asked."""
        return bool(pool and volume and self.active(pool) and self.path_of(pool, volume) is None)

    def is_fixed(self, path: str) -> bool:
        """Whether it is a volume of a pool that libvirt only shows."""
        volume = self.by_path(path)
        return volume is not None and is_only_shown(volume.storagePoolLookupByVolume())

    def real(self, path: str) -> str:
        """The path by which files are compared. Links can be followed on this host only."""
        return os.path.realpath(path) if self._local else os.path.normpath(path)

    def spellings(self, path: str) -> tuple[str, ...]:
        """What a file is compared by: elsewhere also its name, as one file may have several paths there."""
        return (self.real(path),) if self._local else (self.real(path), file_name(path))

    def backing_of(self, volume: libvirt.virStorageVol) -> str | None:
        """Path of what the volume stands on; None also for one that is gone. Raises DriverError for one of which nobody
        knows it."""
        with asking(f"looking at what volume {volume.name()!r} stands on"):
            xml = unless(libvirt.VIR_ERR_NO_STORAGE_VOL, lambda: volume.XMLDesc(0))
        return backing_of(xml) if xml else None

    def usage(self, path: str) -> Usage | None:
        volume = self.by_path(path)
        return self.usage_of(volume) if volume else None

    def usage_of(self, volume: libvirt.virStorageVol) -> Usage | None:
        """None for a volume that is gone."""
        info = unless(libvirt.VIR_ERR_NO_STORAGE_VOL, volume.info)
        return Usage(capacity=info[1], allocation=info[2]) if info else None

    def pool_of(self, path: str) -> str | None:
        volume = self.by_path(path)
        return volume.storagePoolLookupByVolume().name() if volume else None

    def by_path(self, path: str) -> libvirt.virStorageVol | None:
        """The volume of an active pool that is at this path."""
        try:
            return self._connection.storageVolLookupByPath(path)
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_SUPPORT):
                return None
            raise

    def find_image(self, name: str, pools: list[libvirt.virStoragePool]) -> tuple[Image, libvirt.virStorageVol | None]:
        """An image by absolute path, or by its volume's name in one of the pools.

        Its volume is None if it is a file of this host outside of all pools. Raises NotFound.
        """
        volume = self._volume(name, pools) or self._volume_after_refresh(name, pools)
        if volume is not None:
            return self._image(volume), volume
        if self._local and name.startswith("/") and is_readable_file(name):
            return image_of_file(Path(name)), None
        where = "in any active storage pool" if name.startswith("/") else f"in pool {_listed(pools)}"
        raise NotFound(f"there is no image {name!r} {where}; {likely(name, self._images(name, pools))}")

    def _images(self, name: str, pools: list[libvirt.virStoragePool]) -> set[str]:
        """What could have been meant, as it would be said: volumes that were not made for a VM."""
        paths = name.startswith("/")
        found: set[str] = set()
        for pool in self.pools() if paths else pools:
            images = [volume for volume in names_in(pool) if not names.is_of_a_vm(volume)]
            found.update(str(directory_of(pool) / image) if paths else image for image in images)
        return found

    def _volume(self, name: str, pools: list[libvirt.virStoragePool]) -> libvirt.virStorageVol | None:
        if name.startswith("/"):
            return self.by_path(name)
        for pool in pools:
            volume = volume_in(pool, name)
            if volume is not None:
                return volume
        return None

    def _volume_after_refresh(self, name: str, pools: list[libvirt.virStoragePool]) -> libvirt.virStorageVol | None:
        """libvirt does not see a file that was put into a pool's directory before it reads the pool again."""
        if name.startswith("/"):
            pools = [pool for pool in self.pools() if directory_of(pool) == PurePosixPath(name).parent]
        for pool in pools:
            self.refresh(pool)
        return self._volume(name, pools) if pools else None

    def _image(self, volume: libvirt.virStorageVol) -> Image:
        """What libvirt says of the volume, and what the image's own header says: libvirt tells of no data file."""
        image = image_of(volume.XMLDesc(0))
        seen = self._seen(volume, image)
        return seen if seen and (seen.refers or seen.format is not image.format) else image

    def _seen(self, volume: libvirt.virStorageVol, image: Image) -> Image | None:
        """None: libvirt hands out no content. That is its mock, and volumes that are no disks for us either."""
        if self._local and is_readable_file(image.path):
            return image_of_file(Path(image.path))
        header = unless(libvirt.VIR_ERR_NO_SUPPORT, partial(self._read, volume, HEADER_BYTES))
        return None if header is None else image_of_header(image.path, header, image.capacity or 0)

    def _read(self, volume: libvirt.virStorageVol, size: int) -> bytes:
        """So many bytes of the volume's beginning, by libvirt's hand: less if it has less."""
        content = io.BytesIO()
        stream = self._connection.newStream(0)
        volume.download(stream, 0, size, 0)
        with _finishing(stream):
            stream.recvAll(lambda _stream, part, rest: rest.write(part), content)
        return content.getvalue()

    def content_of(self, volume: libvirt.virStorageVol) -> bytes:
        """All of it: for small ones."""
        return self._read(volume, volume.info()[1])

    def refresh_around(self, path: str) -> None:
        """Have libvirt see what is beside a file of a pool, like the older parts of a log."""
        volume = self.by_path(path)
        if volume is not None:
            self.refresh(volume.storagePoolLookupByVolume())

    def refresh_what_was_put_in(self) -> None:
        """Have libvirt see what somebody has put into a pool by hand, as far as it is cheap to see that here: this
        host's directories are listed. What is a VM's own by its name is not waited for."""
        for pool in self.pools() if self._local else ():
            if any(not names.is_of_a_vm(name) for name in unseen_in(pool)):
                self.refresh(pool)

    def refresh(self, pool: libvirt.virStoragePool) -> None:
        """Have libvirt read the pool again. Raises Busy if it does nothing but make volumes there."""
        deadline = time.monotonic() + REFRESH_PATIENCE
        while True:
            try:
                with asking(f"refreshing storage pool {pool.name()!r}"):
                    pool.refresh(0)
                return
            except Busy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def grow(self, volume: libvirt.virStorageVol, capacity: int) -> None:
        """Afterwards the volume has at least so many bytes; a copy has its template's size at first."""
        if volume.info()[1] < capacity:
            volume.resize(capacity, 0)

    def source_of(self, volume: libvirt.virStorageVol) -> Source:
        kind = volume.info()[0]
        if kind not in _IS_BLOCK:
            raise Unsupported(f"volume {volume.name()!r} is neither a file nor a block device, and cannot be a disk")
        return Source(path=volume.path(), block=_IS_BLOCK[kind])

    def fill(self, volume: libvirt.virStorageVol, content: bytes) -> None:
        """Write the content into a volume of its size."""
        stream = self._connection.newStream(0)
        volume.upload(stream, 0, len(content), 0)
        with _finishing(stream):
            stream.sendAll(lambda _stream, size, rest: rest.read(size), io.BytesIO(content))

    def owned(self, identity: str) -> dict[str, libvirt.virStorageVol]:
        """The volumes that were made for a VM, in all active pools, by name."""
        found = [volume for volumes in self.owned_by_pool(identity) for volume in volumes]
        return dict(sorted((volume.name(), volume) for volume in found))

    def volumes(self) -> Iterator[libvirt.virStorageVol]:
        """Those of all active pools."""
        for pool in self.pools():
            yield from volumes_in(pool)

    def volumes_called(self, fits: Callable[[str], bool]) -> Iterator[libvirt.virStorageVol]:
        """Those of all active pools whose names are so."""
        for pool in self.pools():
            yield from volumes_called(pool, fits)

    def owned_by_pool(self, identity: str) -> list[list[libvirt.virStorageVol]]:
        """The same, of each pool that has some."""
        start = names.prefix(identity)
        found = (volumes_called(pool, lambda name: name.startswith(start)) for pool in self.pools())
        return [volumes for volumes in found if volumes]

    def refuse_out_of_reach(self, paths: Iterable[str]) -> None:
        """Raise NotFound for a file that is in no active pool: it would stay when its VM is removed."""
        reached = {directory_of(pool) for pool in self.pools()}
        for path in paths:
            directory = PurePosixPath(path).parent
            if directory not in reached and self.by_path(path) is None:
                raise NotFound(f"{path} is in no active storage pool and cannot be removed; {self._way_to(directory)}")

    def _way_to(self, directory: PurePosixPath) -> str:
        for pool in self._connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE):
            if directory_of(pool) == directory:
                return f"its pool {pool.name()!r} is inactive; start it with virsh pool-start"
        return f"define and start a pool for {directory}"

    def remove(self, volume: libvirt.virStorageVol) -> None:
        """Afterwards the volume is not there; one that is missing is a removed one."""
        unless(libvirt.VIR_ERR_NO_STORAGE_VOL, lambda: volume.delete(0))

    def remove_file(self, path: str) -> None:
        """Afterwards the file or block device, which is in a pool, is not there. libvirt may not have seen it yet."""
        volume = self._volume(path, []) or self._volume_after_refresh(path, [])
        if volume is not None:
            self.remove(volume)

    def refresh_owned(self, identity: str) -> None:
        """Have libvirt read each pool again that has a volume of the VM."""
        for volumes in self.owned_by_pool(identity):
            self.refresh(volumes[0].storagePoolLookupByVolume())

    def remove_owned(self, identity: str) -> None:
        for volumes in self.owned_by_pool(identity):
            for volume in volumes:
                self.remove(volume)


@contextmanager
def _finishing(stream: libvirt.virStream) -> Iterator[None]:
    """Afterwards all of the stream has arrived."""
    try:
        yield
        stream.finish()
    except libvirt.libvirtError:
        # The stream has failed already, and this only tells libvirt that we know.
        with suppress(libvirt.libvirtError):
            stream.abort()
        raise


def _listed(pools: list[libvirt.virStoragePool]) -> str:
    return " or ".join(repr(pool.name()) for pool in pools) or "(there is no pool)"
