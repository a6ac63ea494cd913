# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A storage pool with the guest's template in it, as whoever runs a KVM host would prepare it.

Deploying never comes here. What reads guests' consoles and removes left-overs does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import libvirt

from tools.libvirtd import URI

T = TypeVar("T")

TEMPLATE_VOLUME = "guest.qcow2"
UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
)
SERIAL_SUFFIX = "-serial.log"


@contextmanager
def host() -> Iterator[libvirt.virConnect]:
    """A connection to this machine's libvirt."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are raised; stderr is for people
    connection = libvirt.open(URI)
    try:
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True)
class GuestPool:
    """A directory pool of this name, in a place that the user who runs QEMU can reach, unlike somebody's home."""

    name: str

    @property
    def target(self) -> str:
        return f"/var/lib/libvirt/images/{self.name}"

    @property
    def template(self) -> str:
        """The template's path, for the API."""
        return f"{self.target}/{TEMPLATE_VOLUME}"

    def prepare(self, image: Path) -> None:
        """Afterwards the pool is there, runs, and holds the image as its template. libvirtd makes the directory."""
        with host() as connection:
            pool = self._find(connection) or connection.storagePoolDefineXML(self._xml())
            _activate(pool)
            if _found(pool.storageVolLookupByName, TEMPLATE_VOLUME) is None:
                _upload(connection, pool, image)

    def consoles(self) -> dict[str, str]:
        """What each guest has written to its serial line, by the VM's uuid."""
        with host() as connection:
            logs = [volume for volume in self._volumes(connection) if volume.name().endswith(SERIAL_SUFFIX)]
            return {volume.name().removesuffix(SERIAL_SUFFIX): _download(connection, volume) for volume in logs}

    def domains(self) -> dict[str, bool]:
        """Names of the guests with a disk in the pool, and whether they run."""
        with host() as connection:
            return {domain.name(): bool(domain.isActive()) for domain in self._domains(connection)}

    def volumes(self) -> set[str]:
        """What is in the pool beside the template."""
        with host() as connection:
            return {volume.name() for volume in self._volumes(connection)} - {TEMPLATE_VOLUME}

    def power_off_guests(self) -> int:
        """Pull the plug of the pool's guests. Says how many ran."""
        with host() as connection:
            running = [domain for domain in self._domains(connection) if domain.isActive()]
            for domain in running:
                domain.destroy()
            return len(running)

    def remove(self) -> list[str]:
        """Remove the pool, what is in it, and its guests, whatever state they are in. Names what was removed."""
        removed = []
        with host() as connection:
            for domain in self._domains(connection):
                removed.append(f"VM {domain.name()}")
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(UNDEFINE)
            if pool := self._find(connection):
                removed.append(f"storage pool {self.name}")
                _remove(pool)
        return removed

    def _find(self, connection: libvirt.virConnect) -> libvirt.virStoragePool | None:
        return _found(connection.storagePoolLookupByName, self.name)

    def _volumes(self, connection: libvirt.virConnect) -> list[libvirt.virStorageVol]:
        pool = connection.storagePoolLookupByName(self.name)
        # libvirt refuses to look while it makes a volume there; then it tells what it knows.
        with contextlib.suppress(libvirt.libvirtError):
            pool.refresh()
        return list(pool.listAllVolumes())

    def _domains(self, connection: libvirt.virConnect) -> list[libvirt.virDomain]:
        return [domain for domain in connection.listAllDomains() if f"{self.target}/" in domain.XMLDesc()]

    def _xml(self) -> str:
        pool = ElementTree.Element("pool", type="dir")
        ElementTree.SubElement(pool, "name").text = self.name
        target = ElementTree.SubElement(pool, "target")
        ElementTree.SubElement(target, "path").text = self.target
        ElementTree.SubElement(ElementTree.SubElement(target, "permissions"), "mode").text = "0711"
        return ElementTree.tostring(pool, encoding="unicode")


def _activate(pool: libvirt.virStoragePool) -> None:
    if not pool.isActive():
        pool.build()
        pool.create()
    pool.refresh()


def _remove(pool: libvirt.virStoragePool) -> None:
    _activate(pool)
    for volume in pool.listAllVolumes():
        volume.delete()
    pool.destroy()
    pool.delete()
    pool.undefine()


def _upload(connection: libvirt.virConnect, pool: libvirt.virStoragePool, image: Path) -> None:
    size = image.stat().st_size
    volume = ElementTree.Element("volume")
    ElementTree.SubElement(volume, "name").text = TEMPLATE_VOLUME
    ElementTree.SubElement(volume, "capacity").text = str(size)
    target = ElementTree.SubElement(volume, "target")
    ElementTree.SubElement(target, "format", type="qcow2")
    ElementTree.SubElement(ElementTree.SubElement(target, "permissions"), "mode").text = "0644"
    made = pool.createXML(ElementTree.tostring(volume, encoding="unicode"))
    stream = connection.newStream()
    made.upload(stream, 0, size)
    with image.open("rb") as content:
        stream.sendAll(lambda _stream, wanted, rest: rest.read(wanted), content)
    stream.finish()
    pool.refresh()


def _download(connection: libvirt.virConnect, volume: libvirt.virStorageVol) -> str:
    parts: list[bytes] = []
    stream = connection.newStream()
    volume.download(stream, 0, 0)
    stream.recvAll(lambda _stream, part, into: into.append(part), parts)
    stream.finish()
    return b"".join(parts).decode(errors="replace")


def _found(look_up: Callable[[str], T], name: str) -> T | None:
    """What the SDK's look-up finds, or None."""
    with contextlib.suppress(libvirt.libvirtError):
        return look_up(name)
    return None
