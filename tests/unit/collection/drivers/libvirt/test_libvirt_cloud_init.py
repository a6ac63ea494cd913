# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that cloud-init reads."""

from __future__ import annotations

import io

import pycdlib
import pytest
import yaml

from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.cloud_init import seed_image, user_data_in
from ansible_collections.millwright.virt.plugins.module_utils.vm.cloud_data import default_meta_data, host_name
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

#: Bytes of ISO 9660's volume descriptors: where the table of paths is, and how long Joliet's first directory.
PATH_TABLE, DIRECTORY = 16 * 2048 + 140, 17 * 2048 + 167
HOSTILE = "#cloud-config\n{{ lookup('pipe','id') }} '\"&<>\n'; DROP TABLE vms; -- \u2603\n"


def read(image: bytes, name: str, facade: str) -> str:
    disc, file = pycdlib.PyCdlib(), io.BytesIO()
    disc.open_fp(io.BytesIO(image))
    disc.get_file_from_iso_fp(file, **{facade: f"/{name}"})
    disc.close()
    return file.getvalue().decode()


def vm(**cloud_init: str) -> VmDefinition:
    return VmDefinition.from_dict({"name": "Web: 1", "memory_mib": 64, "cloud_init": cloud_init})


@pytest.mark.parametrize("broken", [PATH_TABLE, DIRECTORY])
def test_of_a_broken_image_nobody_knows_the_user_data(broken: int):
    want = vm(user_data=HOSTILE)
    image = bytearray(seed_image(want, want.cloud_init))
    assert user_data_in(bytes(image)) == HOSTILE
    image[broken] = 0
    assert user_data_in(bytes(image)) is None


@pytest.mark.parametrize("facade", ["joliet_path", "rr_path"])
def test_the_texts_are_in_the_image_as_they_were_given(facade: str):
    want = vm(user_data=HOSTILE, meta_data=HOSTILE, network_config=HOSTILE)
    image = seed_image(want, want.cloud_init)
    for name in ("user-data", "meta-data", "network-config"):
        assert read(image, name, facade) == HOSTILE


def test_the_image_has_the_label_that_cloud_init_looks_for():
    want = vm(user_data="#")
    assert b"cidata" in seed_image(want, want.cloud_init)[32768:34816]


def test_meta_data_has_the_identity_and_a_host_name_unless_it_is_given():
    want = vm(user_data="#")
    meta = yaml.safe_load(read(seed_image(want, want.cloud_init), "meta-data", "joliet_path"))
    assert meta == {"instance-id": want.identity, "local-hostname": "web-1"}


@pytest.mark.parametrize(
    ("name", "host"),
    [("web", "web"), ("Web 1!", "web-1"), ("\u2603", "vm"), ("x" * 80, "x" * 63), ("a" * 62 + "-b", "a" * 62)],
)
def test_a_host_name_is_one(name: str, host: str):
    assert host_name(name) == host


@pytest.mark.parametrize("name", ["123", "true", "{{ x }}", "null"])
def test_default_meta_data_is_text_for_any_name(name: str):
    meta = yaml.safe_load(default_meta_data(VmDefinition.from_dict({"name": name, "memory_mib": 64})))
    assert isinstance(meta["local-hostname"], str)
