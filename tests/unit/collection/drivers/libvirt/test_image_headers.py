# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image really is, whatever it is called: its own header tells."""

from __future__ import annotations

import struct

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.volume_xml import image_of_header
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat

MIB = 1024 * 1024


def qcow2(*, version: int = 3, backing: int = 0, encryption: int = 0, features: int = 0) -> bytes:
    start = struct.pack(">4sIQIIQI", b"QFI\xfb", version, backing, 0, 16, 8 * MIB, encryption)
    return start.ljust(72, b"\0") + struct.pack(">Q", features).ljust(32, b"\0")


@pytest.mark.parametrize(
    ("header", "image_format", "refers"),
    [
        (b"\x33\xc0 a boot sector".ljust(104, b"\0"), DiskFormat.RAW, False),
        (b"", DiskFormat.RAW, False),
        (qcow2(), DiskFormat.QCOW2, False),
        (qcow2(version=2, features=255), DiskFormat.QCOW2, False),
        (qcow2(backing=512), DiskFormat.QCOW2, True),
        (qcow2(features=1 << 2), DiskFormat.QCOW2, True),
        (qcow2(features=1 << 7), None, False),
        (qcow2(encryption=1), None, False),
        (qcow2(version=9), None, False),
        (b"QFI\xfb", None, False),
        (b"KDMV".ljust(104, b"\0"), None, False),
        (b"# Disk DescriptorFile\nversion=1".ljust(104, b"\0"), None, False),
        (b"vhdxfile".ljust(104, b"\0"), None, False),
        (bytes(64) + b"\x7f\x10\xda\xbe" + bytes(40), None, False),
        (b"LUKS\xba\xbe".ljust(104, b"\0"), None, False),
    ],
)
def test_an_image_is_what_its_header_says(header: bytes, image_format: DiskFormat | None, refers: bool):
    image = image_of_header("/x", header, 5 * MIB)
    assert (image.format, image.refers) == (image_format, refers)
    assert image.allocation == 5 * MIB


def test_the_size_that_a_guest_sees_is_the_headers():
    assert image_of_header("/x", qcow2(), 5 * MIB).capacity == 8 * MIB
    assert image_of_header("/x", bytes(104), 5 * MIB).capacity == 5 * MIB
