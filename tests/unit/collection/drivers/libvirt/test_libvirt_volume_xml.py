# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volume XML, and what the header of an image tells."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.volume_xml import (
    HEADER_BYTES,
    Image,
    image_of,
    image_of_header,
    volume_xml,
)
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat


def test_an_overlay_names_its_backing_format():
    backing = Image(path="/t/<&>'.img", format=DiskFormat.RAW)
    root = ElementTree.fromstring(volume_xml("a", "qcow2", 1024, backing))
    assert (root.findtext("name"), root.findtext("capacity"), root.findtext("allocation")) == ("a", "1024", "0")
    assert root.findtext("backingStore/path") == "/t/<&>'.img"
    assert root.find("backingStore/format").get("type") == "raw"
    assert root.find("target/format").get("type") == "qcow2"


def test_an_overlay_may_be_as_large_as_its_template():
    assert ElementTree.fromstring(volume_xml("a", "qcow2", None, Image(path="/t"))).find("capacity") is None


VOLUME = """<volume><capacity>8</capacity><allocation>4</allocation>
<target><path>/p</path><format type='{}'/></target>{}</volume>"""


def test_a_volume_tells_what_image_it_is():
    assert image_of(VOLUME.format("raw", "")) == Image(path="/p", format=DiskFormat.RAW, capacity=8, allocation=4)
    assert image_of(VOLUME.format("vmdk", "")).format is None
    assert image_of(VOLUME.format("qcow2", "<backingStore><path>/etc/shadow</path></backingStore>")).refers


def qemu_img(path: Path, *options: str) -> Image:
    subprocess.run(["qemu-img", "create", "-q", *options], check=True, cwd=path.parent)
    return image_of_header(str(path), path.read_bytes()[:HEADER_BYTES], path.stat().st_size)


def test_a_real_image_tells_what_it_is_by_its_header(tmp_path: Path):
    image = qemu_img(tmp_path / "a.qcow2", "-f", "qcow2", "a.qcow2", "5M")
    assert (image.format, image.capacity, image.refers) == (DiskFormat.QCOW2, 5 * 2**20, False)
    image = qemu_img(tmp_path / "a.raw", "-f", "raw", "a.raw", "5M")
    assert (image.format, image.capacity, image.refers) == (DiskFormat.RAW, 5 * 2**20, False)


@pytest.mark.parametrize(
    "options",
    [
        ("-f", "qcow2", "-F", "raw", "-b", "secret"),
        ("-f", "qcow2", "-o", "compat=0.10", "-F", "raw", "-b", "secret"),
        ("-f", "qcow2", "-o", "data_file=secret"),
    ],
)
def test_an_image_that_reads_another_file_is_known_by_its_header(tmp_path: Path, options: tuple[str, ...]):
    (tmp_path / "secret").write_bytes(bytes(2**20))
    assert qemu_img(tmp_path / "evil.qcow2", *options, "evil.qcow2", "1M").refers


def test_a_file_that_only_begins_like_an_image_is_raw():
    assert image_of_header("/x", b"QFI\xfb", 4).format is None
