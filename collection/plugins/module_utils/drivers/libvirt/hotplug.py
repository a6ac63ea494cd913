# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing a domain while it runs: which changes its guest can take, and making them live and in the configuration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from xml.etree.ElementTree import Element

from ...vm.changes import Change
from ...vm.definition import DiskBus, VmDefinition
from ...vm.hot import can_be_hot
from ..errors import TimedOut
from . import names
from .changing import ChangePlan, part_of
from .devices import Domain, aliased, cdrom_node, disk_nodes, nic_nodes, seed_node
from .domain_xml import Media
from .editing import Editor, xml_of
from .making import Making
from .sdk import libvirt
from .storage import MIB

#: The change is made to the guest that runs and to its configuration.
BOTH = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
#: To the guest alone.
NOW = libvirt.VIR_DOMAIN_AFFECT_LIVE
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
        case "disks[]" | "nics[]" if _still_has(told, change):
            return False
        case "disks[]":
            return bool(change.after["bus"] == DiskBus.VIRTIO or (change.after["bus"] == DiskBus.SCSI and _scsi(told)))
        case "nics[].network" | "nics[].bridge":
            # From a network to a bridge it is another kind of card for libvirt.
            return change.before is not None and part_of(change.path) in nic_nodes(told)
        case "cdrom":
            return cdrom_node(told.root) is not None
        case "cloud_init.user_data" | "cloud_init.meta_data" | "cloud_init.network_config":
            # On other buses than SATA the drive is a disk, in which nothing can be changed.
            drive = seed_node(told.root)
            return drive is not None and drive.get("device") == "cdrom"
    return True


def _still_has(told: Domain, change: Change) -> bool:
    """A guest that did not let go of a device has it until it is powered off."""
    stem = names.DISK if change.kind == "disks[]" else names.NIC
    return stem + part_of(change.path) in aliased(told.root)


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


@contextmanager
def changed(domain: libvirt.virDomain, plan: ChangePlan, made: Media, making: Making) -> Iterator[None]:
    """The guest has the changes in the block: what it may refuse comes first, what cannot be undone last. ``made`` are
    the added disks, and cloud-init's new image.

    If the block or a change fails, the guest gets back what it had, as far as it lets go of what it got: ``making`` is
    told of cards that stay, and keeps the volumes of disks that do. The configuration is the caller's to put back.
    """
    xml = domain.XMLDesc(LIVE)
    editor = Editor(xml, plan.now)
    with ExitStack() as undo:
        if plan.want.memory_mib != plan.now.memory_mib:
            undo.callback(_try, domain.setMemoryFlags, plan.now.memory_mib * KIB_PER_MIB, NOW)
            _set_memory(domain, plan.want.memory_mib)
        for old, new in _replaced(Domain(xml), plan, editor, made):
            undo.callback(_try, domain.updateDeviceFlags, old, NOW)
            domain.updateDeviceFlags(new, BOTH)
        if plan.want.cpu.count != plan.now.cpu.count:
            undo.callback(_try, domain.setVcpusFlags, plan.now.cpu.count, NOW)
            domain.setVcpusFlags(plan.want.cpu.count, BOTH)
        undo.callback(_unplug, domain, plan, making)
        for new in _added(plan, editor, made):
            domain.attachDeviceFlags(new, BOTH)
        _grow(domain, plan)
        yield
        undo.pop_all()


def _replaced(before: Domain, plan: ChangePlan, editor: Editor, made: Media) -> Iterator[tuple[str, str]]:
    """Cards on another network and the drive with another disc, each with what was in its place."""
    cards, drive = nic_nodes(before), cdrom_node(before.root)
    for nic in plan.nics:
        if nic.name not in plan.new_nics:
            yield xml_of(cards[nic.name]), xml_of(editor.set_nic(nic))
    if plan.changes_disc and drive is not None:
        yield xml_of(drive), xml_of(editor.put_disc(plan.disc))
    seed = seed_node(before.root)
    if made.seed and seed is not None:
        yield xml_of(seed), xml_of(editor.put_seed(made.seed, plan.want))


def _added(plan: ChangePlan, editor: Editor, made: Media) -> Iterator[str]:
    for planned in plan.added:
        yield xml_of(editor.add_disk(planned.disk, made.disks[planned.disk.name]))
    for nic in plan.nics:
        if nic.name in plan.new_nics:
            yield xml_of(editor.set_nic(nic))


def _try(call: Callable[..., object], *args: object) -> None:
    with suppress(libvirt.libvirtError):
        call(*args)


def _unplug(domain: libvirt.virDomain, plan: ChangePlan, making: Making) -> None:
    """A guest lets a device go when it likes, and may never do."""
    with suppress(libvirt.libvirtError):
        for node in _plugged(domain, plan).values():
            _try(domain.detachDeviceFlags, xml_of(node), NOW)
        _wait(lambda: not _plugged(domain, plan), DETACH_PATIENCE)
        for alias in _plugged(domain, plan).keys() & {names.NIC + name for name in plan.new_nics}:
            making.leave(f"network card {alias.removeprefix(names.NIC)!r} in the running guest")


def _plugged(domain: libvirt.virDomain, plan: ChangePlan) -> dict[str, Element]:
    """What the guest has of the added disks and cards, by alias."""
    root = Domain(domain.XMLDesc(LIVE)).root
    added = {names.DISK + planned.disk.name for planned in plan.added} | {names.NIC + name for name in plan.new_nics}
    return {alias: node for alias, node in aliased(root).items() if alias in added}


def files_of(domain: libvirt.virDomain) -> frozenset[str]:
    """Paths of what was made for the domain and is in its guest or its configuration: nothing keeps libvirt from
    removing them under it."""
    both = (domain.XMLDesc(LIVE), domain.XMLDesc(LIVE | libvirt.VIR_DOMAIN_XML_INACTIVE))
    return frozenset(path for xml in both for path in Domain(xml).files)


def _grow(domain: libvirt.virDomain, plan: ChangePlan) -> None:
    nodes = disk_nodes(Domain(domain.XMLDesc(LIVE)), plan.now)
    for disk in plan.grown:
        target = nodes[disk.name].find("target")
        device = "" if target is None else target.get("dev", "")
        domain.blockResize(device, (disk.size_mib or 0) * MIB, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def _set_memory(domain: libvirt.virDomain, memory_mib: int) -> None:
    """The guest gives memory back, or takes it, by its balloon driver; without one nothing happens."""
    domain.setMemoryFlags(memory_mib * KIB_PER_MIB, BOTH)
    if not _wait(lambda: _memory_kib(domain) == memory_mib * KIB_PER_MIB, BALLOON_PATIENCE):
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
