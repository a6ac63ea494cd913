# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's domain XML in the words of the VM definition.

What the XML can tell is told from the XML, so that changes made behind our back are seen. The rest (templates, tags)
comes from the definition that was kept in the domain's metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol, TypeVar
from xml.etree.ElementTree import Element

from ...vm.definition import (
    BootDevice,
    Console,
    Cpu,
    Disk,
    DiskBus,
    DiskFormat,
    Graphics,
    InvalidDefinition,
    Nic,
    NicModel,
    VmDefinition,
)
from . import names
from .devices import Domain, attribute_of, cdrom_node, disk_nodes, file_name, firmware_of, nic_nodes, source_path
from .domain_xml import BOOT_DEVICES

Word = TypeVar("Word", bound=StrEnum)

_BOOT = {theirs: ours for ours, theirs in BOOT_DEVICES.items()}
MIB = 1024 * 1024
_MIB_PER_UNIT = {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Bytes of a disk: what its guest sees, and what it takes up now."""

    capacity: int
    allocation: int


class Volumes(Protocol):
    """What storage knows of the file behind a disk; None where it knows nothing."""

    def usage(self, path: str) -> Usage | None: ...
    def pool_of(self, path: str) -> str | None: ...


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


def as_it_runs(live: Domain, kept: VmDefinition, volumes: Volumes) -> VmDefinition:
    """What the guest that runs is, in the words that the configuration keeps: its own are of the time of its start."""
    return _told(live, kept, volumes)


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
        cpu=_cpu(root, said.cpu),
        **_memory(root, said.memory_max_mib),
        firmware=firmware_of(root),
        disks=tuple(_disks(domain, said, volumes)),
        nics=tuple(_nics(domain)),
        boot_order=_boot_order(root, said.boot_order),
        cdrom=_cdrom(root, said.cdrom),
        cloud_init=said.cloud_init if domain.has_seed else None,
        console=_console(domain),
    )


def _description(root: Element, said: str) -> str:
    """XML loses line ends and outer blanks, so what was said counts where the words are the same."""
    told = root.findtext("description", "")
    return said if told.split() == said.split() else told


def _cpu(root: Element, said: Cpu) -> Cpu:
    """Where no limit was said, the limit of the XML is the number: a change of it by hand is a change of that."""
    topology, vcpu = root.find("cpu/topology"), root.find("vcpu")
    cores = 1 if topology is None else int(topology.get("cores", "1"))
    most = int(root.findtext("vcpu", "1"))
    if said.max_count is None or vcpu is None:
        return Cpu(count=most, cores_per_socket=cores)
    return Cpu(count=int(vcpu.get("current", most)), cores_per_socket=cores, max_count=most)


def _memory(root: Element, said: int | None) -> dict[str, int]:
    """The fields that tell of memory, as it is with processors."""
    most = _memory_mib(root, "memory")
    if said is None:
        return {"memory_mib": most}
    return {"memory_mib": _memory_mib(root, "currentMemory") or most, "memory_max_mib": most}


def _memory_mib(root: Element, tag: str) -> int:
    memory = root.find(tag)
    return 0 if memory is None else int(int(memory.text or "0") * _MIB_PER_UNIT[memory.get("unit", "KiB")])


def _disks(domain: Domain, said: VmDefinition, volumes: Volumes) -> Iterator[Disk]:
    ours = {names.disk_volume(domain.uuid, disk): disk for disk in said.disks}
    for name, node in disk_nodes(domain, said).items():
        bus, image_format = _word(DiskBus, node, "target", "bus"), _word(DiskFormat, node, "driver", "type")
        path = source_path(node) or ""
        if bus is None or image_format is None:
            continue
        disk = ours.get(file_name(node))
        if disk is None or disk.name != name:
            disk = Disk(name=name, pool=volumes.pool_of(path) or "default")
        usage = volumes.usage(path)
        size_mib = usage.capacity // MIB if usage else None
        yield replace(disk, bus=bus, format=image_format, size_mib=size_mib)


def disk_use(domain: Domain, definition: VmDefinition, volumes: Volumes) -> dict[str, int]:
    """What the disks take up, in MiB, by their names."""
    nodes = disk_nodes(domain, definition)
    usages = {name: volumes.usage(source_path(node) or "") for name, node in nodes.items()}
    return {name: -(-usage.allocation // MIB) for name, usage in usages.items() if usage}


def _nics(domain: Domain) -> Iterator[Nic]:
    for name, node in nic_nodes(domain).items():
        kind, model = node.get("type", ""), _word(NicModel, node, "model", "type")
        if kind not in ("network", "bridge") or model is None:
            continue
        tag = node.find("vlan/tag")
        yield Nic(
            name=name,
            network=attribute_of(node, "source", "network"),
            bridge=attribute_of(node, "source", "bridge") if kind == "bridge" else None,
            mac=attribute_of(node, "mac", "address"),
            model=model,
            vlan=None if tag is None else int(tag.get("id", "0")),
        )


def _boot_order(root: Element, said: tuple[BootDevice, ...]) -> tuple[BootDevice, ...]:
    """libvirt adds the disk where nothing is said."""
    told = tuple(_BOOT[node.get("dev", "")] for node in root.findall("os/boot") if node.get("dev") in _BOOT)
    return said if told == (said or (BootDevice.DISK,)) else told


def _cdrom(root: Element, said: str | None) -> str | None:
    """None where there is no drive; an empty one has the empty text."""
    node = cdrom_node(root)
    if node is None:
        return None
    path = source_path(node) or ""
    return said if path and said in (path, PurePosixPath(path).name) else path


def _console(domain: Domain) -> Console:
    graphics = domain.root.find("devices/graphics[@type='vnc']")
    return Console(
        graphics=Graphics.NONE if graphics is None else Graphics.VNC, serial_log=domain.serial_log is not None
    )


def _word(words: type[Word], node: Element, tag: str, attribute: str) -> Word | None:
    value = attribute_of(node, tag, attribute)
    return words(value) if value in set(words) else None
