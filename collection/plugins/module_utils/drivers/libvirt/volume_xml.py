# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's volume XML, and the header of a qcow2 image: what a disk is made as, and what an image really is."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ...vm.definition import DiskFormat

#: Enough of an image's beginning to know what it is.
HEADER_BYTES = 104
_QCOW2_MAGIC = b"QFI\xfb"
_EXTERNAL_DATA_FILE = 1 << 2
#: Features without which an image cannot be read, as far as they are known here; QEMU may know more.
_KNOWN_FEATURES = (1 << 5) - 1
#: Where other formats say what they are. An image that is called raw must not look like one: something on its way to
#: the guest might guess.
_OTHER_MAGICS = {
    b"KDMV": 0, b"COWD": 0, b"# Disk DescriptorFile": 0, b"conectix": 0, b"vhdxfile": 0, b"QED\0": 0,
    b"LUKS\xba\xbe": 0, b"\x7f\x10\xda\xbe": 64,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Image:
    """What an image is, as far as libvirt or its own header tells. None: not known."""

    path: str
    format: DiskFormat | None = None
    #: Size that a guest sees, and what the image takes up now, in bytes.
    capacity: int | None = None
    allocation: int = 0
    #: The image refers to another file, which would be read with it.
    refers: bool = False


def volume_xml(name: str, image_format: str, capacity: int | None, backing: Image | None = None) -> str:
    """A volume that takes no more space than it must. ``capacity`` in bytes; None takes the backing image's."""
    volume = Element("volume")
    SubElement(volume, "name").text = name
    if capacity is not None:
        SubElement(volume, "capacity", unit="bytes").text = str(capacity)
    SubElement(volume, "allocation", unit="bytes").text = "0"
    SubElement(SubElement(volume, "target"), "format", type=image_format)
    if backing and backing.format:
        node = SubElement(volume, "backingStore")
        SubElement(node, "path").text = backing.path
        # Said, so that nobody has to guess the format from what is in the image.
        SubElement(node, "format", type=backing.format.value)
    return ElementTree.tostring(volume, encoding="unicode")


def image_of(xml: str) -> Image:
    """The image as the XML of its volume describes it."""
    volume = ElementTree.fromstring(xml)  # noqa: S314  # libvirt wrote it
    kind = volume.find("target/format")
    name = "" if kind is None else kind.get("type", "")
    return Image(
        path=volume.findtext("target/path", ""),
        format=DiskFormat(name) if name in set(DiskFormat) else None,
        capacity=int(volume.findtext("capacity", "0")),
        allocation=int(volume.findtext("allocation", "0")),
        refers=bool(volume.findtext("backingStore/path")),
    )


def backing_of(xml: str) -> str | None:
    """Path of what the volume, which this XML describes, stands on."""
    volume = ElementTree.fromstring(xml)  # noqa: S314  # libvirt wrote it
    return volume.findtext("backingStore/path") or None


def image_of_header(path: str, header: bytes, size: int) -> Image:
    """The image as its first HEADER_BYTES and its size in bytes tell. What is of no format that is known counts as
    raw; what is of one that is not offered, or cannot be judged, has none."""
    if header.startswith(_QCOW2_MAGIC):
        return _qcow2(path, header.ljust(HEADER_BYTES, b"\0"), size)
    other = any(header.startswith(magic, at) for magic, at in _OTHER_MAGICS.items())
    return Image(path=path, format=None if other else DiskFormat.RAW, capacity=size, allocation=size)


def _qcow2(path: str, header: bytes, size: int) -> Image:
    version, backing, _backing_size, _cluster_bits, capacity, encryption = struct.unpack_from(">IQIIQI", header, 4)
    features = struct.unpack_from(">Q", header, 72)[0] if version >= 3 else 0  # as the format says
    plain = version in (2, 3) and not encryption and not features & ~_KNOWN_FEATURES
    return Image(
        path=path,
        format=DiskFormat.QCOW2 if plain else None,
        capacity=capacity,
        allocation=size,
        refers=bool(backing or features & _EXTERNAL_DATA_FILE),
    )
