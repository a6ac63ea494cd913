# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vm_capture, and vm where it changes a VM that runs, run for real against a fake hypervisor."""

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
ROOT = {"name": "root", "template": "/templates/guest.qcow2"}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a module against a hypervisor that has the VM ``web``; gives its answer."""

    def run_module(name: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        module = importlib.import_module(f"ansible_collections.millwright.virt.plugins.modules.{name}")
        where = {"hypervisor_type": "fake", "url": f"fake://{tmp_path}", "name": "web"}
        with patch_module_args({**where, **options, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    run_module("vm", memory_mib=64, disks=[ROOT])
    return run_module


def test_a_template_is_made_once(run: Run):
    plan = run("vm_capture", template="golden", check=True)
    done = run("vm_capture", template="golden")
    assert (plan["changed"], plan["template"], plan["diff"]) == (True, None, done["diff"])
    assert done["template"] == {"name": "golden.qcow2", "pool": "default", "size_mib": 16, "format": "qcow2"}
    again = run("vm_capture", template="golden")
    assert (again["changed"], again["template"]) == (False, done["template"])
    assert run("vm", name="other", memory_mib=64, disks=[{"template": "golden.qcow2"}])["changed"] is True


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden", "6d1f0a52-6f3c-5e0b-9a55-3d3b6f0f7a11-root"])
def test_a_name_that_could_be_another_file_is_refused(run: Run, name: str):
    refused = run("vm_capture", template=name)
    assert (refused["code"], refused["begun"], refused["problems"][0]["path"]) == ("definition.invalid", False, "name")


def test_a_capture_that_fails_makes_none(run: Run, tmp_path: Path):
    Store(tmp_path).tell({"failures": [{"operation": "capture", "times": 1}]})
    assert run("vm_capture", template="golden")["begun"] is True
    assert run("vm_capture", template="golden")["changed"] is True


def test_vm_tells_what_was_done_while_the_vm_ran_and_what_took_a_power_cycle(run: Run):
    run("vm_power", state="on")
    more = run("vm", memory_mib=64, disks=[ROOT, {"name": "data", "size_mib": 4}])
    assert (more["hot"], more["power_cycled"]) == (["disks[data]"], False)
    wanted = {"memory_mib": 96, "disks": [ROOT]}
    refused = run("vm", **wanted)
    assert (refused["code"], "allow_disk_removal" in refused["msg"]) == ("driver.unsupported", True)
    refused = run("vm", **wanted, allow_disk_removal=True)
    assert (refused["code"], refused["begun"]) == ("driver.invalid_transition", False)
    done = run("vm", **wanted, allow_disk_removal=True, allow_power_cycle=True)
    assert (done["hot"], done["power_cycled"], done["vm"]["power"]) == ([], True, "on")
    assert run("vm", **wanted)["changed"] is False


def test_a_disc_is_ejected_and_that_is_undone_by_putting_it_in_again(run: Run):
    run("vm", memory_mib=64, disks=[ROOT], cdrom="/isos/a.iso")
    run("vm_power", state="on")
    done = run("vm", memory_mib=64, disks=[ROOT], cdrom="")
    assert (done["hot"], done["changes"]) == (
        ["cdrom"], [{"path": "cdrom", "before": "/isos/a.iso", "after": ""}],
    )  # fmt: skip
    for changed in (True, False):
        assert run("vm", memory_mib=64, disks=[ROOT], cdrom="/isos/a.iso")["changed"] is changed
    assert run("vm", memory_mib=64, disks=[ROOT])["changed"] is False


def test_a_refused_change_says_what_the_vm_is(run: Run):
    run("vm", memory_mib=64, disks=[{**ROOT, "size_mib": 32}])
    refused = run("vm", memory_mib=64, disks=[{**ROOT, "size_mib": 16}])
    assert (refused["code"], refused["begun"]) == ("driver.unsupported", False)
    assert refused["vm"]["definition"]["disks"][0]["size_mib"] == 32


def test_a_guest_that_may_not_lose_its_power_runs_on_as_it_was(run: Run, tmp_path: Path):
    Store(tmp_path).tell({"deaf_guests": ["web"]})
    run("vm_power", state="on")
    wanted = {"memory_mib": 128, "disks": [ROOT], "allow_power_cycle": True, "shutdown_timeout": 0}
    refused = run("vm", **wanted, shutdown_force=False)
    assert refused["code"] == "driver.timed_out"
    assert "it runs on as it was. To take its power away" in refused["msg"] and "reconfigure_hard_off" in refused["msg"]
    assert "force: true (an option of millwright.virt.vm_power)" in run("vm_power", state="shutdown", timeout=0)["msg"]
    now = run("vm_info")["vm"]
    assert (now["power"], now["definition"]["memory_mib"]) == ("on", 64)
    assert run("vm", **wanted)["power_cycled"] is True


def test_what_a_guest_runs_otherwise_is_mended_or_told_with_what_mends_it(run: Run, tmp_path: Path, monkeypatch):
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    store, wanted = Store(tmp_path), {"memory_mib": 64, "disks": [ROOT]}
    assert run("vm_power", state="on")["changed"]
    with store.change() as world:
        [machine] = world.machines.values()
        machine.live = [
            {"path": "memory_mib", "before": 64, "after": 96},
            {"path": "cdrom", "before": "", "after": "a"},
        ]
    planned = run("vm", check=True, **wanted)
    done = run("vm", **wanted)
    for one in (planned, done):
        assert (one["changed"], one["mended"], one["changes"], one["power_cycled"]) == (True, ["cdrom"], [], False)
        assert [apart["path"] for apart in one["vm"]["live_differences"]] == ["memory_mib"]
        assert "live_differences" in one["diff"]["before"]
    assert "memory_mib" in warnings[-1] and "allow_power_cycle: true does that" in warnings[-1]
    again = run("vm", **wanted)
    assert (again["changed"], again["mended"]) == (False, [])
    cycled = run("vm", **wanted, allow_power_cycle=True)
    assert (cycled["mended"], cycled["power_cycled"]) == (["memory_mib"], True)
    assert (cycled["vm"]["live_differences"], cycled["vm"]["power"]) == ([], "on")
    assert not run("vm", **wanted, allow_power_cycle=True)["changed"]


def test_vm_power_takes_the_power_from_a_deaf_guest_if_it_is_forced(run: Run, tmp_path: Path):
    Store(tmp_path).tell({"deaf_guests": ["web"]})
    run("vm_power", state="on")
    assert run("vm_power", state="shutdown", timeout=0)["code"] == "driver.timed_out"
    assert run("vm_power", state="shutdown", timeout=0, force=True)["vm"]["power"] == "off"


def test_a_vm_that_does_not_start_as_wanted_gets_its_old_definition_back(run: Run, tmp_path: Path):
    run("vm_power", state="on")
    Store(tmp_path).tell(
        {"failures": [{"operation": "power_on", "times": 1, "error": "driver.insufficient_resources"}]}
    )
    failed = run("vm", memory_mib=128, disks=[ROOT], allow_power_cycle=True)
    assert failed["code"] == "driver.insufficient_resources"
    now = run("vm_info")["vm"]
    assert (now["power"], now["definition"]["memory_mib"]) == ("on", 64)


def test_a_mistyped_option_is_named_before_the_one_that_it_leaves_missing(run: Run):
    assert "Unsupported parameters" in (said := run("vm", memroy_mib=64)["msg"]) and "memroy_mib" in said
    assert run("vm")["msg"] == "state is present but all of the following are missing: memory_mib"


def test_who_has_a_paused_guest_is_not_told_to_cycle_its_power(run: Run, tmp_path: Path, monkeypatch):
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    for state in ("on", "paused"):
        assert run("vm_power", state=state)["changed"]
    with Store(tmp_path).change() as world:
        [machine] = world.machines.values()
        machine.live = [{"path": "memory_mib", "before": 64, "after": 96}]
    assert not run("vm", memory_mib=64, disks=[ROOT], allow_power_cycle=True)["changed"]
    assert "memory_mib" in warnings[-1]
    assert "allow_power_cycle" not in warnings[-1]
