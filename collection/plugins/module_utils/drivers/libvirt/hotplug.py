# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing a domain while it runs: which changes its guest can take, and making them live and in the configuration."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ...vm.changes import Change
from ...vm.definition import DiskBus, VmDefinition
from ...vm.hot import can_be_hot
from ..errors import TimedOut
from .changing import ChangePlan
from .editing import Editor, xml_of
from .making import Making
from .observation import Domain, cdrom_node, disk_nodes
from .sdk import libvirt
from .storage import MIB

#: The change is made to the guest that runs and to its configuration.
BOTH = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
LIVE = libvirt.VIR_DOMAIN_XML_SECURE
#: Seconds for a guest to give back or take memory, and to let a device go.
BALLOON_PATIENCE, DETACH_PATIENCE, LOOK_EVERY = 20, 10, 0.2
KIB_PER_MIB = 1024


def hot_paths(domain: libvirt.virDomain, now: VmDefinition, changes: tuple[Change, ...]) -> frozenset[str]:
    """Paths of the changes that the domain takes as it runs."""
    told = Domain(domain.XMLDesc(LIVE))
    fitting = [change for change in changes if can_be_hot(change, now) and _fits(told, change)]
    plugged = [change for change in fitting if _takes_port(change)]
    if len(plugged) > free_ports(told.root):
        fitting = [change for change in fitting if change not in plugged]
    return frozenset(change.path for change in fitting)


def _fits(told: Domain, change: Change) -> bool:
    match change.kind:
        case "disks[]":
            return bool(change.after["bus"] == DiskBus.VIRTIO or (change.after["bus"] == DiskBus.SCSI and _scsi(told)))
        case "nics[].network" | "nics[].bridge":
            # From a network to a bridge it is another kind of card for libvirt.
            return change.before is not None
        case "cdrom":
            return cdrom_node(told.root) is not None
    return True


def _scsi(told: Domain) -> bool:
    return told.root.find("devices/controller[@type='scsi'][@model='virtio-scsi']") is not None


def _takes_port(change: Change) -> bool:
    return change.kind == "nics[]" or (change.kind == "disks[]" and change.after["bus"] == DiskBus.VIRTIO)


def free_ports(root: Element) -> int:
    """How many devices can be plugged into the domain's PCI ports. Machines without ports have a bus of 32 places."""
    ports = root.findall("devices/controller[@type='pci'][@model='pcie-root-port']")
    if not ports:
        return 32 - len(root.findall(".//address[@type='pci']"))
    taken = {int(node.get("bus", "0"), 0) for node in root.findall(".//address[@type='pci']")}
    return sum(int(port.get("index", "0")) not in taken for port in ports)


def change(domain: libvirt.virDomain, plan: ChangePlan, making: Making) -> None:
    """Make the changes to the guest. What was plugged in before one fails is taken out again."""
    plugged: list[str] = []
    editor = Editor(domain.XMLDesc(LIVE), plan.now)
    try:
        for planned in plan.added:
            _plug(domain, xml_of(editor.add_disk(planned.disk, making.disk(planned))), plugged)
        for nic in plan.nics:
            if nic.name in plan.new_nics:
                _plug(domain, xml_of(editor.set_nic(nic)), plugged)
            else:
                domain.updateDeviceFlags(xml_of(editor.set_nic(nic)), BOTH)
        if plan.changes_disc:
            domain.updateDeviceFlags(xml_of(editor.put_disc(plan.disc)), BOTH)
        _resize(domain, plan)
    except BaseException:
        _unplug(domain, plugged)
        raise


def _plug(domain: libvirt.virDomain, xml: str, plugged: list[str]) -> None:
    domain.attachDeviceFlags(xml, BOTH)
    plugged.append(xml)


def _unplug(domain: libvirt.virDomain, plugged: list[str]) -> None:
    """A guest lets a device go when it likes; its volume is not removed under it (libvirt refuses, and it is named)."""
    for xml in reversed(plugged):
        with suppress(libvirt.libvirtError):
            domain.detachDeviceFlags(xml, BOTH)
    targets = [node for xml in plugged for node in ElementTree.fromstring(xml).iter("target")]  # noqa: S314  # ours
    _wait(lambda: not any(_has_target(domain, node.get("dev")) for node in targets), DETACH_PATIENCE)


def _has_target(domain: libvirt.virDomain, device: str | None) -> bool:
    root = Domain(domain.XMLDesc(LIVE)).root
    return any(node.get("dev") == device for node in root.iterfind("devices/disk/target"))


def _resize(domain: libvirt.virDomain, plan: ChangePlan) -> None:
    """What the guest has of its disks, processors and memory."""
    nodes = disk_nodes(Domain(domain.XMLDesc(LIVE)), plan.now)
    for disk in plan.grown:
        target = nodes[disk.name].find("target")
        device = "" if target is None else target.get("dev", "")
        domain.blockResize(device, (disk.size_mib or 0) * MIB, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    if plan.want.cpu.count != plan.now.cpu.count:
        domain.setVcpusFlags(plan.want.cpu.count, BOTH)
    if plan.want.memory_mib != plan.now.memory_mib:
        _set_memory(domain, plan.want.memory_mib, plan.now.memory_mib)


def _set_memory(domain: libvirt.virDomain, memory_mib: int, before: int) -> None:
    """The guest gives memory back, or takes it, by its balloon driver; without one nothing happens."""
    domain.setMemoryFlags(memory_mib * KIB_PER_MIB, BOTH)
    if not _wait(lambda: _memory_kib(domain) == memory_mib * KIB_PER_MIB, BALLOON_PATIENCE):
        domain.setMemoryFlags(before * KIB_PER_MIB, BOTH)
        raise TimedOut(
            f"the guest of VM {domain.name()!r} did not come to {memory_mib} MiB of memory within {BALLOON_PATIENCE} "
            "seconds; it may have no balloon driver. Powered off, the VM can be changed"
        )


def _memory_kib(domain: libvirt.virDomain) -> int:
    return int(domain.memoryStats().get("actual", 0))


def _wait(done: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_EVERY)
    return True
