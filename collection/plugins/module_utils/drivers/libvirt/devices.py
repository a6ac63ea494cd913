# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's XML, and its devices by the names that they have in the definition's words."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import PurePosixPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ...vm.definition import Firmware, VmDefinition
from ...vm.schema import InvalidData, parse
from . import names
from .domain_xml import KEPT


@dataclass(frozen=True)
class Domain:
    """A domain as its XML describes it."""

    xml: str

    @cached_property
    def root(self) -> Element:
        return ElementTree.fromstring(self.xml)  # noqa: S314  # libvirt wrote it

    @property
    def uuid(self) -> str:
        return self.root.findtext("uuid", "")

    @property
    def name(self) -> str:
        return self.root.findtext("name", "")

    @property
    def managed(self) -> bool:
        return self.root.find(f"metadata/{KEPT}") is not None

    @property
    def is_being_removed(self) -> bool:
        """Somebody has begun to remove it, and did not come to the end."""
        return self.root.find(f"metadata/{{{names.REMOVING_NAMESPACE}}}removing") is not None

    @cached_property
    def kept(self) -> VmDefinition | None:
        """The definition in the metadata; None if there is none that can be read. A newer one may say more."""
        try:
            return parse(VmDefinition, json.loads(self.root.findtext(f"metadata/{KEPT}", "")), tolerant=True)
        except (ValueError, InvalidData):
            return None

    @property
    def serial_log(self) -> str | None:
        log = self.root.find("devices/serial/log")
        return None if log is None else log.get("file")

    @property
    def has_flash(self) -> bool:
        """The firmware keeps its variables in a file beside the disks."""
        return firmware_of(self.root) is Firmware.UEFI

    @property
    def macs(self) -> tuple[str, ...]:
        found = (attribute_of(node, "mac", "address") for node in self.root.iterfind("devices/interface"))
        return tuple(mac.lower() for mac in found if mac)

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of what was made for the VM: its disks, cloud-init's image, the serial log, UEFI's variables."""
        paths = [*map(source_path, self.root.iterfind("devices/disk")), self.serial_log, self.root.findtext("os/nvram")]
        return tuple(path for path in paths if path and PurePosixPath(path).name.startswith(names.prefix(self.uuid)))

    @property
    def has_seed(self) -> bool:
        return seed_node(self.root) is not None


def firmware_of(root: Element) -> Firmware:
    os = root.find("os")
    efi = os is not None and (os.get("firmware") == "efi" or os.find("loader[@type='pflash']") is not None)
    return Firmware.UEFI if efi else Firmware.BIOS


def disk_nodes(domain: Domain, said: VmDefinition) -> dict[str, Element]:
    """The domain's disks by their names in the definition's words; cloud-init's image is none of them."""
    by_volume = {names.disk_volume(domain.uuid, disk): disk.name for disk in said.disks}
    disks = [node for node in domain.root.findall("devices/disk[@device='disk']") if not is_seed(node)]
    nodes = [node for node in disks if source_path(node)]
    ours = [by_volume.get(file_name(node)) or _alias(node, names.DISK) for node in nodes]
    return _by_name(domain, nodes, ours, ("disk", [attribute_of(node, "target", "dev") for node in nodes]))


def nic_nodes(domain: Domain) -> dict[str, Element]:
    """The domain's network cards by their names in the definition's words."""
    nodes = domain.root.findall("devices/interface")
    ours = [_alias(node, names.NIC) for node in nodes]
    return _by_name(domain, nodes, ours, ("nic", [(attribute_of(node, "mac", "address") or "") for node in nodes]))


def _by_name(
    domain: Domain, nodes: list[Element], ours: list[str | None], theirs: tuple[str, list[str | None]]
) -> dict[str, Element]:
    """What somebody else put into a VM of ours never has a name of ours, also not of a device that is missing now. In
    a VM of somebody else's devices are named by their places, as a definition does."""
    stem, marks = theirs
    found: dict[str, Element] = {}
    for index, (node, name, mark) in enumerate(zip(nodes, ours, marks, strict=True)):
        other = names.foreign(mark or str(index)) if domain.managed else f"{stem}{index}"
        found[name if name and name not in found else _unlike(other, {*found, *ours})] = node
    return found


def _unlike(name: str, taken: Collection[str | None]) -> str:
    numbered = (f"{name}-{number}" for number in count(2))
    return next(free for free in chain((name,), numbered) if free not in taken)


def is_seed(node: Element) -> bool:
    return node.find(f"alias[@name='{names.SEED}']") is not None


def source_path(node: Element) -> str | None:
    source = node.find("source")
    return None if source is None else source.get("file") or source.get("dev")


def file_name(node: Element) -> str:
    return PurePosixPath(source_path(node) or "").name


def aliased(root: Element) -> dict[str, Element]:
    """Disks and cards by the aliases that we gave them."""
    nodes = [*root.findall("devices/disk"), *root.findall("devices/interface")]
    told = ((attribute_of(node, "alias", "name"), node) for node in nodes)
    return {alias: node for alias, node in told if alias and alias.startswith((names.DISK, names.NIC))}


def seed_node(root: Element) -> Element | None:
    """The drive that cloud-init's image is in."""
    return root.find(f"devices/disk/alias[@name='{names.SEED}']/..")


def cdrom_node(root: Element) -> Element | None:
    """The drive that the definition's ISO image is in."""
    drives = root.findall("devices/disk[@device='cdrom']")
    return next((node for node in drives if not is_seed(node)), None)


def attribute_of(node: Element, tag: str, attribute: str) -> str | None:
    child = node.find(tag)
    return None if child is None else child.get(attribute)


def _alias(node: Element, stem: str) -> str | None:
    alias = attribute_of(node, "alias", "name") or ""
    return alias.removeprefix(stem) if alias.startswith(stem) else None
