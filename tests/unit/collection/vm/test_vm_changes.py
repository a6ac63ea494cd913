# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between definitions."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import Change, changes, merged
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

BEFORE = {
    "name": "web",
    "memory_mib": 64,
    "cpu": {"count": 2},
    "tags": {"a": "b"},
    "disks": [{"name": "root", "size_mib": 8}],
    "nics": [{"name": "front", "network": "lan", "mac": "52:54:00:00:00:01"}],
    "cloud_init": {"meta_data": "old"},
}


def differing(**after: Any) -> list[tuple[str, Any, Any]]:
    found = changes(VmDefinition.from_dict(BEFORE), VmDefinition.from_dict({**BEFORE, **after}))
    return [(change.path, change.before, change.after) for change in found]


def test_fields_are_named_by_their_path():
    assert differing(memory_mib=96) == [("memory_mib", 64, 96)]
    assert differing(cpu={"count": 4}) == [("cpu.count", 2, 4)]
    assert differing(tags={}) == [("tags", {"a": "b"}, {})]


def test_parts_of_lists_are_named_by_their_name():
    assert differing(disks=[{"name": "root", "size_mib": 16}]) == [("disks[root].size_mib", 8, 16)]


def test_parts_are_added_and_removed_whole():
    (added, removed) = differing(disks=[{"name": "other", "size_mib": 1}])
    assert (added[0], added[1], added[2]["size_mib"]) == ("disks[other]", None, 1)
    assert (removed[0], removed[1]["size_mib"], removed[2]) == ("disks[root]", 8, None)


def test_what_is_not_said_is_not_compared():
    assert differing(nics=[{"name": "front", "network": "lan"}], cloud_init=None) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [("memory_mib", "memory_mib"), ("disks[root].size_mib", "disks[].size_mib"), ("disks[root]", "disks[]")],
)
def test_the_kind_of_a_change_leaves_the_name_of_the_part_out(path, kind):
    assert Change(path, None, None).kind == kind


def test_a_limit_that_was_not_said_gives_way_to_what_was():
    before = VmDefinition.from_dict({"name": "web", "memory_mib": 64, "memory_max_mib": 96, "cpu": {"max_count": 4}})
    more = {"memory_mib": 128, "cpu": {"count": 3, "cores_per_socket": 3}}
    whole = merged(before, VmDefinition.from_dict({"name": "web", **more}))
    assert (whole.memory_max_mib, whole.cpu.max_count) == (128, 3)
    assert VmDefinition.from_dict(whole.to_dict()) == whole
    same = merged(before, VmDefinition.from_dict({"name": "web", "memory_mib": 32, "cpu": {"count": 2}}))
    assert (same.memory_max_mib, same.cpu.max_count) == (96, 4)
