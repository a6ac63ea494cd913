# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a libvirt host can do for guests, read from the XML in which it describes itself."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from ..base import Capability

#: Capabilities of every QEMU; the rest depends on what is installed beside it.
QEMU = frozenset({
    Capability.CLOUD_INIT, Capability.VNC, Capability.SERIAL_LOG, Capability.SHUTDOWN, Capability.SNAPSHOTS,
    Capability.HOT_CHANGES, Capability.AUTOSTART, Capability.CAPTURE, Capability.EJECT,
})  # fmt: skip
TEST = frozenset({
    Capability.SHUTDOWN, Capability.SNAPSHOTS, Capability.AUTOSTART, Capability.CAPTURE, Capability.EJECT,
})  # fmt: skip

#: Machine that boots both BIOS and UEFI. Elsewhere libvirt's own choice is right.
MACHINES = {"x86_64": "q35"}
#: What a processor must have for KVM, where having /dev/kvm does not prove it.
VIRTUALISATION = {"x86_64": frozenset({"vmx", "svm"}), "i686": frozenset({"vmx", "svm"})}


@dataclass(frozen=True, kw_only=True)
class Features:
    """How guests are made on a host."""

    #: Type of the domain XML, and what runs guests: "kvm", "qemu" (emulation) or "test".
    domain_type: str
    arch: str = ""
    machine: str | None = None
    uefi: bool = False
    max_vcpus: int | None = None
    #: The host's own uuid, which no other host has; the mock has none.
    host: str = ""

    @property
    def is_test(self) -> bool:
        return self.domain_type == "test"

    @property
    def capabilities(self) -> frozenset[Capability]:
        if self.is_test:
            return TEST
        return QEMU | {Capability.UEFI} if self.uefi else QEMU


def domain_type(capabilities: str, cpu_features: frozenset[str]) -> str:
    """The best way to run guests: KVM counts only if the host's processor has what KVM needs.

    A /dev/kvm without that exists on some virtual machines, and guests started with it hang.
    """
    host = ElementTree.fromstring(capabilities)  # noqa: S314  # libvirt wrote it
    arch = host.findtext("host/cpu/arch", "")
    offered = {node.get("type") for node in host.findall(f"guest/arch[@name='{arch}']/domain")}
    offered = offered or {node.get("type") for node in host.findall("guest/arch/domain")}
    needed = VIRTUALISATION.get(arch)
    if "kvm" in offered and (needed is None or needed & cpu_features):
        return "kvm"
    return "test" if "test" in offered else "qemu"


def host_arch(capabilities: str) -> str:
    return ElementTree.fromstring(capabilities).findtext("host/cpu/arch", "")  # noqa: S314  # libvirt wrote it


def host_cpu(capabilities: str) -> str | None:
    """The host's processor as libvirt describes it, if it does."""
    cpu = ElementTree.fromstring(capabilities).find("host/cpu")  # noqa: S314  # libvirt wrote it
    return None if cpu is None else ElementTree.tostring(cpu, encoding="unicode")


def cpu_features(cpu: str) -> frozenset[str]:
    """Names of the features that the description of a processor lists."""
    root = ElementTree.fromstring(cpu)  # noqa: S314  # libvirt wrote it
    return frozenset(node.get("name", "") for node in root.findall("feature"))


def host_uuid(capabilities: str) -> str:
    return ElementTree.fromstring(capabilities).findtext("host/uuid", "")  # noqa: S314  # libvirt wrote it


def features(kind: str, arch: str, domain_capabilities: str, host: str = "") -> Features:
    """From libvirt's description of what a guest of this kind may have."""
    root = ElementTree.fromstring(domain_capabilities)  # noqa: S314  # libvirt wrote it
    firmware = {node.text for node in root.findall("os/enum[@name='firmware']/value")}
    vcpu = root.find("vcpu")
    return Features(
        domain_type=kind,
        arch=arch,
        host=host,
        machine=MACHINES.get(arch),
        uefi="efi" in firmware,
        max_vcpus=None if vcpu is None else int(vcpu.get("max", "0")) or None,
    )
