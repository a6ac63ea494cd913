# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM definition: whatever is valid travels unchanged, and whatever is not is refused by name and rule."""

from __future__ import annotations

import json

import pytest
from definition_strategies import definitions
from hypothesis import given, settings

from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import (
    InvalidDefinition,
    VmDefinition,
    identity_of,
)

SMALL = {"name": "web", "memory_mib": 64}


@settings(deadline=None)
@given(definitions())
def test_a_definition_survives_json(want: VmDefinition):
    assert VmDefinition.from_dict(json.loads(json.dumps(want.to_dict()))) == want


# A fingerprint is slow on purpose.
@settings(deadline=None, max_examples=25)
@given(definitions())
def test_a_definition_does_not_differ_from_itself_nor_from_what_is_kept_of_it(want: VmDefinition):
    assert changes(want, want) == ()
    assert changes(VmDefinition.from_dict(want.to_keep()), want) == ()


#: What is wrong -> the field's path and words of its rule.
WRONG = [
    ({"name": None}, "name", "is required"),
    ({"name": 7}, "name", "must be a string, not 7"),
    ({"name": ""}, "name", "must be one line"),
    ({"name": " web"}, "name", "must be one line"),
    ({"name": "a/b"}, "name", "without slashes"),
    ({"name": "a\\b"}, "name", "without slashes"),
    ({"name": "a\nb"}, "name", "must be one line"),
    ({"name": "a\u2028b"}, "name", "must be one line"),
    ({"name": "a\x85b"}, "name", "must be one line"),
    ({"name": "\ud800"}, "name", "must be one line"),
    ({"name": ".."}, "name", "must be one line"),
    ({"name": "x" * 81}, "name", "at most 80 characters, not 81"),
    ({"uuid": "not-a-uuid"}, "uuid", "must be a UUID"),
    ({"uuid": "0B9D1C8E-5F3A-4C5E-8A77-2F6F3C1B9A10"}, "uuid", "in lower case"),
    ({"description": "\x00"}, "description", "without control characters"),
    ({"description": "x" * 1025}, "description", "at most 1024"),
    ({"tags": ["a"]}, "tags", "must be a mapping"),
    ({"tags": {"a": 1}}, "tags.a", "must be a string"),
    ({"tags": {1: "a"}}, "tags.1", "key must be a string"),
    ({"tags": {"": "a"}}, "tags.''", "1 to 128"),
    ({"tags": {"a": "\n"}}, "tags.'a'", "printable"),
    ({"cpu": {"count": 0}}, "cpu.count", "at least 1, not 0"),
    ({"cpu": {"count": 513}}, "cpu.count", "at most 512"),
    ({"cpu": {"count": "two"}}, "cpu.count", "whole number, not 'two'"),
    ({"cpu": {"count": True}}, "cpu.count", "whole number, not True"),
    ({"cpu": {"count": 3, "cores_per_socket": 2}}, "cpu.cores_per_socket", "must divide cpu.count (3)"),
    ({"cpu": 2}, "cpu", "must be a mapping, not 2"),
    ({"cpu": {"sockets": 2}}, "cpu.sockets", "known are: count, cores_per_socket"),
    ({"memory_mib": 4}, "memory_mib", "at least 16, not 4"),
    ({"memory_mib": None}, "memory_mib", "is required"),
    ({"memory": 64}, "memory", "unknown field"),
    ({"firmware": "openboot"}, "firmware", "one of: bios, uefi, not 'openboot'"),
    ({"disks": {"size_mib": 1}}, "disks", "must be a list"),
    ({"disks": ["root"]}, "disks[0]", "must be a mapping"),
    ({"disks": [{}]}, "disks[0].size_mib", "is required for a disk without a template"),
    ({"disks": [{"size_mib": 0}]}, "disks[0].size_mib", "at least 1"),
    ({"disks": [{"size_mib": 1, "name": "Root"}]}, "disks[0].name", "1 to 32 lower-case letters"),
    ({"disks": [{"size_mib": 1, "bus": "ide"}]}, "disks[0].bus", "one of: virtio, scsi, sata"),
    ({"disks": [{"size_mib": 1, "pool": ""}]}, "disks[0].pool", "a name on one line"),
    ({"disks": [{"template": " t"}]}, "disks[0].template", "without spaces at its ends"),
    ({"disks": [{"template": "t", "format": "raw"}]}, "disks[0].clone", "linked disk must have format qcow2"),
    ({"disks": [{"size_mib": 1, "name": "a"}] * 2}, "disks", "the name 'a' is given 2 times"),
    ({"nics": [{}]}, "nics[0].network", "exactly one of network and bridge"),
    ({"nics": [{"network": "a", "bridge": "b"}]}, "nics[0].network", "exactly one of network and bridge"),
    ({"nics": [{"bridge": "a b"}]}, "nics[0].bridge", "an interface name"),
    ({"nics": [{"network": "a", "mac": "01:00:00:00:00:00"}]}, "nics[0].mac", "a unicast address"),
    ({"nics": [{"network": "a", "vlan": 4095}]}, "nics[0].vlan", "at most 4094"),
    ({"nics": [{"network": "a", "mac": "52:54:00:00:00:01"}] * 2}, "nics", "is given 2 times"),
    ({"boot_order": ["floppy"]}, "boot_order[0]", "one of: disk, cdrom, network"),
    ({"boot_order": ["disk", "disk"]}, "boot_order", "is given 2 times"),
    ({"boot_order": ["cdrom"]}, "boot_order", "no cdrom"),
    ({"boot_order": ["network"]}, "boot_order", "no nics"),
    ({"cdrom": "a\nb"}, "cdrom", "on one line"),
    ({"cloud_init": {"user_data": "\x00"}}, "cloud_init.user_data", "without control characters"),
    ({"cloud_init": {"user_data": "#" * 65537}}, "cloud_init.user_data", "at most 65536"),
    ({"cloud_init": {"user_data": "web"}}, "cloud_init.user_data", "begin with # or with a MIME header"),
    ({"cloud_init": {"user_data": " #cloud-config"}}, "cloud_init.user_data", "begin with #"),
    ({"console": {"graphics": "spice"}}, "console.graphics", "one of: none, vnc"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "path", "words"), WRONG, ids=lambda value: repr(value)[:40])
def test_what_breaks_a_rule_is_refused_with_the_field_and_the_rule(wrong, path, words):
    with pytest.raises(InvalidDefinition) as refused:
        VmDefinition.from_dict({**SMALL, **wrong})
    assert [problem for problem in refused.value.problems if problem.path == path and words in problem.rule]


def test_every_problem_is_told_at_once():
    with pytest.raises(InvalidDefinition) as refused:
        VmDefinition.from_dict({"name": "", "memory_mib": 1, "colour": "red"})
    assert {problem.path for problem in refused.value.problems} == {"name", "memory_mib", "colour"}


@pytest.mark.parametrize("raw", [None, [], "web", 7])
def test_what_is_no_mapping_is_no_definition(raw):
    with pytest.raises(InvalidDefinition, match="must be a mapping"):
        VmDefinition.from_dict(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#cloud-config\n",
        "#!/bin/sh\n",
        "## template: jinja\n",
        "Content-Type: multipart/mixed;",
        "mime-version: 1.0\n",
    ],
)
def test_what_cloud_init_takes_is_user_data(text: str):
    assert VmDefinition.from_dict({**SMALL, "cloud_init": {"user_data": text}}).cloud_init.user_data == text


def test_a_secret_that_breaks_a_rule_is_not_quoted():
    with pytest.raises(InvalidDefinition) as refused:
        VmDefinition.from_dict({**SMALL, "cloud_init": {"user_data": "canary\x00"}})
    assert "canary" not in str(refused.value)


def test_disks_and_cards_without_names_are_called_by_their_place():
    disks, nics = [{"size_mib": 1}, {"size_mib": 1, "name": "log"}, {"size_mib": 1}], [{"network": "a"}]
    vm = VmDefinition.from_dict({**SMALL, "disks": disks, "nics": nics})
    assert [disk.name for disk in vm.disks] == ["disk0", "log", "disk2"]
    assert [nic.name for nic in vm.nics] == ["nic0"]


def test_a_vm_without_a_uuid_is_known_by_its_name():
    vm = VmDefinition.from_dict(SMALL)
    assert (vm.uuid, vm.identity) == (None, identity_of("web"))
    assert identity_of("web") != identity_of("web2")
