# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of an appliance before anything of it is made."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.millwright.virt.plugins.filter.appliance_faults import appliance_faults
from ansible_collections.millwright.virt.plugins.filter.yaml_fault import yaml_fault

LAB = {"type": "fake", "url": "fake:///tmp/lab"}


def shop(*vms: Any, **more: Any) -> dict[str, Any]:
    return {"name": "shop", "hypervisor": LAB, "defaults": {"memory_mib": 64}, "vms": list(vms), **more}


DB = {"name": "db", "disks": [{"template": "/templates/debian.qcow2"}]}


@pytest.mark.parametrize("state", ["running", "present", "stopped", "absent"])
def test_what_is_sound_has_no_fault(state: str):
    own = {**DB, "name": "web", "memory_mib": "128", "allow_power_cycle": True, "hypervisor": LAB}
    assert appliance_faults(shop(DB, own), state) == []


@pytest.mark.parametrize(
    ("appliance", "says"),
    [
        ("shop", "an appliance is a mapping with hypervisor and vms"),
        ({**shop(DB), "default": {}}, "default: unknown field, did you mean 'defaults'?"),
        ({"hypervisor": LAB, "VMs": [DB]}, "VMs: unknown field, did you mean 'vms'?"),
        ({"hypervisor": LAB}, "vms: is required, a list of VMs"),
        (shop(DB, hypervisor=None), "hypervisor: is required, a mapping with type and url"),
        (shop(DB, hypervisor={"type": "fake", "uri": "x"}), "hypervisor.uri: unknown field, did you mean 'url'?"),
        (shop(DB, hypervisor={"url": "fake:///"}), "hypervisor: type is required"),
        (shop(DB, hypervisor={**LAB, "type": "kvm"}), "must be one of: fake, libvirt, vsphere, got: kvm"),
        (shop(DB, hypervisor={"type": "fake"}), "hypervisor: missing required arguments: url"),
        (shop({**DB, "hypervisor": {"typ": "fake"}}), "VM db: hypervisor.typ: unknown field, did you mean 'type'?"),
        (shop(DB, DB), "vms: 2 of them are called 'db'"),
        (shop({"Name": "db"}), "vms[0].Name: unknown field, did you mean 'name'?"),
        (shop(7), "vms[0]: must be a mapping"),
        (shop(DB, defaults={"memroy_mib": 64}), "defaults.memroy_mib: unknown field, did you mean 'memory_mib'?"),
        (shop(DB, defaults={"memory_mib": "much"}), "defaults: "),
        (shop(DB, {"name": "web", "memory_mb": 64}), "VM web: memory_mb: unknown field, did you mean 'memory_mib'?"),
        (shop({**DB, "state": "absent"}), "VM db: state: unknown field"),
        (shop({**DB, "disks": [{"size_mb": 64}]}), "VM db: disks[0].size_mb: unknown field, did you mean 'size_mib'?"),
        (shop({**DB, "memory_mib": 1}), "VM db: memory_mib: must be at least 16"),
        (shop(DB, {"name": "web"}, defaults={}), "VM db, web: memory_mib: is required"),
        (shop({**DB, "firmware": "none"}), "VM db: value of firmware must be one of"),
    ],
)
def test_each_fault_is_told_with_its_place_and_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, appliance: Any, says: str
):
    monkeypatch.delenv("MILLWRIGHT_URL", raising=False)
    [fault] = appliance_faults(appliance)
    assert says in fault


def test_what_is_not_known_yet_is_no_fault():
    later = object()  # as a vaulted text, or a template whose variables come later
    assert appliance_faults(shop({**DB, "description": later}, hypervisor=later)) == []
    assert appliance_faults(shop(DB, defaults=later)) == []


def test_faults_of_all_vms_are_told_at_once():
    assert len(appliance_faults(shop({**DB, "memory_mb": 1}, {"name": "web", "nic": []}))) == 2


def test_what_a_vm_is_like_does_not_keep_it_from_going():
    assert appliance_faults(shop({**DB, "memory_mb": 1}, defaults={"colour": "red"}), "absent") == []
    assert appliance_faults(shop(DB, DB), "absent") != []


def test_no_fault_shows_a_secret():
    wrong = shop(
        {**DB, "cloud_init": {"user_data": "canary"}, "firmware": "canary"}, hypervisor={**LAB, "password": "canary"}
    )
    assert "canary" not in str(appliance_faults(wrong))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\n  bad: [", "shop.yml, line 2, column 6: this is no YAML: mapping values are not allowed here"),
        ("name: [\n", "shop.yml, line 2, column 1"),
        ("vms:\n\t- x\n", "line 2, column 1: this is no YAML: found character '\\t' that cannot start any token"),
        ("a: *canary\n", "shop.yml, line 1, column 4: this is no YAML: found undefined alias ..."),
        ("a: !canary!x y\n", "line 1, column 4"),
        ("a: &canary 1\nb: &canary 2\nc: 'canary\n", "line 2, column 4"),
        ("a: \x01canary\n", "shop.yml, line 1: this is no YAML"),
        ("a: 1\n--- \nb: 2\n", "line 2, column 1"),
    ],
)
def test_a_mistake_in_yaml_is_told_with_its_place_and_without_what_stands_there(text: str, says: str):
    fault = yaml_fault(text, "shop.yml")
    assert says in fault
    assert "canary" not in fault


def test_a_sound_text_has_no_mistake():
    assert yaml_fault("a: !vault |\n  $ANSIBLE_VAULT\nb: !unsafe 'x'\n", "shop.yml") == ""
