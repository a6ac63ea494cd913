# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM definition as libvirt's domain XML. Values enter an element tree as data; no XML is ever pasted together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ...vm.definition import BootDevice, Cpu, Disk, DiskBus, Firmware, Graphics, Nic, VmDefinition
from . import names
from .features import Features

ElementTree.register_namespace("millwright", names.NAMESPACE)

#: Name of the element in the domain's metadata that holds the definition.
KEPT = f"{{{names.NAMESPACE}}}definition"

BOOT_DEVICES = {BootDevice.DISK: "hd", BootDevice.CDROM: "cdrom", BootDevice.NETWORK: "network"}
#: Bus -> how its target devices are called.
TARGETS = {DiskBus.VIRTIO: "vd", DiskBus.SCSI: "sd", DiskBus.SATA: "sd"}
#: A machine whose devices stand in ports of their own; how many libvirt's own devices take, and how many stay free.
PORTED_MACHINE, OWN_PORTS, SPARE_PORTS = "q35", 5, 4
#: Emulated processors have everything that emulation can do: the default lacks what current guests need.
CPU_MODES = {"kvm": "host-model", "qemu": "maximum"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a disk's content is."""

    path: str
    #: A block device of the host, not a file.
    block: bool = False


@dataclass(frozen=True, kw_only=True)
class Media:
    """What storage made or found for a definition."""

    #: By the disk's name.
    disks: dict[str, Source]
    cdrom: Source | None = None
    seed: Source | None = None
    serial_log: str | None = None
    #: Where UEFI is to keep its variables; None leaves it to libvirt, which names the file after the VM.
    nvram: str | None = None


def domain_xml(want: VmDefinition, media: Media, host: Features) -> str:
    """The domain that libvirt is to define."""
    domain = Element("domain", type=host.domain_type)
    add_text(domain, "name", want.name)
    add_text(domain, "uuid", want.identity)
    add_text(SubElement(domain, "metadata"), KEPT, kept_text(want.to_keep()))
    if want.description:
        add_text(domain, "description", want.description)
    set_memory(domain, want)
    set_cpu(domain, want.cpu)
    _add_cpu_mode(domain, host)
    _add_os(domain, want, media, host)
    SubElement(SubElement(domain, "features"), "acpi")
    devices = SubElement(domain, "devices")
    if host.machine == PORTED_MACHINE:
        _add_ports(devices, want)
    _add_devices(devices, want, media)
    return ElementTree.tostring(domain, encoding="unicode")


def kept_text(kept: dict[str, Any]) -> str:
    """Only ASCII, so that no XML tool changes a character of it."""
    return json.dumps(kept, sort_keys=True)


def set_memory(domain: Element, want: VmDefinition) -> None:
    """A guest that may get more has all of it from the start, and lends it to its host (the balloon)."""
    for tag, size in (("memory", want.memory_max_mib or want.memory_mib), ("currentMemory", want.memory_mib)):
        node = only(domain, tag)
        node.set("unit", "MiB")
        node.text = str(size)


def set_cpu(domain: Element, cpu: Cpu) -> None:
    most = max(cpu.count, cpu.max_count or 0)
    vcpu = only(domain, "vcpu")
    vcpu.attrib.pop("current", None)
    if most > cpu.count:
        vcpu.set("current", str(cpu.count))
    vcpu.text = str(most)
    # Processors that are listed one by one are those of the old number.
    for listed in domain.findall("vcpus"):
        domain.remove(listed)
    topology = only(only(domain, "cpu"), "topology")
    topology.attrib.clear()
    shape = {"sockets": most // cpu.cores_per_socket, "cores": cpu.cores_per_socket, "threads": 1}
    topology.attrib.update({key: str(value) for key, value in shape.items()})


def _add_cpu_mode(domain: Element, host: Features) -> None:
    if host.domain_type in CPU_MODES:
        only(domain, "cpu").set("mode", CPU_MODES[host.domain_type])


def _add_os(domain: Element, want: VmDefinition, media: Media, host: Features) -> None:
    os = SubElement(domain, "os")
    kind = add_text(os, "type", "hvm")
    if host.machine:
        kind.set("machine", host.machine)
    if want.firmware is Firmware.UEFI:
        os.set("firmware", "efi")
        SubElement(SubElement(os, "firmware"), "feature", enabled="no", name="secure-boot")
        if media.nvram:
            add_text(os, "nvram", media.nvram)
    for device in want.boot_order:
        SubElement(os, "boot", dev=BOOT_DEVICES[device])


def _add_ports(devices: Element, want: VmDefinition) -> None:
    """This machine has no more ports than are listed, and devices are plugged into those that are free."""
    SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
    for _port in range(len(want.disks) + len(want.nics) + OWN_PORTS + SPARE_PORTS):
        SubElement(devices, "controller", type="pci", model="pcie-root-port")


def _add_devices(devices: Element, want: VmDefinition, media: Media) -> None:
    free = {"vd": letters("vd"), "sd": letters("sd")}
    if any(disk.bus is DiskBus.SCSI for disk in want.disks):
        SubElement(devices, "controller", type="scsi", model="virtio-scsi")
    for disk in want.disks:
        add_disk(devices, disk, media.disks[disk.name], next(free[TARGETS[disk.bus]]))
    if media.cdrom:
        add_cdrom(devices, names.CDROM, media.cdrom, next(free["sd"]))
    if media.seed:
        bus = seed_bus(want)
        add_seed(devices, bus, media.seed, next(free[TARGETS[bus]]))
    for nic in want.nics:
        add_nic(devices, nic)
    add_serial(devices, media.serial_log)
    if len(want.name[: names.SOCKET_CHARACTERS].encode()) <= names.MAX_AGENT_BYTES:
        _add_agent_channel(devices)
    if want.console.graphics is Graphics.VNC:
        add_screen(devices)


def add_disk(devices: Element, disk: Disk, source: Source, target: str) -> None:
    node = _drive(devices, "disk", disk.format.value, source)
    SubElement(node, "target", dev=target, bus=disk.bus.value)
    SubElement(node, "alias", name=names.DISK + disk.name)


def add_cdrom(devices: Element, alias: str, source: Source | None, target: str) -> None:
    node = _drive(devices, "cdrom", "raw", source)
    SubElement(node, "target", dev=target, bus="sata")
    SubElement(node, "readonly")
    SubElement(node, "alias", name=alias)


def seed_bus(want: VmDefinition) -> DiskBus:
    """The bus of the boot disk: the guest can read that one. Kernels made for clouds have no drivers for SATA."""
    return want.disks[0].bus if want.disks else DiskBus.VIRTIO


def add_seed(devices: Element, bus: DiskBus, source: Source, target: str) -> None:
    """A disk that cannot be written, where there is such a thing: on SATA there is not."""
    if bus is DiskBus.SATA:
        add_cdrom(devices, names.SEED, source, target)
        return
    node = _drive(devices, "disk", "raw", source)
    SubElement(node, "target", dev=target, bus=bus.value)
    SubElement(node, "readonly")
    SubElement(node, "alias", name=names.SEED)


def _drive(devices: Element, device: str, image_format: str, source: Source | None) -> Element:
    """The format is always said: QEMU must never guess it from content that a guest can write."""
    node = SubElement(devices, "disk", type="file", device=device)
    SubElement(node, "driver", name="qemu", type=image_format)
    put_in(node, source)
    return node


def put_in(drive: Element, source: Source | None) -> None:
    """Without a source the drive is empty."""
    for old in drive.findall("source"):
        drive.remove(old)
    if source is not None:
        kind, attribute = ("block", "dev") if source.block else ("file", "file")
        drive.set("type", kind)
        SubElement(drive, "source", {attribute: source.path})


def add_nic(devices: Element, nic: Nic) -> None:
    kind, on = ("network", nic.network) if nic.network else ("bridge", nic.bridge)
    node = SubElement(devices, "interface", type=kind)
    if nic.mac:
        SubElement(node, "mac", address=nic.mac)
    SubElement(node, "source", {kind: on or ""})
    if nic.bridge and nic.vlan is not None:
        # Of the bridges of a host those of Open vSwitch know tags.
        SubElement(node, "virtualport", type="openvswitch")
    if nic.vlan is not None:
        SubElement(SubElement(node, "vlan"), "tag", id=str(nic.vlan))
    SubElement(node, "model", type=nic.model.value)
    SubElement(node, "alias", name=names.NIC + nic.name)


def add_serial(devices: Element, log: str | None) -> None:
    set_log(SubElement(devices, "serial", type="pty"), log)


def set_log(line: Element, log: str | None) -> None:
    """What is written to the line is appended to the file, and kept nowhere without one."""
    old = line.find("log")
    if old is not None and old.get("file") != log:
        line.remove(old)
        old = None
    if log and old is None:
        SubElement(line, "log", file=log, append="on")


def add_screen(devices: Element) -> None:
    """libvirt adds the graphics card that belongs to it."""
    SubElement(SubElement(devices, "graphics", type="vnc"), "listen", type="none")


def _add_agent_channel(devices: Element) -> None:
    """The line to an agent in the guest, which need not have one."""
    channel = SubElement(devices, "channel", type="unix")
    SubElement(channel, "target", type="virtio", name=names.AGENT_CHANNEL)


def only(parent: Element, tag: str) -> Element:
    """The element of this name below the parent, made if there is none."""
    found = parent.find(tag)
    return SubElement(parent, tag) if found is None else found


def add_text(parent: Element, tag: str, text: str) -> Element:
    node = SubElement(parent, tag)
    node.text = text
    return node


def letters(stem: str) -> Iterator[str]:
    """vda to vdz, then vdaa: target names that are free."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from (stem + letter for letter in alphabet)
    yield from (stem + first + second for first in alphabet for second in alphabet)
