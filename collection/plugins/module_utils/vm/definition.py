# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM definition: the one hypervisor-neutral description of a virtual machine.

Modules, runner, API and CLI read this file; nobody states a field of a VM a second time. Sizes are MiB. A definition
is whole: what it does not say has its default. A field that is ``None`` says nothing, and is neither compared nor
changed on a VM that exists.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from .fingerprint import fingerprint
from .schema import InvalidData, Problem, parse, plain_fields, rule

#: Seeds the uuid of a VM that is defined by name alone, so that every run finds the same VM and the same disks.
NAMESPACE = uuid.UUID("6d1f0a52-6f3c-5e0b-9a55-3d3b6f0f7a11")

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
_LABEL_HELP = "1 to 32 lower-case letters, digits and inner hyphens"
#: Text on one line that XML can carry: no control characters (C0, DEL, C1), no line or paragraph separators, no lone
#: surrogates, no noncharacters of the first plane.
_ONE_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]"
#: Text that XML 1.0 and every hypervisor can carry: tabs and line ends, but no other control characters.
_TEXT = r"(?s:[^\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]*)"

_TEXT_HELP = "text without control characters"
#: What cloud-init takes for user data; other text it passes over.
_USER_DATA = rf"((#|(?i:Content-Type:|MIME-Version:)){_TEXT})?"


class InvalidDefinition(InvalidData):
    """The VM definition breaks a rule; ``problems`` names each field and the rule."""


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class DiskBus(StrEnum):
    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"


class DiskFormat(StrEnum):
    QCOW2 = "qcow2"
    RAW = "raw"


class Clone(StrEnum):
    LINKED = "linked"
    FULL = "full"


class NicModel(StrEnum):
    VIRTIO = "virtio"
    E1000 = "e1000"
    RTL8139 = "rtl8139"


class BootDevice(StrEnum):
    DISK = "disk"
    CDROM = "cdrom"
    NETWORK = "network"


class Graphics(StrEnum):
    NONE = "none"
    VNC = "vnc"


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """Virtual processors."""

    count: int = rule("Number of virtual CPUs.", 1, minimum=1, maximum=512)
    cores_per_socket: int = rule("Cores of one socket; must divide O(cpu.count).", 1, minimum=1, maximum=512)

    def problems(self) -> Iterator[Problem]:
        if self.count % self.cores_per_socket:
            yield Problem(
                "cores_per_socket", f"must divide cpu.count ({self.count}), and {self.cores_per_socket} does not"
            )


@dataclass(frozen=True, kw_only=True)
class Disk:
    """One disk: made from a template, or empty with a size."""

    name: str = rule("Identifies the disk within its VM.", "", pattern=_LABEL, pattern_help=_LABEL_HELP)
    template: str | None = rule(
        "Template that the disk is made from: absolute path or volume name at the hypervisor. "
        "Without it the disk is empty.",
        None,
        max_length=1024,
        pattern=f"(?! ){_ONE_LINE}+(?<! )",
        pattern_help="a path or volume name on one line, without spaces at its ends",
    )
    template_format: DiskFormat = rule("Format of the template. It is never guessed.", DiskFormat.QCOW2)
    size_mib: int | None = rule(
        "Size in MiB. Required for an empty disk; "
        "for one from a template it is at least the template's size, which is its default.",
        None,
        minimum=1,
        maximum=64 * 1024 * 1024,
    )
    format: DiskFormat = rule("Format of the disk.", DiskFormat.QCOW2)
    clone: Clone = rule(
        "V(linked) keeps only the differences to the template, which must stay; V(full) copies it.", Clone.LINKED
    )
    bus: DiskBus = rule("How the disk is attached.", DiskBus.VIRTIO)
    pool: str = rule(
        "Storage pool or datastore that holds the disk.",
        "default",
        max_length=255,
        pattern=f"{_ONE_LINE}+",
        pattern_help="a name on one line",
    )

    def problems(self) -> Iterator[Problem]:
        if self.template is None and self.size_mib is None:
            yield Problem("size_mib", "is required for a disk without a template")
        if self.template is not None and self.clone is Clone.LINKED and self.format is not DiskFormat.QCOW2:
            yield Problem("clone", "a linked disk must have format qcow2; use clone: full for others")


@dataclass(frozen=True, kw_only=True)
class Nic:
    """One network card, on a network that the hypervisor manages or on a bridge of the host."""

    name: str = rule("Identifies the card within its VM.", "", pattern=_LABEL, pattern_help=_LABEL_HELP)
    network: str | None = rule(
        "Network of the hypervisor that the card is on.",
        None,
        max_length=255,
        pattern=f"{_ONE_LINE}+",
        pattern_help="a name on one line",
    )
    bridge: str | None = rule(
        "Bridge of the host that the card is on.",
        None,
        max_length=15,
        pattern=r"[^\s/\x00-\x1f\x7f]+",
        pattern_help="an interface name",
    )
    mac: str | None = rule(
        "Hardware address. Without it the hypervisor picks one.",
        None,
        pattern=r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}",
        pattern_help="a unicast address like 52:54:00:12:34:56, in lower case",
    )
    model: NicModel = rule("Card that the guest sees.", NicModel.VIRTIO)
    vlan: int | None = rule("VLAN tag, where the network or bridge takes one.", None, minimum=1, maximum=4094)

    def problems(self) -> Iterator[Problem]:
        if (self.network is None) == (self.bridge is None):
            yield Problem("network", "give exactly one of network and bridge")


@dataclass(frozen=True, kw_only=True)
class CloudInit:
    """What cloud-init finds in the guest. The text is handed over as it is and never evaluated."""

    user_data: str | None = rule(
        "User data: a text that begins with #, like #cloud-config or #!, or with a MIME header.",
        None,
        max_length=65536,
        pattern=_USER_DATA,
        pattern_help=f"{_TEXT_HELP}, and begin with # or with a MIME header (Content-Type: or MIME-Version:)",
        secret=True,
    )
    meta_data: str | None = rule(
        "Meta data; by default the instance id and the host name.",
        None,
        max_length=65536,
        pattern=_TEXT,
        pattern_help=_TEXT_HELP,
    )
    network_config: str | None = rule(
        "Network configuration, version 1 or 2.", None, max_length=65536, pattern=_TEXT, pattern_help=_TEXT_HELP
    )


@dataclass(frozen=True, kw_only=True)
class Console:
    """Ways to the guest's screen and serial line."""

    graphics: Graphics = rule("V(vnc) gives a screen that no network listener exposes.", Graphics.VNC)
    serial_log: bool = rule("Keep what the guest writes to its first serial port beside its disks.", default=False)


@dataclass(frozen=True, kw_only=True)
class VmDefinition:
    """A virtual machine as its owner wants it."""

    name: str = rule(
        "Name of the VM at the hypervisor.",
        max_length=80,
        pattern=rf"(?!\s)(?!\.{{1,2}}$)(?:(?![/\\]){_ONE_LINE})+(?<!\s)",
        pattern_help="one line without slashes, backslashes, control characters or spaces at its ends",
    )
    uuid: str | None = rule(
        "Identity of the VM. Give it to rename a VM later; without it the name identifies the VM.",
        None,
        pattern=_UUID,
        pattern_help="a UUID in lower case",
    )
    description: str = rule("What the VM is for.", "", max_length=1024, pattern=_TEXT, pattern_help=_TEXT_HELP)
    tags: dict[str, str] = rule("Free labels, kept with the VM.", factory=dict)
    cpu: Cpu = rule("Virtual processors.", factory=Cpu)
    memory_mib: int = rule("Memory in MiB.", minimum=16, maximum=16 * 1024 * 1024)
    firmware: Firmware = rule("Firmware that boots the VM.", Firmware.BIOS)
    disks: tuple[Disk, ...] = rule("Disks, the first one is the boot disk.", ())
    nics: tuple[Nic, ...] = rule("Network cards.", ())
    boot_order: tuple[BootDevice, ...] = rule("Devices to boot from, the first one first.", (BootDevice.DISK,))
    cdrom: str | None = rule(
        "ISO image in the drive, absolute path or volume name at the hypervisor.",
        None,
        max_length=1024,
        pattern=f"{_ONE_LINE}+",
        pattern_help="a path or volume name on one line",
    )
    cloud_init: CloudInit | None = rule("Data for cloud-init in the guest.", None)
    console: Console = rule("Ways to the guest's screen and serial line.", factory=Console)

    @classmethod
    def normalise(cls, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Unnamed disks and cards are called disk0, disk1, nic0, nic1 by their place."""
        named = {"disks": "disk", "nics": "nic"}
        return {**raw, **{key: _named(raw[key], label) for key, label in named.items() if _is_list(raw.get(key))}}

    @classmethod
    def from_dict(cls, raw: Any) -> Self:
        """Check plain data and make a definition of it. Raises InvalidDefinition with every problem found."""
        try:
            return parse(cls, raw)
        except InvalidData as error:
            raise InvalidDefinition(list(error.problems)) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain data that from_dict takes back."""
        return plain_fields(self)

    def to_keep(self) -> dict[str, Any]:
        """Plain data that a driver may keep at the hypervisor: secrets are fingerprints, and equal to changes()."""
        kept = plain_fields(self)
        if self.cloud_init and self.cloud_init.user_data is not None:
            kept["cloud_init"]["user_data"] = fingerprint(self.cloud_init.user_data)
        return kept

    @property
    def identity(self) -> str:
        """The uuid that the VM has at its hypervisor: the given one, or one that follows from the name."""
        return self.uuid or identity_of(self.name)

    def problems(self) -> Iterator[Problem]:
        yield from _repeated("disks", "name", [disk.name for disk in self.disks])
        yield from _repeated("nics", "name", [nic.name for nic in self.nics])
        yield from _repeated("nics", "mac", [nic.mac for nic in self.nics if nic.mac])
        yield from _repeated("boot_order", "device", [device.value for device in self.boot_order])
        yield from self._unbootable()
        for key, value in self.tags.items():
            if not key or len(key) > 128 or len(value) > 256 or not (key + value).isprintable():
                yield Problem(f"tags.{key!r}", "keys have 1 to 128 and values at most 256 printable characters")

    def _unbootable(self) -> Iterator[Problem]:
        if BootDevice.CDROM in self.boot_order and self.cdrom is None:
            yield Problem("boot_order", "names cdrom, but the VM has no cdrom")
        if BootDevice.NETWORK in self.boot_order and not self.nics:
            yield Problem("boot_order", "names network, but the VM has no nics")


def identity_of(name: str) -> str:
    """The uuid of a VM that is known by name alone; the same name always gives the same uuid (RFC 9562, version 5)."""
    return str(uuid.uuid5(NAMESPACE, name))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _named(items: Iterable[Any], label: str) -> list[Any]:
    return [
        {**item, "name": item.get("name") or f"{label}{index}"} if isinstance(item, Mapping) else item
        for index, item in enumerate(items)
    ]


def _repeated(path: str, key: str, values: list[str]) -> Iterator[Problem]:
    for value, times in Counter(values).items():
        if times > 1:
            yield Problem(path, f"the {key} {value!r} is given {times} times")
