# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vm_snapshot and vm_snapshot_info, run for real against a fake hypervisor."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a module against a hypervisor that has the VM ``web``; gives its answer."""

    def run_module(name: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        module = importlib.import_module(f"ansible_collections.millwright.virt.plugins.modules.{name}")
        where = {"hypervisor_type": "fake", "url": f"fake://{tmp_path}", "name": "web"}
        with patch_module_args({**where, **options, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    run_module("vm", memory_mib=64, disks=[{"template": "/templates/guest.qcow2"}])
    return run_module


def names(tree: list[dict[str, Any]]) -> list[Any]:
    return [[node["name"], *names(node["children"])] for node in tree]


def test_a_snapshot_is_taken_gone_back_to_and_deleted(run: Run):
    taken = run("vm_snapshot", snapshot="one", description="first")
    assert (taken["changed"], taken["snapshot"]["description"], taken["vm"]["power"]) == (True, "first", "off")
    assert run("vm_snapshot", snapshot="one")["changed"] is False
    run("vm", memory_mib=128, disks=[{"template": "/templates/guest.qcow2"}])
    back = run("vm_snapshot", snapshot="one", state="reverted")
    assert (back["changed"], back["vm"]["definition"]["memory_mib"]) == (True, 64)
    assert run("vm_snapshot", snapshot="one", state="reverted")["changed"] is True
    gone = run("vm_snapshot", snapshot="one", state="absent")
    assert (gone["changed"], gone["snapshot"], gone["snapshots"]) == (True, None, [])
    assert run("vm_snapshot", snapshot="one", state="absent")["changed"] is False


@pytest.mark.parametrize("state", ["present", "reverted"])
def test_in_check_mode_a_vm_that_is_still_to_be_made_is_warned_of(run: Run, monkeypatch, state: str):
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    run("vm", state="absent")
    planned = run("vm_snapshot", check=True, snapshot="one", state=state)
    assert (planned["changed"], planned["vm"], planned["snapshots"]) == (True, None, [])
    assert planned["code"] == "driver.vm_not_found" and "VM 'web' is not at the hypervisor" in warnings[0]
    assert run("vm_snapshot", snapshot="one", state=state)["failed"]


def test_the_tree_is_told_and_which_one_the_vm_is_on(run: Run):
    assert run("vm_snapshot_info") | {"invocation": None} == {
        "changed": False, "current": None, "snapshots": [], "invocation": None,
    }  # fmt: skip
    for snapshot in ("one", "two"):
        run("vm_snapshot", snapshot=snapshot)
    run("vm_snapshot", snapshot="one", state="reverted")
    last = run("vm_snapshot", snapshot="three")
    told = run("vm_snapshot_info")
    assert names(told["snapshots"]) == names(last["snapshots"]) == [["one", ["two"], ["three"]]]
    assert told["current"]["name"] == "three"


def test_check_mode_says_the_same_and_does_nothing(run: Run):
    for options in ({"state": "present"}, {"state": "reverted"}, {"state": "absent"}):
        before = run("vm_snapshot_info")
        plan = run("vm_snapshot", snapshot="one", check=True, **options)
        assert run("vm_snapshot_info") == before
        done = run("vm_snapshot", snapshot="one", **options)
        assert [plan[key] for key in ("changed", "vm", "diff")] == [done[key] for key in ("changed", "vm", "diff")]
        assert plan["diff"]["before"] != plan["diff"]["after"] or options["state"] == "reverted"


def test_a_guest_with_an_agent_is_brought_to_rest(run: Run, tmp_path: Path):
    Store(tmp_path).tell({"agents": ["web"]})
    run("vm_power", state="on")
    assert run("vm_snapshot", snapshot="one", quiesce="always")["quiesced"] is True
    assert run("vm_snapshot", snapshot="two", memory=True)["quiesced"] is False
    assert run("vm_snapshot", snapshot="three", quiesce="never")["quiesced"] is False


@pytest.mark.parametrize("name", ["1", "", "-x", "a b", "x" * 64, "{{ x }}"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(run: Run, name: str):
    refused = run("vm_snapshot", snapshot=name)
    assert (refused["code"], refused["begun"], refused["problems"][0]["path"]) == ("definition.invalid", False, "name")


def test_vm_info_tells_them_beside_the_vm_if_it_is_asked_to(run: Run):
    run("vm_snapshot", snapshot="one")
    assert "snapshots" not in run("vm_info")
    told = run("vm_info", snapshots=True)
    assert (told["vm"]["name"], names(told["snapshots"])) == ("web", [["one"]])
    assert run("vm_info", snapshots=True, name="gone")["snapshots"] is None


def test_a_snapshot_that_fails_leaves_none(run: Run, tmp_path: Path):
    Store(tmp_path).tell({"failures": [{"operation": "create_snapshot", "error": "driver.busy"}]})
    failed = run("vm_snapshot", snapshot="one")
    assert (failed["code"], failed["retryable"], failed["begun"]) == ("driver.busy", True, True)
    assert run("vm_snapshot_info")["snapshots"] == []
