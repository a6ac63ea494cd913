# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that Millwright gives at a libvirt host. They begin with the VM's identity, so that what belongs to a VM can
be told when the VM itself is gone."""

from __future__ import annotations

import re
import secrets

from ...vm.definition import Disk

#: Marks and explains a VM of ours in its domain XML.
NAMESPACE = "urn:millwright:vm:1"
#: Says in its metadata that its removal has begun.
REMOVING_NAMESPACE, REMOVING_PREFIX = "urn:millwright:removing:1", "millwright-removing"
#: Says in its metadata which templates were made of it.
CAPTURES_NAMESPACE, CAPTURES_PREFIX = "urn:millwright:captures:1", "millwright-captures"

#: Aliases of devices; libvirt keeps those that begin with "ua-".
DISK, NIC = "ua-disk-", "ua-nic-"
CDROM, SEED = "ua-cdrom", "ua-cloud-init"

_OF_A_VM = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-")

#: What QEMU's guest agent listens on.
AGENT_CHANNEL = "org.qemu.guest_agent.0"
#: libvirt puts so many characters of a VM's name into the paths of sockets, which the kernel keeps short. The agent's
#: path is the longest: a VM whose name takes more bytes has no agent.
SOCKET_CHARACTERS, MAX_AGENT_BYTES = 20, 32


def prefix(identity: str) -> str:
    """What the names of all volumes of a VM begin with."""
    return f"{identity}-"


def foreign(mark: str) -> str:
    """A disk or card that somebody else put into a VM of ours, by its place or address."""
    return f"foreign-{mark.replace(':', '')}"


def is_of_a_vm(volume: str) -> bool:
    """Whether a volume is called as those are that are made for a VM."""
    return _OF_A_VM.match(volume) is not None


def disk_volume(identity: str, disk: Disk) -> str:
    return f"{prefix(identity)}{disk.name}.{disk.format.value}"


def seed_volume(identity: str) -> str:
    """The ISO image that carries cloud-init's data."""
    return f"{prefix(identity)}cloud-init.iso"


def next_seed_volume(identity: str) -> str:
    """One beside those that there are: other data get another image, so that the old one is there until they are in."""
    return f"{prefix(identity)}cloud-init-{secrets.token_hex(4)}.iso"


def is_seed_volume(identity: str, volume: str) -> bool:
    return re.fullmatch(f"{re.escape(prefix(identity))}cloud-init(-[0-9a-f]{{8}})?\\.iso", volume) is not None


def unfinished_template(identity: str, volume: str) -> str:
    """A template while it is made: nobody takes it for one, and it goes with its VM."""
    return f"{prefix(identity)}{volume}.unfinished"


def nvram_file(identity: str) -> str:
    """UEFI's variables. libvirt would name them after the VM, and leave them behind when that is renamed."""
    return f"{prefix(identity)}nvram.fd"


def making_volume(identity: str, host: str) -> str:
    """Marks a pool while a VM is made there, for the host that makes it; no two are the same."""
    return f"{prefix(identity)}making-{host}-{secrets.token_hex(4)}"


def making_host(identity: str, volume: str) -> str | None:
    """The host that makes the VM, if the volume is such a mark."""
    found = re.fullmatch(f"{re.escape(prefix(identity))}making-([0-9a-z-]*)-[0-9a-f]{{8}}", volume)
    return found[1] if found else None


def serial_volume(identity: str) -> str:
    return f"{prefix(identity)}serial.log"
