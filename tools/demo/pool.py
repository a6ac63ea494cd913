# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's storage pool, as whoever runs a KVM host would prepare it: a directory, and the template in it.

Deploying never comes here. What reads consoles and removes left-overs does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import libvirt

from tools.demo.place import POOL
from tools.libvirtd import URI

T = TypeVar("T")

#: Reachable for the user that runs QEMU, unlike a checkout in somebody's home. libvirtd makes it.
TARGET = f"/var/lib/libvirt/images/{POOL}"
TEMPLATE_VOLUME = "guest.qcow2"
TEMPLATE_PATH = f"{TARGET}/{TEMPLATE_VOLUME}"


@contextmanager
def connection() -> Iterator[libvirt.virConnect]:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are raised; stderr is for people
    opened = libvirt.open(URI)
    try:
        yield opened
    finally:
        opened.close()


def prepare(host: libvirt.virConnect, image: Path) -> None:
    """Afterwards the pool is there, runs, and holds the template."""
    pool = _find(host.storagePoolLookupByName, POOL) or host.storagePoolDefineXML(_pool_xml())
    if not pool.isActive():
        pool.build()
        pool.create()
    pool.refresh()
    volume = _find(pool.storageVolLookupByName, TEMPLATE_VOLUME)
    if volume is None:
        _upload(host, pool, image)


def consoles(host: libvirt.virConnect) -> dict[str, str]:
    """What each guest has written to its serial line, by the VM's uuid."""
    pool = host.storagePoolLookupByName(POOL)
    pool.refresh()
    logs = [volume for volume in pool.listAllVolumes() if volume.name().endswith("-serial.log")]
    return {volume.name().removesuffix("-serial.log"): _download(host, volume) for volume in logs}


def power_off_guests(host: libvirt.virConnect) -> int:
    """Pull the plug of the demo's guests. Says how many ran."""
    running = [domain for domain in _domains(host) if domain.isActive()]
    for domain in running:
        domain.destroy()
    return len(running)


def remove(host: libvirt.virConnect) -> list[str]:
    """Remove the demo's guests, disks and pool, whatever state they are in. Names what was removed."""
    removed = []
    for domain in _domains(host):
        removed.append(f"VM {domain.name()}")
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    pool = _find(host.storagePoolLookupByName, POOL)
    if pool is not None:
        removed.append(f"pool {POOL}")
        _remove_pool(pool)
    return removed


def _remove_pool(pool: libvirt.virStoragePool) -> None:
    if not pool.isActive():
        pool.build()
        pool.create()
    pool.refresh()
    for volume in pool.listAllVolumes():
        volume.delete()
    pool.destroy()
    pool.delete()
    pool.undefine()


def _domains(host: libvirt.virConnect) -> list[libvirt.virDomain]:
    """The domains that have a disk in the pool."""
    return [domain for domain in host.listAllDomains() if f"{TARGET}/" in domain.XMLDesc()]


def _pool_xml() -> str:
    pool = ElementTree.Element("pool", type="dir")
    ElementTree.SubElement(pool, "name").text = POOL
    target = ElementTree.SubElement(pool, "target")
    ElementTree.SubElement(target, "path").text = TARGET
    ElementTree.SubElement(ElementTree.SubElement(target, "permissions"), "mode").text = "0711"
    return ElementTree.tostring(pool, encoding="unicode")


def _upload(host: libvirt.virConnect, pool: libvirt.virStoragePool, image: Path) -> None:
    content = image.read_bytes()
    volume = ElementTree.Element("volume")
    ElementTree.SubElement(volume, "name").text = TEMPLATE_VOLUME
    ElementTree.SubElement(volume, "capacity").text = str(len(content))
    target = ElementTree.SubElement(volume, "target")
    ElementTree.SubElement(target, "format", type="qcow2")
    ElementTree.SubElement(ElementTree.SubElement(target, "permissions"), "mode").text = "0644"
    made = pool.createXML(ElementTree.tostring(volume, encoding="unicode"))
    stream = host.newStream()
    made.upload(stream, 0, len(content))
    stream.sendAll(lambda _stream, wanted, rest: rest.read(wanted), image.open("rb"))
    stream.finish()
    pool.refresh()


def _download(host: libvirt.virConnect, volume: libvirt.virStorageVol) -> str:
    parts: list[bytes] = []
    stream = host.newStream()
    volume.download(stream, 0, 0)
    stream.recvAll(lambda _stream, part, into: into.append(part), parts)
    stream.finish()
    return b"".join(parts).decode(errors="replace")


def _find(look_up: Callable[[str], T], name: str) -> T | None:
    """What the SDK's look-up finds, or None."""
    with contextlib.suppress(libvirt.libvirtError):
        return look_up(name)
    return None
