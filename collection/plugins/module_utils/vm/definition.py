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
from typing import Any, Self

from .fingerprint import fingerprint
from .parts import (
    ONE_LINE,
    TEXT,
    TEXT_HELP,
    BootDevice,
    Clone,
    CloudInit,
    Console,
    Cpu,
    Disk,
    DiskBus,
    DiskFormat,
    Firmware,
    Graphics,
    Nic,
    NicModel,
)
from .schema import InvalidData, Problem, parse, plain_fields, rule

__all__ = [
    "BootDevice", "Clone", "CloudInit", "Console", "Cpu", "Disk", "DiskBus", "DiskFormat", "Firmware", "Graphics",
    "InvalidDefinition", "Nic", "NicModel", "VmDefinition", "identity_of",
]  # fmt: skip

#: Seeds the uuid of a VM that is defined by name alone, so that every run finds the same VM and the same disks.
NAMESPACE = uuid.UUID("6d1f0a52-6f3c-5e0b-9a55-3d3b6f0f7a11")

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class InvalidDefinition(InvalidData):
    """The VM definition breaks a rule; ``problems`` names each field and the rule."""


@dataclass(frozen=True, kw_only=True)
class VmDefinition:
    """A virtual machine as its owner wants it."""

    name: str = rule(
        "Name of the VM at the hypervisor.",
        max_length=80,
        pattern=rf"(?!\s)(?!\.{{1,2}}$)(?:(?![/\\]){ONE_LINE})+(?<!\s)",
        pattern_help="one line without slashes, backslashes, control characters or spaces at its ends",
    )
    uuid: str | None = rule(
        "Identity of the VM. Give it to rename a VM later; without it the name identifies the VM.",
        None,
        pattern=_UUID,
        pattern_help="a UUID in lower case",
    )
    description: str = rule("What the VM is for.", "", max_length=1024, pattern=TEXT, pattern_help=TEXT_HELP)
    tags: dict[str, str] = rule("Free labels, kept with the VM.", factory=dict)
    cpu: Cpu = rule("Virtual processors.", factory=Cpu)
    memory_mib: int = rule("Memory in MiB.", minimum=16, maximum=16 * 1024 * 1024)
    memory_max_mib: int | None = rule(
        "Memory in MiB that the VM can be given while it runs, if its guest takes part. "
        "Without it more needs a power cycle.",
        None,
        minimum=16,
        maximum=16 * 1024 * 1024,
    )
    firmware: Firmware = rule("Firmware that boots the VM.", Firmware.BIOS)
    disks: tuple[Disk, ...] = rule("Disks, the first one is the boot disk.", ())
    nics: tuple[Nic, ...] = rule("Network cards.", ())
    boot_order: tuple[BootDevice, ...] = rule("Devices to boot from, the first one first.", (BootDevice.DISK,))
    cdrom: str | None = rule(
        "ISO image in the drive, absolute path or volume name at the hypervisor. "
        "An empty text says that there is no disc in the drive.",
        None,
        max_length=1024,
        pattern=f"{ONE_LINE}*",
        pattern_help="a path or volume name on one line",
    )
    cloud_init: CloudInit | None = rule("Data for cloud-init in the guest.", None)
    console: Console = rule("Ways to the guest's screen and serial line.", factory=Console)
    autostart: bool = rule("Start the VM whenever its host starts.", default=False)

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
        if self.memory_max_mib is not None and self.memory_max_mib < self.memory_mib:
            yield Problem(
                "memory_max_mib", f"must be at least memory_mib ({self.memory_mib}), not {self.memory_max_mib}"
            )
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
