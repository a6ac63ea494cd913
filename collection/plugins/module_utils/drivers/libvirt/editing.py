# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's XML with some of it as wanted, and everything else, also what others added, as it is."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ...vm.definition import BootDevice, Disk, DiskBus, Graphics, Nic, VmDefinition
from . import names
from .devices import Domain, cdrom_node, disk_nodes, nic_nodes, seed_node
from .domain_xml import (
    BOOT_DEVICES,
    KEPT,
    TARGETS,
    Source,
    add_cdrom,
    add_disk,
    add_nic,
    add_screen,
    add_seed,
    add_serial,
    add_text,
    kept_text,
    letters,
    only,
    put_in,
    seed_bus,
    set_cpu,
    set_log,
    set_memory,
)


def xml_of(element: Element) -> str:
    return ElementTree.tostring(element, encoding="unicode")


class Editor:
    """Works on the XML of one domain; ``xml`` gives what became of it."""

    def __init__(self, xml: str, said: VmDefinition):
        self._domain = Domain(xml)
        self._said = said

    @property
    def root(self) -> Element:
        return self._domain.root

    @property
    def xml(self) -> str:
        return xml_of(self.root)

    @property
    def _devices(self) -> Element:
        return only(self.root, "devices")

    def keep(self, kept: VmDefinition) -> None:
        """What the metadata, description, processors and memory say; the name is libvirt's to change."""
        set_memory(self.root, kept)
        set_cpu(self.root, kept.cpu)
        description = self.root.find("description")
        if description is not None:
            self.root.remove(description)
        if kept.description:
            add_text(self.root, "description", kept.description)
        node = self.root.find(f"metadata/{KEPT}")
        if node is not None:
            node.text = kept_text(kept.to_dict())

    def boot_from(self, order: tuple[BootDevice, ...]) -> None:
        os = self.root.find("os")
        if os is None:
            return
        for node in os.findall("boot"):
            os.remove(node)
        for device in order:
            SubElement(os, "boot", dev=BOOT_DEVICES[device])

    def add_disk(self, disk: Disk, source: Source) -> Element:
        """Gives the new disk's element."""
        if disk.bus is DiskBus.SCSI and self.root.find("devices/controller[@type='scsi']") is None:
            SubElement(self._devices, "controller", type="scsi", model="virtio-scsi")
        add_disk(self._devices, disk, source, self._free_target(disk.bus))
        return self._devices.findall("disk")[-1]

    def remove_disk(self, name: str) -> None:
        node = disk_nodes(self._domain, self._said).get(name)
        if node is not None:
            self._devices.remove(node)

    def _free_target(self, bus: DiskBus) -> str:
        taken = {node.get("dev") for node in self.root.iterfind("devices/disk/target")}
        return next(name for name in letters(TARGETS[bus]) if name not in taken)

    def set_nic(self, nic: Nic) -> Element:
        """Add the card, or have it as wanted in its old place; gives its element."""
        old = nic_nodes(self._domain).get(nic.name)
        add_nic(self._devices, nic)
        new = self._devices.findall("interface")[-1]
        if old is not None:
            for kept in (old.find("address"), old.find("mac") if nic.mac is None else None):
                if kept is not None:
                    new.append(kept)
            self._devices.remove(new)
            self._devices.insert(list(self._devices).index(old), new)
            self._devices.remove(old)
        return new

    def remove_nic(self, name: str) -> None:
        node = nic_nodes(self._domain).get(name)
        if node is not None:
            self._devices.remove(node)

    def put_disc(self, source: Source | None) -> Element:
        """Into the drive, which is added if there is none; None leaves it empty. Gives the drive's element."""
        drive = cdrom_node(self.root)
        if drive is None:
            add_cdrom(self._devices, names.CDROM, source, self._free_target(DiskBus.SATA))
            return self._devices.findall("disk")[-1]
        put_in(drive, source)
        return drive

    def show(self, graphics: Graphics) -> None:
        """With the screen or without. A graphics card that is there stays: guests may have been set up for it."""
        screens = self._devices.findall("graphics[@type='vnc']")
        if graphics is Graphics.VNC and not screens:
            add_screen(self._devices)
        for screen in screens if graphics is Graphics.NONE else ():
            self._devices.remove(screen)

    def log_to(self, path: str | None) -> None:
        """What comes by the first serial line; libvirt shows that one as a console, too."""
        lines = self._devices.findall("serial")[:1] + self._devices.findall("console/target[@type='serial']/..")[:1]
        for line in lines:
            set_log(line, path)
        if path and not lines:
            add_serial(self._devices, path)

    def put_seed(self, source: Source, want: VmDefinition) -> Element:
        """cloud-init's image into its drive, which is added if there is none. Gives the drive's element."""
        drive = seed_node(self.root)
        if drive is None:
            bus = seed_bus(want)
            add_seed(self._devices, bus, source, self._free_target(bus))
            return self._devices.findall("disk")[-1]
        put_in(drive, source)
        return drive
