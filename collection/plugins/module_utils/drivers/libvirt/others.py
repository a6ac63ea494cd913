# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the other domains of a host need: their files, and their templates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from . import captures, names
from .devices import Domain
from .faults import unless
from .pools import directory_of
from .sdk import libvirt
from .storage import Storage

#: A domain as it is kept; as it runs, with all that its disks stand on.
_KEPT, _RUNNING = libvirt.VIR_DOMAIN_XML_INACTIVE, 0


@dataclass(frozen=True)
class Needs:
    """Of which VM something is, and what it is to it; what is known by its name alone is in no directory."""

    used: dict[str, str]
    templates: dict[str, str]

    def reason(self, spellings: tuple[str, ...]) -> str | None:
        """Why the file is needed; None if no domain needs it."""
        for path in spellings:
            if path in self.used:
                has = (
                    "has it as well; it goes with the last of them"
                    if path.startswith("/")
                    else "has a file of that name"
                )
                return f"VM {self.used[path]!r} {has}"
        names_of = (*spellings, PurePosixPath(spellings[0]).name)
        owner = next((self.templates[path] for path in names_of if path in self.templates), None)
        return f"it is a template that VM {owner!r} names" if owner else None


def needs(connection: libvirt.virConnect, storage: Storage, identity: str | None = None) -> Needs:
    """Of all domains; of the one with this identity only the templates that it names, and that were made of it. It
    asks for the XML of each, so it is for what is rare."""
    found = Needs({}, {})
    for domain in connection.listAllDomains(0):
        for told in _told(domain):
            if told.uuid != identity:
                found.used.update((path, told.name) for path in _files(told, storage))
            found.templates.update((path, told.name) for path in _named_templates(told, storage))
            found.templates.update((path, told.name) for path in _made_templates(told, storage))
    return found


def running(connection: libvirt.virConnect, storage: Storage, identity: str) -> dict[str, str]:
    """What the other domains that run have, and all that it stands on, by each of its spellings: by whom."""
    found: dict[str, str] = {}
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        xml = unless(libvirt.VIR_ERR_NO_DOMAIN, partial(domain.XMLDesc, _RUNNING))
        if xml and domain.UUIDString() != identity:
            told = Domain(xml)
            found.update((path, told.name) for path in _files(told, storage))
    return found


def _told(domain: libvirt.virDomain) -> Iterator[Domain]:
    """Nothing of a domain that is gone."""
    for flags in (_KEPT, _RUNNING) if domain.isActive() else (_KEPT,):
        xml = unless(libvirt.VIR_ERR_NO_DOMAIN, lambda flags=flags: domain.XMLDesc(flags))
        if xml:
            yield Domain(xml)


def _files(told: Domain, storage: Storage) -> Iterator[str]:
    """Also discs, and as far as libvirt tells it what disks stand on."""
    for source in (one for node in told.root.iterfind("devices/disk") for one in node.iter("source")):
        path = place_of(source, storage)
        if path:
            yield from storage.spellings(path)


def place_of(source: Element, storage: Storage) -> str | None:
    """Where a disk is that is at this host; None for one that is elsewhere, or not there."""
    pool, volume = source.get("pool"), source.get("volume")
    if pool and volume:
        return storage.path_of(pool, volume)
    return source.get("file") or source.get("dev")


def _named_templates(told: Domain, storage: Storage) -> Iterator[str]:
    for name in (disk.template for disk in told.kept.disks if disk.template) if told.kept else ():
        yield from storage.spellings(name) if name.startswith("/") else (name,)


def _made_templates(told: Domain, storage: Storage) -> Iterator[str]:
    root = told.root.find(f"metadata/{{{names.CAPTURES_NAMESPACE}}}captures")
    for one in () if root is None else captures.read(root):
        pool = storage.active(one.pool)
        yield from storage.spellings(str(directory_of(pool) / one.volume)) if pool else (one.volume,)
