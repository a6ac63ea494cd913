# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, by whom, and how the command line says so."""

from __future__ import annotations

import socket

import flask
import pytest
from click.testing import CliRunner

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import fields_of
from tests.unit.cli.serving import served
from webapi.cli import tree
from webapi.cli.main import main


def run(*words: str, api: str, token: str = "a-token"):
    return CliRunner().invoke(main, ["--api", api, "--token", token, *words], catch_exceptions=False)


def refused(result) -> str:
    """What is said on standard error by a command that was refused and answered nothing."""
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


def test_a_guard_is_told_in_the_apis_words_with_its_code(millwright, shop):
    said = refused(millwright("vm", "power", "on", "web1"))
    assert said == "Error: VM 'web1' is NOT_ALLOCATED; this needs OFF [vm.state]\n"


def test_an_empty_appliance_cannot_be_deployed(millwright, ok, lab):
    ok("vapp", "create", "empty", "--vdc", "lab")
    assert "[vapp.empty]" in refused(millwright("vapp", "deploy", "empty"))


def test_each_wrong_field_that_the_api_finds_has_a_line(millwright, shop):
    said = refused(millwright("vm", "create", "db", "--vapp", "shop", "--memory-mib", "4", "--cpus", "0"))
    assert said.splitlines() == [
        "Error: the API refused what was sent [definition.invalid]",
        "  definition.cpu.count: must be at least 1, not 0",
        "  definition.memory_mib: must be at least 16, not 4",
    ]


def test_a_wrong_file_is_refused_in_the_same_words_before_the_api_is_asked(millwright, api, tmp_path):
    file = tmp_path / "shop.yml"
    file.write_text("{name: shop, virtualdatacenter: lab, vms: [{name: web1, memory_mib: 4}, {name: a/b, cpus: 2}]}")
    known = ", ".join(["template", *(each.name for each in fields_of(VmDefinition) if each.name != "uuid")])
    assert refused(millwright("vapp", "create", "-f", str(file))).splitlines()[:3] == [
        f"Error: {file} is not valid [definition.invalid]",
        "  vms[0].memory_mib: must be at least 16, not 4",
        f"  vms[1].cpus: unknown field, did you mean 'cpu'? known are: {known}",
    ]
    assert api.asked == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: shop", "virtualdatacenter: is required"),
        ("[]", "must be a mapping, not"),
        ("{name: no, virtualdatacenter: lab}", "name: must be a string, not False"),
        ("{name: a, virtualdatacenter: b, vms: [web1]}", "vms[0]: must be a mapping"),
        ("{name: a, virtualdatacenter: b, vms: [{name: w, memory_mib: 16, template: 7}]}", "vms[0].template: must be"),
        (
            "{name: a, virtualdatacenter: b, vms: [{name: w, memory_mib: 16, uuid: x}]}",
            "vms[0].uuid: is given by",
        ),
        ("{name: a, virtualdatacenter: b, vms: [{name: w, memory_mib: 16, disks: [{bus: scsi}]}]}", "size_mib"),
        (
            "{name: a, virtualdatacenter: b, vms: [{name: w, memory_mib: 16, templat: x}]}",
            "vms[0].templat: unknown field, did you mean 'template'? known are: template, name, ",
        ),
        ("name: [", "is not YAML"),
    ],
)
def test_a_file_that_is_no_appliance_is_explained(millwright, tmp_path, text, problem):
    file = tmp_path / "shop.yml"
    file.write_text(text)
    assert problem in refused(millwright("vapp", "create", "-f", str(file)))


def test_a_file_that_is_not_yaml_is_named_with_the_line(millwright, tmp_path):
    file = tmp_path / "shop.yml"
    file.write_text("name: shop\nvms: [")
    assert f'in "{file}", line 2, column 7' in refused(millwright("vapp", "create", "-f", str(file)))


def test_the_first_disk_needs_no_size_where_a_template_gives_it(ok, lab, tmp_path):
    file = tmp_path / "shop.yml"
    file.write_text(
        "{name: a, virtualdatacenter: lab, vms: [{name: w, memory_mib: 16, template: tiny, disks: [{bus: scsi}]}]}"
    )
    ok("vapp", "create", "-f", str(file))


def test_a_file_that_is_not_there_is_wrong_usage(millwright):
    assert millwright("vapp", "create", "-f", "/nowhere.yml").exit_code == 2


def test_a_name_that_does_not_exist_says_where_to_look(millwright):
    assert refused(millwright("vapp", "deploy", "shop")) == (
        "Error: there is no virtual appliance 'shop'; millwright vapp list shows what there is\n"
    )


def test_an_id_that_does_not_exist_is_no_name(millwright):
    missing = "00000000-0000-4000-8000-000000000000"
    assert refused(millwright("vm", "show", missing)) == f"Error: there is no VM with the id {missing}\n"


def test_an_ambiguous_name_lists_its_candidates(millwright, ok, as_json, shop):
    ok("vapp", "create", "other", "--vdc", "lab")
    ok("vm", "create", "web1", "--vapp", "other", "--memory-mib", "64")
    ids = [vm["id"] for vm in as_json("vm", "list")["items"] if vm["name"] == "web1"]
    said = refused(millwright("vm", "show", "web1"))
    assert "2 VMs are called 'web1'; give the id of the one you mean, or APPLIANCE/VM:" in said
    assert all(f"  {id}  {vapp}/web1  " in said for id, vapp in zip(ids, ("shop", "other"), strict=True))
    assert as_json("vm", "show", ids[1])["definition"]["memory_mib"] == 64
    assert [as_json("vm", "show", f"{vapp}/web1")["id"] for vapp in ("shop", "other")] == ids
    assert as_json("vm", "show", f"shop/{ids[0][:8]}")["id"] == ids[0]


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        ("other/web1", "virtual appliance 'other'"),
        ("shop/db", "VM 'shop/db'"),
        ("/web1", "virtual appliance ''"),
        ("shop/", "VM 'shop/'"),
    ],
)
def test_a_vm_that_its_appliance_lacks_does_not_exist(millwright, shop, wanted, missing):
    assert f"there is no {missing}" in refused(millwright("vm", "show", wanted))


def test_an_ambiguous_beginning_of_an_id_lists_its_candidates(millwright, api):
    for number in range(2):
        api.rows["tasks"][f"abcdabcd-000{number}"] = {"id": f"abcdabcd-000{number}"}
    assert "abcdabcd-0001" in refused(millwright("task", "show", "abcdabcd"))


def test_a_word_that_looks_like_an_id_hits_nobody(millwright, api, shop):
    vm = next(iter(api.rows["vms"].values()))
    api.rows["vms"] = {"cafe": {**vm, "id": "cafe1234-0000-4000-8000-000000000000"}}
    assert "there is no VM 'cafe'" in refused(millwright("vm", "delete", "cafe"))


def test_an_unknown_token_says_how_to_give_one(address):
    said = refused(run("vm", "list", api=address, token="wrong"))
    assert "Give it with --token or MILLWRIGHT_TOKEN. [auth.required]" in said


def test_no_api_has_an_exit_code_of_its_own():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run("vm", "list", api=f"http://127.0.0.1:{port}")
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"cannot reach the API at http://127.0.0.1:{port}: [Errno 111] Connection refused" in result.stderr
    assert "MILLWRIGHT_API" in result.stderr


@pytest.mark.parametrize("address", ["nonsense", "http://", "ftp://127.0.0.1", "http://127.0.0.1:99999", ""])
def test_an_address_that_is_none_is_malformed(address):
    result = run("vm", "list", api=address)
    assert result.exit_code == 3
    assert f"the address {address!r} is malformed: it must be like http://" in result.stderr


@pytest.mark.parametrize("end", ["", "/", "/api/v1", "/api/v1/"])
def test_an_address_may_end_as_the_demo_shows_it(address, end):
    assert run("vm", "list", api=address + end).exit_code == 0


def test_something_else_that_answers_is_no_api():
    with served(flask.Flask("another")) as address:
        result = run("vm", "list", api=address)
    assert result.exit_code == 3
    assert "is not a Millwright API: HTTP 404 without JSON" in result.stderr


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(address, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert run("vm", "list", api=address).exit_code == 0


def test_words_of_others_cannot_steer_the_terminal(ok, api, shop):
    api.add("events", severity="INFO", text="a\x1b]0;owned\x07[red]b\u202e", owner=None, task_id=None)
    shown = ok("event", "list")
    assert "a\\x1b]0;owned\\x07[red]b\\u202e" in shown
    vm = next(iter(api.rows["vms"].values()))
    vm["name"] = "w\x1b[2J"
    assert "\x1b" not in ok("vm", "list") + ok("vm", "show", vm["id"])


def test_a_hypervisor_that_cannot_be_reached_is_registered_and_the_way_on_is_told(millwright, ok):
    ok("datacenter", "create", "dc1")
    words = ("--type", "libvirt", "--url", "qemu://far/system", "--datacenter", "dc1")
    result = millwright("hypervisor", "register", "broken-1", *words)
    assert result.exit_code == 1
    assert "broken-1 is registered, as UNREACHABLE." in result.stderr
    assert "millwright hypervisor discover broken-1" in result.stderr
    assert "UNREACHABLE" in ok("hypervisor", "list")


def test_an_api_that_is_gone_for_long_ends_the_watching(api, millwright, as_json, shop, monkeypatch):
    monkeypatch.setattr(tree, "PATIENCE", 0.05)
    task = as_json("vapp", "deploy", "shop", "--no-wait")
    api.down = range(len(api.asked) + 4, 10**6)
    result = millwright("task", "watch", task["id"])
    assert result.exit_code == 3
    assert "HTTP 502 without JSON" in result.stderr
    assert result.stderr.endswith(f"Watch it:\n  millwright task watch {task['id']}\n")
    assert result.stdout.count("The API does not answer, trying again.") == 1


def test_an_api_that_restarts_while_it_is_watched_is_waited_for(api, ok, as_json, shop):
    task = as_json("vapp", "deploy", "shop", "--no-wait")
    api.down = range(len(api.asked) + 4, len(api.asked) + 9)
    assert "Deploy shop finished" in ok("task", "watch", task["id"])
    assert len(api.asked) > api.down.stop
