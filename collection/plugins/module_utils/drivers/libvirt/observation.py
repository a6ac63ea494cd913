# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's domain XML in the words of the VM definition.

What the XML can tell is told from the XML, so that changes made behind our back are seen. The rest (templates, tags)
comes from the definition that was kept in the domain's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath
from typing import Protocol, TypeVar
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ...vm.definition import (
    BootDevice,
    Console,
    Cpu,
    Disk,
    DiskBus,
    DiskFormat,
    Firmware,
    Graphics,
    InvalidDefinition,
    Nic,
    NicModel,
    VmDefinition,
)
from ...vm.schema import InvalidData, parse
from . import names
from .domain_xml import BOOT_DEVICES, KEPT

Word = TypeVar("Word", bound=StrEnum)

_BOOT = {theirs: ours for ours, theirs in BOOT_DEVICES.items()}
_MIB_PER_UNIT = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}


class Volumes(Protocol):
    """What storage knows of the file behind a disk; None where it knows nothing."""

    def size_mib(self, path: str) -> int | None: ...
    def pool_of(self, path: str) -> str | None: ...


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
    def managed(self) -> bool:
        return self.root.find(f"metadata/{KEPT}") is not None

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
        return _firmware(self.root) is Firmware.UEFI

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of what was made for the VM: its disks, cloud-init's image, the serial log."""
        paths = [*map(source_path, self.root.iterfind("devices/disk")), self.serial_log]
        return tuple(path for path in paths if path and PurePosixPath(path).name.startswith(names.prefix(self.uuid)))

    @property
    def has_seed(self) -> bool:
        return self.root.find(f"devices/disk/alias[@name='{names.SEED}']") is not None


def definition_of(domain: Domain, volumes: Volumes) -> VmDefinition | None:
    """What the domain is; None for one that was not made by Millwright and does not fit the definition's rules.

    A device that has no name in the definition's words (a bus or card that we do not offer) is left out.
    """
    kept = domain.kept
    if domain.managed and kept is None:
        return None
    said = kept or VmDefinition(name="", memory_mib=0)
    told = _told(domain, said, volumes)
    return told if kept else _within_rules(told)


def _within_rules(told: VmDefinition) -> VmDefinition | None:
    try:
        return VmDefinition.from_dict(told.to_dict())
    except InvalidDefinition:
        return None


def _told(domain: Domain, said: VmDefinition, volumes: Volumes) -> VmDefinition:
    root = domain.root
    return replace(
        said,
        name=root.findtext("name", ""),
        uuid=domain.uuid,
        description=_description(root, said.description),
        cpu=_cpu(root),
        memory_mib=_memory_mib(root),
        firmware=_firmware(root),
        disks=tuple(_disks(domain, said, volumes)),
        nics=tuple(_nics(root)),
        boot_order=_boot_order(root, said.boot_order),
        cdrom=_cdrom(root, said.cdrom),
        cloud_init=said.cloud_init if domain.has_seed else None,
        console=_console(domain),
    )


def _description(root: Element, said: str) -> str:
    """XML loses line ends and outer blanks, so what was said counts where the words are the same."""
    told = root.findtext("description", "")
    return said if told.split() == said.split() else told


def _cpu(root: Element) -> Cpu:
    topology = root.find("cpu/topology")
    cores = 1 if topology is None else int(topology.get("cores", "1"))
    return Cpu(count=int(root.findtext("vcpu", "1")), cores_per_socket=cores)


def _memory_mib(root: Element) -> int:
    memory = root.find("memory")
    return 0 if memory is None else int(int(memory.text or "0") * _MIB_PER_UNIT[memory.get("unit", "KiB")])


def _firmware(root: Element) -> Firmware:
    os = root.find("os")
    efi = os is not None and (os.get("firmware") == "efi" or os.find("loader[@type='pflash']") is not None)
    return Firmware.UEFI if efi else Firmware.BIOS


def _disks(domain: Domain, said: VmDefinition, volumes: Volumes) -> Iterator[Disk]:
    by_volume = {names.disk_volume(domain.uuid, disk): disk for disk in said.disks}
    for index, node in enumerate(domain.root.findall("devices/disk[@device='disk']")):
        bus, image_format = _word(DiskBus, node, "target", "bus"), _word(DiskFormat, node, "driver", "type")
        path = source_path(node)
        if bus is None or image_format is None or path is None or _is_seed(node):
            continue
        ours = by_volume.get(PurePosixPath(path).name)
        disk = ours or Disk(name=_alias(node, names.DISK) or f"disk{index}", pool=volumes.pool_of(path) or "default")
        yield replace(disk, bus=bus, format=image_format, size_mib=volumes.size_mib(path))


def _is_seed(node: Element) -> bool:
    return node.find(f"alias[@name='{names.SEED}']") is not None


def source_path(node: Element) -> str | None:
    source = node.find("source")
    return None if source is None else source.get("file") or source.get("dev")


def _nics(root: Element) -> Iterator[Nic]:
    for index, node in enumerate(root.findall("devices/interface")):
        kind, model = node.get("type", ""), _word(NicModel, node, "model", "type")
        if kind not in ("network", "bridge") or model is None:
            continue
        tag = node.find("vlan/tag")
        yield Nic(
            name=_alias(node, names.NIC) or f"nic{index}",
            network=_attribute(node, "source", "network"),
            bridge=_attribute(node, "source", "bridge") if kind == "bridge" else None,
            mac=_attribute(node, "mac", "address"),
            model=model,
            vlan=None if tag is None else int(tag.get("id", "0")),
        )


def _boot_order(root: Element, said: tuple[BootDevice, ...]) -> tuple[BootDevice, ...]:
    """libvirt adds the disk where nothing is said."""
    told = tuple(_BOOT[node.get("dev", "")] for node in root.findall("os/boot") if node.get("dev") in _BOOT)
    return said if told == (said or (BootDevice.DISK,)) else told


def _cdrom(root: Element, said: str | None) -> str | None:
    for node in root.findall("devices/disk[@device='cdrom']"):
        path = source_path(node)
        if path and not _is_seed(node):
            return said if said in (path, PurePosixPath(path).name) else path
    return None


def _console(domain: Domain) -> Console:
    graphics = domain.root.find("devices/graphics[@type='vnc']")
    return Console(
        graphics=Graphics.NONE if graphics is None else Graphics.VNC, serial_log=domain.serial_log is not None
    )


def _word(words: type[Word], node: Element, tag: str, attribute: str) -> Word | None:
    value = _attribute(node, tag, attribute)
    return words(value) if value in set(words) else None


def _attribute(node: Element, tag: str, attribute: str) -> str | None:
    child = node.find(tag)
    return None if child is None else child.get(attribute)


def _alias(node: Element, stem: str) -> str | None:
    alias = _attribute(node, "alias", "name") or ""
    return alias.removeprefix(stem) if alias.startswith(stem) else None
