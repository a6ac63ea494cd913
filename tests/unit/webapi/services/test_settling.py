# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is defined as when a change of it stays in part."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from webapi.services.settling import settled, with_grown


def definition(**more: Any) -> dict[str, Any]:
    disks = [{"name": "root", "size_mib": 8}]
    return VmDefinition.from_dict({"name": "web", "memory_mib": 64, "disks": disks, **more}).to_dict()


def outcome(before: dict[str, Any], wanted: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    native = {**wanted, "name": f"{wanted['name']}-1a2b"}
    return settled(before, wanted, native, {"definition": {**seen, "name": f"{seen['name']}-1a2b"}})


BEFORE = definition()
WANTED = definition(
    name="www", memory_mib=128, disks=[{"name": "root", "size_mib": 16}, {"name": "data", "size_mib": 4}],
    nics=[{"name": "front", "network": "default"}],
)  # fmt: skip


def test_all_of_it_stays_or_none():
    assert outcome(BEFORE, WANTED, WANTED) == WANTED
    assert outcome(BEFORE, WANTED, BEFORE) == BEFORE


SEEN = {
    "the disk has grown": {"disks": [{"name": "root", "size_mib": 16}]},
    "the disk has grown, but not by all": {"disks": [{"name": "root", "size_mib": 12}]},
    "the other disk was added": {"disks": [{"name": "root", "size_mib": 8}, {"name": "data", "size_mib": 4}]},
    "it has its memory and its card": {"memory_mib": 128, "nics": [{"name": "front", "network": "default"}]},
    "it has its name": {"name": "www"},
}


@pytest.mark.parametrize("what", SEEN)
def test_what_was_seen_stays_and_nothing_else(what: str):
    seen = definition(**SEEN[what])
    assert outcome(BEFORE, WANTED, seen) == seen


def test_a_part_that_was_to_go_and_is_there_stays():
    two = definition(disks=[{"name": "root", "size_mib": 8}, {"name": "data", "size_mib": 4}])
    fewer = definition(memory_mib=96)
    assert outcome(two, fewer, two) == two
    assert outcome(two, fewer, fewer) == fewer


@pytest.mark.parametrize("vm", [None, {}, {"definition": None}, {"definition": {"memory_mib": "a lot"}}])
def test_what_was_not_seen_changes_nothing(vm: dict[str, Any] | None):
    assert settled(BEFORE, WANTED, WANTED, vm) == with_grown(BEFORE, vm) == BEFORE


def test_the_size_of_a_template_stays_unsaid():
    linked = definition(disks=[{"name": "root", "template": "/t.qcow2"}])
    assert with_grown(linked, {"definition": definition(disks=[{"name": "root", "size_mib": 16}])}) == linked
