# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of VMs, and templates made of them, on the command line."""

from __future__ import annotations

import pytest


@pytest.fixture
def web(shop, ok):
    ok("vm", "deploy", "web1")


def test_snapshots_are_shown_below_those_that_they_were_taken_on(ok, millwright, web):
    assert millwright("vm", "snapshot", "list", "web1").stderr == "There are none.\n"
    for name in ("first", "second"):
        assert "finished" in ok("vm", "snapshot", "create", "web1", name, "--description", f"the {name}")
    lines = ok("vm", "snapshot", "list", "web1").splitlines()[-2:]
    assert lines[0].startswith("first ") and "the first" in lines[0] and "here" not in lines[0]
    assert lines[1].startswith("- second ") and "here" in lines[1]


def test_what_is_said_of_a_snapshot_is_sent_and_nothing_else(api, ok, web):
    ok("vm", "snapshot", "create", "web1", "plain")
    ok("vm", "snapshot", "create", "web1", "whole", "--memory", "--quiesce", "never", "--description", "x")
    sent = [body for method, path, body in api.asked if method == "POST" and path.endswith("/snapshots")]
    assert sent == [
        {"name": "plain"}, {"name": "whole", "memory": True, "quiesce": "never", "description": "x"},
    ]  # fmt: skip


def test_a_vm_goes_back_to_a_snapshot_and_the_snapshot_is_deleted(as_json, ok, web):
    for name in ("first", "second"):
        ok("vm", "snapshot", "create", "web1", name)
    assert "Revert web1 finished" in ok("vm", "snapshot", "revert", "web1", "first")
    [first] = as_json("vm", "snapshot", "list", "web1")["items"]
    assert (first["current"], [child["name"] for child in first["children"]]) == (True, ["second"])
    assert "Delete snapshot web1 finished" in ok("vm", "snapshot", "delete", "web1", "first")
    assert [one["name"] for one in as_json("vm", "snapshot", "list", "web1")["items"]] == ["second"]


def test_a_name_that_would_end_an_address_is_looked_for_as_it_is(millwright, ok, web):
    ok("vm", "snapshot", "create", "web1", "first")
    for name in ("first?x=1", "first#x"):
        refused = millwright("vm", "snapshot", "delete", "web1", name)
        assert refused.exit_code == 1
        assert repr(name) in refused.stderr and "[not_found]" in refused.stderr


def test_a_snapshot_that_is_there_is_refused_with_its_code(millwright, ok, web):
    ok("vm", "snapshot", "create", "web1", "first")
    assert "[snapshot.exists]" in millwright("vm", "snapshot", "create", "web1", "first").stderr


def test_a_template_is_made_of_a_vm_that_is_off(api, millwright, as_json, ok, web):
    assert "[vm.state]" in millwright("vm", "capture", "web1", "golden").stderr
    ok("vm", "power", "off", "web1")
    assert "Capture web1 finished" in ok("vm", "capture", "web1", "golden", "--format", "raw", "--disk", "root")
    sent = [body for method, path, body in api.asked if path.endswith("/capture")][-1]
    assert sent == {"name": "golden", "format": "raw", "disk": "root"}
    assert as_json("template", "show", "golden")["path"] == "golden.raw"
    assert "[template.exists]" in millwright("vm", "capture", "web1", "golden").stderr
