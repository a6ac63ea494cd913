# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a VM definition: processors, disks, network cards, cloud-init's data, console; and the words for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from .schema import Problem, rule

_LABEL = r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
_LABEL_HELP = "1 to 32 lower-case letters, digits and inner hyphens"
#: Text on one line that XML can carry: no control characters (C0, DEL, C1), no line or paragraph separators, no lone
#: surrogates, no noncharacters of the first plane.
ONE_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]"
#: Text that XML 1.0 and every hypervisor can carry: tabs and line ends, but no other control characters.
TEXT = r"(?s:[^\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]*)"

TEXT_HELP = "text without control characters"
#: What cloud-init takes for user data; other text it passes over.
_USER_DATA = rf"((#|(?i:Content-Type:|MIME-Version:)){TEXT})?"


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
    max_count: int | None = rule(
        "Number of virtual CPUs that the VM can be given while it runs. Without it more need a power cycle.",
        None,
        minimum=1,
        maximum=512,
    )

    def problems(self) -> Iterator[Problem]:
        for label, count in (("cpu.count", self.count), ("cpu.max_count", self.max_count or 0)):
            if count % self.cores_per_socket:
                yield Problem(
                    "cores_per_socket", f"must divide {label} ({count}), and {self.cores_per_socket} does not"
                )
        if self.max_count is not None and self.max_count < self.count:
            yield Problem("max_count", f"must be at least cpu.count ({self.count}), not {self.max_count}")


@dataclass(frozen=True, kw_only=True)
class Disk:
    """One disk: made from a template, or empty with a size."""

    name: str = rule("Identifies the disk within its VM.", "", pattern=_LABEL, pattern_help=_LABEL_HELP)
    template: str | None = rule(
        "Template that the disk is made from: absolute path or volume name at the hypervisor. "
        "Without it the disk is empty.",
        None,
        max_length=1024,
        pattern=f"(?! ){ONE_LINE}+(?<! )",
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
        pattern=f"{ONE_LINE}+",
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
        pattern=f"{ONE_LINE}+",
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
        pattern_help=f"{TEXT_HELP}, and begin with # or with a MIME header (Content-Type: or MIME-Version:)",
        secret=True,
    )
    meta_data: str | None = rule(
        "Meta data; by default the instance id and the host name.",
        None,
        max_length=65536,
        pattern=TEXT,
        pattern_help=TEXT_HELP,
    )
    network_config: str | None = rule(
        "Network configuration, version 1 or 2.", None, max_length=65536, pattern=TEXT, pattern_help=TEXT_HELP
    )


@dataclass(frozen=True, kw_only=True)
class Console:
    """Ways to the guest's screen and serial line."""

    graphics: Graphics = rule("V(vnc) gives a screen that no network listener exposes.", Graphics.VNC)
    serial_log: bool = rule("Keep what the guest writes to its first serial port beside its disks.", default=False)
