# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloud-init's data as VMware's source reads it."""

from __future__ import annotations

import base64
import json

import yaml

from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.guestinfo import guestinfo
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

USER_DATA = "#cloud-config\npassword: '{{ canary }}' \"&<>\u2603\n"


def told(**cloud_init: str) -> dict[str, str]:
    want = VmDefinition.from_dict({"name": "web", "memory_mib": 64, "cloud_init": cloud_init})
    assert want.cloud_init
    return guestinfo(want, want.cloud_init)


def plain(text: str) -> str:
    return base64.b64decode(text).decode()


def test_user_data_arrives_as_it_was_given():
    said = told(user_data=USER_DATA)
    assert plain(said["guestinfo.userdata"]) == USER_DATA
    assert said["guestinfo.userdata.encoding"] == said["guestinfo.metadata.encoding"] == "base64"


def test_without_user_data_there_is_meta_data_alone():
    said = told()
    assert set(said) == {"guestinfo.metadata", "guestinfo.metadata.encoding"}
    assert yaml.safe_load(plain(said["guestinfo.metadata"]))["local-hostname"] == "web"


def test_the_network_is_a_part_of_the_meta_data_in_yaml_and_in_json():
    network = "version: 2\nethernets: {}\n"
    for meta_data, read in (
        (None, yaml.safe_load),
        ("instance-id: i\n", yaml.safe_load),
        ('{"instance-id": "i"}', json.loads),
    ):
        given = {"meta_data": meta_data} if meta_data else {}
        meta = read(plain(told(network_config=network, **given)["guestinfo.metadata"]))
        assert (plain(meta["network"]), meta["network.encoding"]) == (network, "base64")
        assert meta["instance-id"]
