# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How guests are run on a host, from what it says of itself."""

from __future__ import annotations

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Capability
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.features import (
    Features,
    cpu_features,
    domain_type,
    features,
    host_arch,
)


def host(arch: str, *types: str, cpu: str = "") -> str:
    domains = "".join(f"<domain type='{name}'/>" for name in types)
    return (
        f"<capabilities><host><cpu><arch>{arch}</arch>{cpu}</cpu></host>"
        f"<guest><os_type>hvm</os_type><arch name='{arch}'>{domains}</arch></guest></capabilities>"
    )


NONE, INTEL, AMD = frozenset(), frozenset({"vmx"}), frozenset({"svm", "aes"})
TYPES = [
    (host("x86_64", "qemu", "kvm"), INTEL, "kvm"),
    (host("x86_64", "qemu", "kvm"), AMD, "kvm"),
    # /dev/kvm is there, and guests that use it would hang.
    (host("x86_64", "qemu", "kvm"), NONE, "qemu"),
    (host("x86_64", "qemu"), INTEL, "qemu"),
    (host("aarch64", "qemu", "kvm"), NONE, "kvm"),
    (host("i686", "test"), NONE, "test"),
]


@pytest.mark.parametrize(("capabilities", "cpu", "kind"), TYPES)
def test_kvm_counts_only_where_the_processor_can(capabilities: str, cpu: frozenset[str], kind: str):
    assert domain_type(capabilities, cpu) == kind


def test_the_arch_and_the_features_of_the_processor_are_read():
    assert host_arch(host("x86_64", "qemu")) == "x86_64"
    assert cpu_features("<cpu><feature name='vmx'/><feature policy='require' name='aes'/></cpu>") == {"vmx", "aes"}


@pytest.mark.parametrize(("firmware", "uefi"), [("", False), ("<value>bios</value><value>efi</value>", True)])
def test_uefi_is_there_if_its_firmware_is(firmware: str, uefi: bool):
    described = (
        f"<domainCapabilities><vcpu max='288'/><os><enum name='firmware'>{firmware}</enum></os></domainCapabilities>"
    )
    seen = features("qemu", "x86_64", described)
    assert seen == Features(domain_type="qemu", arch="x86_64", machine="q35", uefi=uefi, max_vcpus=288)
    assert (Capability.UEFI in seen.capabilities) is uefi
    assert Capability.CLOUD_INIT in seen.capabilities


def test_the_mock_can_less():
    assert Features(domain_type="test").capabilities == {
        Capability.SHUTDOWN, Capability.SNAPSHOTS, Capability.AUTOSTART, Capability.CAPTURE,
        Capability.EJECT,
    }  # fmt: skip
