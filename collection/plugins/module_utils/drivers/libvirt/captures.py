# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a domain's metadata tells of the templates that were made of it.

A volume cannot say who made it, so its VM does: from what, for whom, and when the volume was last written. A volume of
that name that was written at another time is not the one that was made. A VM that goes back to a snapshot tells what it
told then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ...vm.templates import WantedTemplate
from . import names
from .faults import unless
from .sdk import libvirt


@dataclass(frozen=True, kw_only=True)
class Captured:
    """One template; a text that is empty was not given."""

    pool: str
    volume: str
    disk: str
    snapshot: str = ""
    made_for: str = ""
    #: When the whole template was last written, as ``written`` says; None while it is made under its own name.
    made: str | None = None

    def is_wanted(self, want: WantedTemplate, disk: str) -> bool:
        asked = (want.volume, disk, want.snapshot or "", want.made_for or self.made_for)
        return asked == (self.volume, self.disk, self.snapshot, self.made_for)


def written(volume: libvirt.virStorageVol) -> str:
    """When the volume was last written; of libvirt's mock always the same."""
    told = ElementTree.fromstring(volume.XMLDesc(0))  # noqa: S314  # libvirt wrote it
    return told.findtext("target/timestamps/mtime", "")


def written_file(path: Path) -> str:
    """The same of a file of this host, as libvirt would tell it."""
    seconds, nanoseconds = divmod(path.stat().st_mtime_ns, 10**9)
    return f"{seconds}.{nanoseconds:09d}" if nanoseconds else str(seconds)


def of(domain: libvirt.virDomain, pool: str, volume: str) -> Captured | None:
    """What the domain tells of this template."""
    return next((one for one in _all(domain) if (one.pool, one.volume) == (pool, volume)), None)


def note(domain: libvirt.virDomain, told: Captured) -> None:
    _write(domain, [*_others(domain, told), told])


def forget(domain: libvirt.virDomain, told: Captured) -> None:
    _write(domain, _others(domain, told))


def _others(domain: libvirt.virDomain, told: Captured) -> list[Captured]:
    return [one for one in _all(domain) if (one.pool, one.volume) != (told.pool, told.volume)]


def _all(domain: libvirt.virDomain) -> list[Captured]:
    kind, kept = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_CONFIG
    xml = unless(libvirt.VIR_ERR_NO_DOMAIN_METADATA, lambda: domain.metadata(kind, names.CAPTURES_NAMESPACE, kept))
    return [] if xml is None else list(read(ElementTree.fromstring(xml)))  # noqa: S314  # libvirt's


def read(captures: Element) -> Iterable[Captured]:
    """What the element in the metadata tells."""
    known = {field.name for field in fields(Captured)}
    for node in captures:
        yield Captured(**{name: value for name, value in node.attrib.items() if name in known})


def _write(domain: libvirt.virDomain, captures: list[Captured]) -> None:
    root = Element("captures")
    for one in captures:
        SubElement(root, "template", {name: value for name, value in asdict(one).items() if value is not None})
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT, ElementTree.tostring(root, encoding="unicode"), names.CAPTURES_PREFIX,
        names.CAPTURES_NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_CONFIG,
    )  # fmt: skip
