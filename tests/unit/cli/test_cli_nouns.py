# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every noun's commands, against the fake API."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests.unit.cli.conftest import SHOP
from webapi.cli import session
from webapi.cli.client import PAGE
from webapi.cli.output import table
from webapi.cli.runners import COLUMNS as RUNNER_COLUMNS
from webapi.cli.vm import OF_ALL

NOUNS = ["datacenter", "hypervisor", "template", "vdc", "vapp", "vm", "task", "job", "dlq", "event", "runners"]


@pytest.mark.parametrize("noun", NOUNS)
def test_an_empty_list_says_so_beside_an_empty_output(millwright, noun):
    result = millwright(noun, "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "There are none.\n")


@pytest.mark.parametrize("noun", NOUNS)
def test_an_empty_list_in_json_is_the_apis(as_json, noun):
    assert as_json(noun, "list") == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("noun", "name"), [("datacenter", "dc1"), ("hypervisor", "kvm-1"), ("template", "tiny"), ("vdc", "lab")]
)
def test_what_was_made_is_listed_and_shown(ok, as_json, lab, noun, name):
    assert name in ok(noun, "list")
    assert f"name: {name}" in ok(noun, "show", name)
    assert as_json(noun, "show", name)["name"] == name


@pytest.mark.parametrize(("noun", "name"), [("hypervisor", "kvm-1"), ("template", "tiny"), ("vdc", "lab")])
def test_what_was_deleted_is_gone(ok, as_json, lab, noun, name):
    assert f"{name} was deleted" in ok(noun, "delete", name)
    assert as_json(noun, "list")["items"] == []


def test_deleting_answers_nothing_in_json(ok, lab):
    assert ok("template", "delete", "tiny", "-o", "json") == ""


def test_a_datacenter_tells_what_its_runners_need(ok, as_json, tmp_path):
    key = tmp_path / "key.pub"
    key.write_text("c2VhbGVk\n")
    told = ok("datacenter", "create", "dc1", "--public-key-file", str(key))
    made = as_json("datacenter", "show", "dc1")
    assert made["public_key"] == "c2VhbGVk"
    assert f"MILLWRIGHT_DATACENTER={made['id']}" in told


def test_a_password_comes_from_standard_input_and_is_never_shown(ok, api):
    ok("datacenter", "create", "dc1")
    said = ok(
        "hypervisor", "register", "esx", "--type", "vsphere", "--url", "https://esx", "--datacenter", "dc1",
        "--username", "root", "--password-stdin", "--no-validate-certs", "--open-sessions", "4", stdin="s3cret\n",
    )  # fmt: skip
    sent = next(body for method, path, body in api.asked if (method, path) == ("POST", "/api/v1/hypervisors"))
    del sent["datacenter_id"]
    assert sent == {
        "name": "esx", "type": "vsphere", "url": "https://esx", "username": "root", "password": "s3cret",
        "validate_certs": False, "open_sessions": 4,
    }  # fmt: skip
    assert "s3cret" not in said


def test_registering_a_hypervisor_tests_the_connection(ok, as_json):
    ok("datacenter", "create", "dc1")
    ok("hypervisor", "register", "kvm-1", "--type", "libvirt", "--url", "qemu:///system", "--datacenter", "dc1")
    assert as_json("hypervisor", "show", "kvm-1")["state"] == "MANAGED"
    assert "Discover kvm-1 finished in" in ok("hypervisor", "discover", "kvm-1")


def test_an_appliance_comes_from_a_file(ok, as_json, shop):
    shown = as_json("vapp", "show", "shop")
    assert [(vm["name"], vm["definition"]["memory_mib"]) for vm in shown["vms"]] == [("web1", 256), ("web2", 512)]
    assert shown["vms"][0]["definition"]["disks"][0]["template"] == "/images/tiny.qcow2"
    assert "NOT_DEPLOYED" in ok("vapp", "list")
    assert "web2" in ok("vapp", "show", "shop")


def test_an_appliance_can_begin_empty(ok, as_json, lab):
    ok("vapp", "create", "empty", "--vdc", "lab")
    assert as_json("vapp", "show", "empty")["vms"] == []
    ok("vapp", "delete", "empty")


@pytest.mark.parametrize("words", [["shop"], ["--vdc", "lab"], []])
def test_an_appliance_needs_a_file_or_a_name_and_a_place(millwright, words):
    result = millwright("vapp", "create", *words)
    assert result.exit_code == 2
    assert "Give either --file, or NAME and --vdc." in result.stderr


def test_a_vm_lives_from_its_creation_to_its_end(ok, as_json, shop):
    ok("vm", "create", "db", "--vapp", "shop", "--template", "tiny", "--memory-mib", "1024", "--cpus", "4")
    assert as_json("vm", "show", "db")["definition"]["cpu"]["count"] == 4
    ok("vm", "deploy", "db")
    for action, state in (("pause", "PAUSED"), ("resume", "ON"), ("reset", "ON"), ("shutdown", "OFF"), ("on", "ON")):
        ok("vm", "power", action, "db", "--timeout", "30")
        assert as_json("vm", "show", "db")["state"] == state
    ok("vm", "power", "off", "db")
    ok("vm", "refresh", "db")
    assert "Reconfigure data finished" in ok("vm", "reconfigure", "db", "--memory-mib", "2048", "--rename", "data")
    ok("vm", "undeploy", "data")
    assert "VM data was deleted" in ok("vm", "delete", "data")
    assert [vm["name"] for vm in as_json("vm", "list", "--vapp", "shop")["items"]] == ["web1", "web2"]


@pytest.mark.parametrize(
    ("words", "question"),
    [
        (["vm", "undeploy", "web1"], "Remove VM web1 with its disks?"),
        (["vapp", "undeploy", "shop"], "Remove all VMs of shop with their disks?"),
        (["vapp", "delete", "shop"], "Forget shop and all its VMs for good?"),
    ],
)
def test_what_loses_disks_asks_first_at_a_terminal_only(ok, millwright, api, shop, monkeypatch, words, question):
    if words[1] == "undeploy":
        ok("vapp", "deploy", "shop")
    monkeypatch.setattr(session, "at_terminal", lambda: True)
    before = len(api.asked)
    refused = millwright(*words, stdin="n\n")
    assert (refused.exit_code, question in refused.stderr, len(api.asked)) == (1, True, before)
    assert question not in millwright(*words, "-y").stderr
    assert len(api.asked) > before


def last_body(api) -> dict:
    """What was sent last, as a change or as a wish."""
    return [body for method, _, body in api.asked if method in ("PUT", "POST")][-1]


def test_what_a_change_may_do_besides_is_sent_only_if_it_is_said(api, ok, shop):
    ok("vm", "deploy", "web1")
    ok("vm", "reconfigure", "web1", "--cpus", "2")
    assert last_body(api).keys() == {"definition"}
    words = ("--allow-power-cycle", "--allow-disk-removal", "--timeout", "30")
    ok("vm", "reconfigure", "web1", "--cpus", "3", *words)
    sent = {name: value for name, value in last_body(api).items() if name != "definition"}
    assert sent == {"allow_power_cycle": True, "allow_disk_removal": True, "timeout": 30}


def test_a_permission_alone_is_no_change(millwright, shop):
    assert "Say what to change" in millwright("vm", "reconfigure", "web1", "--allow-power-cycle").stderr


def test_a_shutdown_that_may_be_forced_says_so(api, ok, shop):
    ok("vm", "deploy", "web1")
    ok("vm", "power", "shutdown", "web1", "--timeout", "5", "--force")
    assert last_body(api) == {"action": "shutdown", "timeout": 5, "force": True}


def test_a_vm_that_is_nowhere_is_reconfigured_at_once(ok, as_json, shop):
    assert ok("vm", "reconfigure", "web1", "--cpus", "2") == "VM web1 was changed.\n"
    definition = as_json("vm", "show", "web1")["definition"]
    assert definition["cpu"] == {"count": 2, "cores_per_socket": 1, "max_count": None}
    assert definition["memory_mib"] == 256


def test_a_reconfiguration_from_a_file_keeps_the_template(ok, as_json, millwright, shop, tmp_path):
    file = tmp_path / "vm.yml"
    file.write_text("name: web1\ntemplate: tiny\nmemory_mib: 128\n")
    assert ok("vm", "reconfigure", "web1", "-f", str(file)) == "VM web1 was changed.\n"
    definition = as_json("vm", "show", "web1")["definition"]
    assert (definition["memory_mib"], definition["disks"][0]["template"]) == (128, "/images/tiny.qcow2")
    file.write_text("name: web1\ntemplate: other\nmemory_mib: 128\n")
    refused = millwright("vm", "reconfigure", "web1", "-f", str(file))
    assert refused.exit_code == 1
    assert "template: cannot change: the VM is made from tiny" in refused.stderr


def test_a_reconfiguration_must_say_what(millwright, shop):
    result = millwright("vm", "reconfigure", "web1")
    assert result.exit_code == 2
    assert "--memory-mib" in result.stderr


def test_a_vm_comes_from_a_file_and_options_win_over_it(ok, as_json, shop, tmp_path):
    file = tmp_path / "vm.yml"
    file.write_text("name: db\ntemplate: tiny\nmemory_mib: 128\ntags: {tier: data}\n")
    ok("vm", "create", "cache", "--vapp", "shop", "-f", str(file), "--memory-mib", "64")
    made = as_json("vm", "show", "cache")["definition"]
    assert (made["memory_mib"], made["tags"]) == (64, {"tier": "data"})


def test_vms_are_listed_with_their_appliance_unless_it_was_asked_for(ok, shop):
    title, _, first, *_ = (line.split() for line in ok("vm", "list").splitlines())
    assert (title[:2], first[:2]) == (["Name", "Appliance"], ["web1", "shop"])
    assert "Appliance" not in ok("vm", "list", "--vapp", "shop") + ok("vapp", "show", "shop")


def test_vms_are_listed_by_state(as_json, shop):
    assert len(as_json("vm", "list", "--state", "not_allocated")["items"]) == 2
    assert as_json("vm", "list", "--state", "ON")["items"] == []


def test_a_list_reads_as_many_pages_as_it_needs_and_says_what_it_left_out(api, millwright, as_json):
    for number in range(PAGE + 50):
        api.add("vms", name=f"vm{number}", locked_by=None, state="ON", addresses=[], hypervisor_name="kvm-1",
                definition={"cpu": {"count": 1}, "memory_mib": 16})  # fmt: skip
    assert len(as_json("vm", "list", "--limit", "0")["items"]) == PAGE + 50
    listing = as_json("vm", "list", "--limit", str(PAGE + 10))
    assert (len(listing["items"]), listing["next"]) == (PAGE + 10, str(PAGE + 10))
    assert "These are the first 5" in millwright("vm", "list", "--limit", "5").stderr


def test_a_list_in_a_pipe_has_no_padding(api, ok):
    for text in ("short", "long " * 20 + "end"):
        api.add("events", severity="INFO", text=text, owner=None, task_id=None)
    lines = ok("event", "list").splitlines()
    assert len(lines) == 4 and lines[3].endswith("short")


def test_events_are_filtered(api, ok):
    api.add("events", severity="INFO", text="web1 is ON", owner=None, task_id=None)
    api.add("events", severity="CRITICAL", text="disk left", owner=None, task_id=None)
    assert "web1 is ON" in ok("event", "list")
    assert "web1" not in ok("event", "list", "--severity", "critical")


def test_tasks_are_listed_newest_first_and_shown_by_the_id_of_the_table(ok, as_json, shop):
    ok("vapp", "deploy", "shop")
    listed = as_json("task", "list", "--type", "deploy")["items"]
    assert ok("task", "list").splitlines()[2].startswith(listed[0]["id"][:8])
    shown = ok("task", "show", listed[0]["id"][:8])
    assert "deploy shop at kvm-1" in shown
    assert "web2" in shown


def test_a_list_is_as_narrow_as_what_it_shows_and_cuts_nothing_in_a_pipe(ok, lab):
    ok("template", "create", "t2", "--datacenter", "dc1", "--path", "/images/" + "x" * 200)
    lines = ok("template", "list").splitlines()
    assert "x" * 200 in lines[-1]
    assert max(map(len, lines)) < 300


def test_a_narrow_terminal_cuts_names_and_never_ids():
    vm = {
        "id": "0123456789", "name": "n" * 60, "state": "NOT_ALLOCATED", "locked_by": "a task",
        "addresses": ["10.0.0.1"] * 4, "definition": {"cpu": {"count": 512}, "memory_mib": 16777216},
        "hypervisor_name": "h" * 40, "virtualappliance_name": "a" * 40,
    }  # fmt: skip
    screen = Console(file=io.StringIO(), width=80)
    screen.print(table(OF_ALL, [vm]))
    lines = screen.file.getvalue().splitlines()
    assert len(lines) == 3
    assert all(whole in lines[2] for whole in ("01234567", "NOT_ALLOCATED, locked", "16777216", "nn…", "hh…"))


def test_a_file_and_the_json_of_the_api_agree(tmp_path: Path, as_json, lab):
    file = tmp_path / "shop.yml"
    file.write_text(SHOP)
    made = as_json("vapp", "create", "-f", str(file))
    assert made == as_json("vapp", "show", "shop")
    assert json.dumps(made)


@pytest.mark.parametrize(("noun", "name"), [("hypervisor", "kvm-1"), ("vdc", "lab")])
def test_a_bound_of_sessions_is_set_and_taken_back(ok, as_json, millwright, lab, noun, name):
    assert "at most 4 operations" in ok(noun, "set", name, "--open-sessions", "4")
    assert as_json(noun, "show", name)["open_sessions"] == 4
    ok(noun, "set", name, "--open-sessions", "default")
    assert as_json(noun, "show", name)["open_sessions"] is None
    assert millwright(noun, "set", name).exit_code == 2
    for wrong in ("0", "257", "many"):
        assert millwright(noun, "set", name, "--open-sessions", wrong).exit_code == 2


def test_authorities_of_a_hypervisor_come_from_a_file_that_is_read_here(ok, as_json, millwright, api, lab, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("-----BEGIN CERTIFICATE-----")
    words = ["vc", "--type", "vsphere", "--url", "https://vc", "--datacenter", "dc1", "--ca-file", str(file)]
    ok("hypervisor", "register", *words)
    sent = [body for method, path, body in api.asked if (method, path) == ("POST", "/api/v1/hypervisors")][-1]
    assert sent["ca_certificates"] == "-----BEGIN CERTIFICATE-----"
    assert "authorities of their hosts" in ok("hypervisor", "set", "vc", "--ca-file", "default")
    assert as_json("hypervisor", "show", "vc")["ca_certificates"] is None
    said = ok("hypervisor", "set", "vc", "--ca-file", str(file), "--open-sessions", "3")
    assert "at most 3 operations" in said and "given authorities" in said
    for wrong in (tmp_path, tmp_path / "none.pem"):
        assert millwright("hypervisor", "set", "vc", "--ca-file", str(wrong)).exit_code == 2
    file.write_bytes(b"\x30\x82\xff\xfe")
    assert "in PEM" in millwright("hypervisor", "set", "vc", "--ca-file", str(file)).stderr


def test_a_vdc_is_made_with_a_bound_of_its_own(as_json, millwright, lab):
    words = ("vdc", "create", "small", "--datacenter", "dc1", "--type", "fake", "--open-sessions")
    assert millwright(*words, "257").exit_code == 2
    assert as_json(*words, "1")["open_sessions"] == 1


def test_bounds_are_shown_and_set_for_the_platform_and_for_a_type(ok, as_json):
    assert "platform" in ok("sessions", "show")
    ok("sessions", "set", "3", "--power-passes")
    ok("sessions", "set", "8", "--type", "libvirt")
    assert as_json("sessions", "set", "4", "--no-power-passes") == {
        "platform": {"open_sessions": 4, "power_passes": False},
        "types": {"libvirt": {"open_sessions": 8, "power_passes": True}},
    }
    assert as_json("sessions", "set", "default", "--type", "libvirt")["types"] == {}
    assert as_json("sessions", "set", "default")["platform"]["open_sessions"] == 2


def runner(api, name: str, state: str, **more) -> dict:
    lanes = [{"hypervisor_id": "h1", "hypervisor_name": "kvm-1", "sessions": 2, "in_use": 2, "waiting": 5}]
    return api.add("runners", **{
        "name": name, "state": state, "datacenter_id": "d1", "datacenter_name": "dc1",
        "seen_at": "2026-01-02T12:00:00Z", "started_at": "2026-01-02T11:00:00Z", "partitions": [0, 2], "draining": [2],
        "max_runs": 8, "running": 2, "sessions_in_use": 2, "requests": 3, "waiting": 5, "lanes": lanes, **more,
    })  # fmt: skip


@pytest.mark.parametrize("words", [["runners"], ["runners", "list"]])
def test_runners_are_listed_with_what_they_own(ok, api, words):
    runner(api, "far", "alive")
    runner(api, "near", "silent")
    shown = ok(*words)
    assert "0 (2)" in shown and "2/8" in shown and "dc1" in shown
    assert "silent, 01-02 " in shown


def test_runners_fit_a_narrow_terminal_whole_but_for_names():
    api = SimpleNamespace(add=lambda _, **fields: {"id": "0123456789", **fields})
    rows = [runner(api, "r" * 40, "silent", partitions=list(range(16))), runner(api, "near", "alive")]
    screen = Console(file=io.StringIO(), width=80)
    screen.print(table(RUNNER_COLUMNS, rows))
    title, _, silent, alive = screen.file.getvalue().splitlines()
    assert all(name in title for name in ("State", "Runs", "Requests", "Waiting", "ID"))
    assert all(whole in silent for whole in ("silent, 01-02 ", "2/8", "01234567"))
    assert "near" in alive


def test_runners_explain_their_columns(ok):
    said = ok("runners", "--help")
    assert all(f"\n  {word} " in said for word in ("Runs", "Requests", "Waiting", "Lanes"))


def test_runners_answer_in_json_without_a_command_too(as_json, api):
    runner(api, "far", "alive")
    assert [each["name"] for each in as_json("runners")["items"]] == ["far"]


def test_a_runner_is_shown_with_its_lanes_by_the_name_that_its_dead_forerunner_had_too(ok, as_json, millwright, api):
    runner(api, "far", "stopped", lanes=[])
    alive = runner(api, "far", "alive")
    shown = ok("runners", "show", "far")
    assert "state: alive" in shown and "kvm-1" in shown and "2/2" in shown
    assert as_json("runners", "show", "far")["id"] == as_json("runners", "show", alive["id"][:8])["id"] == alive["id"]
    runner(api, "far", "alive")
    assert "2 runners" not in millwright("runners", "show", "far").stdout
    assert "3 runners are called 'far'" in millwright("runners", "show", "far").stderr
