# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What making a VM takes, found out before anything is made: pools, templates, images, networks, space."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

from ...vm.definition import Clone, Disk, DiskFormat, VmDefinition
from ..errors import InsufficientResources, InvalidTemplate, NotFound, Unsupported
from . import names
from .bridges import refuse_missing_bridges
from .domain_xml import Source
from .faults import unless
from .features import Features
from .images import is_disc
from .sdk import libvirt
from .storage import MIB, Storage
from .volume_xml import Image, volume_xml

#: Pool for the files of a VM that has no disk.
DEFAULT_POOL = Disk(size_mib=1).pool
#: What a file system allows for a file's name, less what libvirt appends to a VM's.
MAX_NAME_BYTES = 240
#: What the path of the socket of a guest's monitor leaves for the beginning of its name (names.SOCKET_CHARACTERS).
MAX_SOCKET_BYTES = 58


@dataclass(frozen=True, kw_only=True)
class PlannedDisk:
    """A disk, and all that storage needs to make it."""

    disk: Disk
    pool: libvirt.virStoragePool
    #: In bytes; None: as large as its template.
    capacity: int | None
    template: Image | None = None
    template_volume: libvirt.virStorageVol | None = None

    @property
    def copies(self) -> bool:
        return self.template is not None and self.disk.clone is Clone.FULL

    @property
    def needs(self) -> int:
        """Bytes that making it takes from the pool at once; an overlay or empty disk takes next to none."""
        return self.template.allocation if self.template and self.copies else 0

    def xml(self, identity: str) -> str:
        name = names.disk_volume(identity, self.disk)
        backing = None if self.copies else self.template
        return volume_xml(name, self.disk.format.value, self.capacity, backing)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that making a VM takes."""

    disks: tuple[PlannedDisk, ...]
    cdrom: Source | None
    #: Where cloud-init's image, the serial log and UEFI's variables are kept: with the first disk. None for a VM
    #: without disks that has none of the first two.
    home: libvirt.virStoragePool | None


def plan(want: VmDefinition, storage: Storage) -> Plan:
    """Raises what making the VM would: NotFound, InvalidTemplate, InsufficientResources."""
    disks = tuple(planned_disk(disk, storage) for disk in want.disks)
    refuse_too_large(disks)
    home = disks[0].pool if disks else None
    if home is None and (want.cloud_init or want.console.serial_log):
        home = home_of(want, storage)
    return Plan(disks=disks, cdrom=find_cdrom(want, storage, [planned.pool for planned in disks]), home=home)


def home_of(want: VmDefinition, storage: Storage) -> libvirt.virStoragePool:
    """Where a VM's small files go."""
    return storage.pool(want.disks[0].pool if want.disks else DEFAULT_POOL)


def planned_disk(disk: Disk, storage: Storage) -> PlannedDisk:
    pool = storage.pool(disk.pool)
    wanted = disk.size_mib * MIB if disk.size_mib else None
    if disk.template is None:
        return PlannedDisk(disk=disk, pool=pool, capacity=wanted)
    image, volume = storage.find_image(disk.template, [pool])
    _refuse_template(disk, image)
    if volume is None:
        _refuse_any_file(disk, image)
    if volume is None and disk.clone is Clone.FULL:
        raise NotFound(
            f"template {disk.template!r} is in no active storage pool, so it cannot be copied; "
            "move it into one and run virsh pool-refresh, or use clone: linked"
        )
    return PlannedDisk(
        disk=disk, pool=pool, capacity=wanted or image.capacity, template=image, template_volume=volume
    )  # fmt: skip


def _refuse_any_file(disk: Disk, image: Image) -> None:
    """Every file is a raw image, so outside of the pools a guest could read any file of the host as one."""
    if image.format is DiskFormat.RAW:
        raise InvalidTemplate(
            f"template {disk.template!r} is raw and in no active storage pool; "
            "move it into one and run virsh pool-refresh, or make it qcow2"
        )


def _refuse_of_a_vm(what: str, image: Image) -> None:
    """It changes under whoever else has it, goes with its VM, and may hold what is told to that one's guest alone."""
    if names.is_of_a_vm(PurePosixPath(image.path).name):
        raise InvalidTemplate(f"{what} was made for another VM; of a VM's disk a template is made by capturing it")


def _refuse_template(disk: Disk, image: Image) -> None:
    _refuse_of_a_vm(f"template {disk.template!r}", image)
    if image.refers:
        raise InvalidTemplate(
            f"template {disk.template!r} refers to another file, which guests could read through it; flatten it first"
        )
    if image.format is not disk.template_format:
        seen = image.format.value if image.format else "of another format"
        raise InvalidTemplate(f"template {disk.template!r} is {seen}, not {disk.template_format.value} as was said")
    if image.capacity and disk.size_mib and disk.size_mib * MIB < image.capacity:
        raise InvalidTemplate(
            f"disk {disk.name!r} is to have {disk.size_mib} MiB, but its template {disk.template!r} "
            f"has {-(-image.capacity // MIB)} MiB; a disk cannot be smaller than its template"
        )


def refuse_too_large(disks: tuple[PlannedDisk, ...]) -> None:
    """Disks grow as they are written, so together they may be promised more than there is; one alone may not."""
    needed: dict[str, int] = defaultdict(int)
    for planned in disks:
        _state, pool_capacity, _allocated, free = planned.pool.info()
        name = planned.disk.pool
        needed[name] += planned.needs
        if (planned.capacity or 0) > pool_capacity or needed[name] > free:
            wanted = max(planned.capacity or 0, needed[name])
            raise InsufficientResources(
                f"disk {planned.disk.name!r} needs {wanted // MIB} MiB; storage pool {name!r} has "
                f"{pool_capacity // MIB} MiB, of which {free // MIB} MiB are free"
            )


def find_cdrom(want: VmDefinition, storage: Storage, homes: list[libvirt.virStoragePool]) -> Source | None:
    if not want.cdrom:
        return None
    pools = {pool.name(): pool for pool in homes + storage.pools()}
    image, volume = storage.find_image(want.cdrom, list(pools.values()))
    _refuse_of_a_vm(f"cdrom {want.cdrom!r}", image)
    if volume is None and not is_disc(image.path):
        raise InvalidTemplate(f"cdrom {want.cdrom!r} is in no active storage pool, and is no image of a disc")
    return Source(path=image.path)


def refuse_missing_networks(want: VmDefinition, connection: libvirt.virConnect) -> None:
    refuse_missing_bridges(want, connection)
    wanted = [nic for nic in want.nics if nic.network]
    if not wanted:
        return
    active = {network.name(): network for network in networks(connection)}
    for nic in wanted:
        network = active.get(nic.network or "")
        if network is None:
            there = ", ".join(sorted(active)) or "none"
            raise NotFound(f"there is no active network {nic.network!r}; active networks: {there}")
        if nic.vlan is not None and not takes_vlans(network.XMLDesc(0)):
            raise Unsupported(f"nics[{nic.name}].vlan: network {nic.network!r} takes no VLAN tags; Open vSwitch does")


def takes_vlans(xml: str) -> bool:
    """Whether cards on the network that is described so may have tags: its switch must know them."""
    root = ElementTree.fromstring(xml)  # noqa: S314  # libvirt wrote it
    forward = root.find("forward")
    return root.find(".//virtualport[@type='openvswitch']") is not None or (
        forward is not None and forward.get("mode") == "hostdev"
    )


def networks(connection: libvirt.virConnect) -> list[libvirt.virNetwork]:
    """The networks that are active; none for a hypervisor without networks."""
    active = libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE
    return unless(libvirt.VIR_ERR_NO_SUPPORT, lambda: connection.listAllNetworks(active)) or []


def refuse_what_the_host_lacks(want: VmDefinition, host: Features) -> None:
    if not host.is_test:
        _refuse_long_name(want.name)
    if host.max_vcpus is not None and want.cpu.count > host.max_vcpus:
        raise Unsupported(f"cpu.count {want.cpu.count} is more than a guest can have here, which is {host.max_vcpus}")


def _refuse_long_name(name: str) -> None:
    for what, part, most in (
        ("name", name, MAX_NAME_BYTES),
        ("beginning", name[: names.SOCKET_CHARACTERS], MAX_SOCKET_BYTES),
    ):
        size = len(part.encode())
        if size > most:
            raise Unsupported(
                f"the {what} {part!r} of a VM's name has {size} bytes and may have {most}: libvirt names files after it"
            )
