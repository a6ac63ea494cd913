# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every answer that is not what was asked for: its shape, its code, and who gets in at all."""

from __future__ import annotations

import base64

import pytest

from tests.webapi_world import BASE, World, small
from webapi.auth import OPEN_ENDPOINTS
from webapi.services import tokens, virtualdatacenters


def test_no_route_lets_anybody_in_without_a_token_but_the_open_ones(world: World):
    tried = set()
    for rule in world.app.url_map.iter_rules():
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            path = rule.build(dict.fromkeys(rule.arguments, "x"))[1]
            status = world.client.open(path, method=method).status_code
            assert (status != 401) == (rule.endpoint in OPEN_ENDPOINTS), f"{method} {path} answers {status}"
            tried.add(rule.endpoint)
    assert len(tried) > 30
    assert tried >= OPEN_ENDPOINTS
    assert len(OPEN_ENDPOINTS) == 3, "health, the OpenAPI document, and the same as a page"


MISSING, UNKNOWN = "send a token: `Authorization: Bearer TOKEN`", "this token is not known"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", MISSING), ("Bearer", MISSING), ("Bearer ", MISSING), ("Basic dGVzdGVyOng=", MISSING),
        ("Bearer nobody", UNKNOWN), ("Bearer ' OR 1=1 --", UNKNOWN),
    ],
)  # fmt: skip
def test_a_missing_token_and_one_that_is_not_ours_are_told_apart_with_a_hint(world: World, header: str, said: str):
    response = world.client.get(f"{BASE}/vms", headers={"Authorization": header})
    assert (response.status_code, response.json["code"]) == (401, "auth.required")
    assert response.json["message"].startswith(said)
    assert "millwright token create" in response.json["message"]


def test_a_revoked_token_opens_nothing(world: World):
    assert world.ask("GET", "/vms").status_code == 200
    tokens.revoke("tester")
    assert world.ask("GET", "/vms").status_code == 401


def test_the_table_of_tokens_does_not_hold_the_tokens(world: World):
    [row] = tokens.list_tokens()
    assert world.token not in (row.digest, row.name, row.id)
    assert len(row.digest) == 64


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/vms/nobody", 404, "not_found"),
        ("GET", "/tasks/' OR 1=1 --", 404, "not_found"),
        ("POST", "/virtualappliances/nobody/deploy", 404, "not_found"),
        ("PATCH", "/vms", 405, "method_not_allowed"),
        ("GET", "/vms?limit=0", 422, "request.invalid"),
        ("GET", "/vms?limit=201", 422, "request.invalid"),
        ("GET", "/vms?after=nonsense", 422, "request.invalid"),
        ("GET", f"/vms?after={cursor('0001-01-01T00:00:00+14:00 x')}", 422, "request.invalid"),
        ("GET", "/vms?state=SLEEPY", 422, "request.invalid"),
        ("GET", "/vms?colour=red", 422, "request.invalid"),
    ],
)
def test_errors_have_one_shape(world: World, method: str, path: str, status: int, code: str):
    error = world.refused(method, path, status=status)
    assert error["code"] == code
    assert error["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/templates", {"name": "t", "path": "/t", "description": "\ud800"}, "description"),
        ("/hypervisors", {"name": "h", "type": "fake", "url": "fake:///\ud800"}, "url"),
        ("/datacenters", {"name": "\ud800"}, "name"),
    ],
)
def test_half_a_character_is_refused(world: World, path: str, body: dict, field: str):
    error = world.refused("POST", path, {"datacenter_id": "x", **body}, status=422)
    assert field in [problem["path"] for problem in error["problems"]]


def test_a_definition_with_half_a_character_is_refused_in_the_words_of_the_definition(world: World):
    body = {"virtualappliance_id": world.site()["id"], "definition": small("web", description="\ud800")}
    error = world.refused("POST", "/vms", body, status=422)
    assert [problem["path"] for problem in error["problems"]] == ["definition.description"]


def test_a_body_that_is_no_json_is_refused(world: World):
    headers = {"Authorization": f"Bearer {world.token}", "Content-Type": "application/json"}
    response = world.client.post(f"{BASE}/datacenters", data=b"{ no", headers=headers)
    assert (response.status_code, response.json["code"]) == (422, "request.invalid")


def test_a_bug_gives_an_id_and_no_trace(world: World, monkeypatch: pytest.MonkeyPatch, caplog):
    def broken(_: str) -> None:
        raise RuntimeError("the secret is hunter2")

    monkeypatch.setattr(virtualdatacenters, "get", broken)
    response = world.ask("GET", "/virtualdatacenters/x")
    assert (response.status_code, response.json["code"]) == (500, "internal")
    assert "hunter2" not in response.text and "RuntimeError" not in response.text
    assert response.json["details"]["error_id"] in caplog.text


def test_every_field_that_is_wrong_is_named_with_its_rule(world: World):
    error = world.refused("POST", "/datacenters", {"nam": "x"}, status=422)
    assert {(problem["path"], problem["rule"]) for problem in error["problems"]} == {
        ("name", "is required"), ("nam", "unknown field"),
    }  # fmt: skip


def test_a_wrong_definition_is_refused_in_the_words_of_the_definition(world: World):
    vdc = world.vdc(world.datacenter())
    wrong = small("web", memory_mib=4, disks=[{"name": "root", "size_mib": 5, "bus": "floppy"}])
    body = {
        "virtualdatacenter_id": vdc["id"],
        "name": "shop",
        "vms": [{"definition": small("ok")}, {"definition": wrong}],
    }
    error = world.refused("POST", "/virtualappliances", body, status=422)
    assert error["code"] == "definition.invalid"
    assert {(problem["path"], problem["rule"]) for problem in error["problems"]} == {
        ("vms[1].definition.memory_mib", "must be at least 16, not 4"),
        ("vms[1].definition.disks[0].bus", "must be one of: virtio, scsi, sata, not 'floppy'"),
    }


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        (small("x" * 72), "definition.name"),
        (small("web", uuid="6d1f0a52-6f3c-5e0b-9a55-3d3b6f0f7a11"), "definition.uuid"),
        (small("web", colour="red"), "definition.colour"),
        (small("web", disks="none"), "definition.disks"),
        (small("web", disks=["x"]), "definition.disks[0]"),
        ("web", "definition"),
        ({}, "definition.name"),
    ],
)
def test_a_vm_is_refused_by_the_path_of_what_is_wrong(world: World, definition: object, path: str):
    site = world.site()
    body = {"virtualappliance_id": site["id"], "definition": definition}
    error = world.refused("POST", "/vms", body, status=422)
    assert error["code"] == "definition.invalid"
    assert path in [problem["path"] for problem in error["problems"]]


def test_two_vms_of_one_name_are_refused(world: World):
    vdc = world.vdc(world.datacenter())
    body = {"virtualdatacenter_id": vdc["id"], "name": "a", "vms": [{"definition": small("web")}] * 2}
    error = world.refused("POST", "/virtualappliances", body, status=422)
    assert error["problems"] == [{"path": "vms", "rule": "the name 'web' is given 2 times"}]


@pytest.mark.parametrize("noun", ["datacenters", "templates", "virtualdatacenters", "hypervisors"])
def test_a_name_is_given_once(world: World, noun: str):
    datacenter = world.datacenter()
    body = {
        "datacenters": {"name": "one"},
        "templates": {"datacenter_id": datacenter["id"], "name": "one", "path": "/t"},
        "virtualdatacenters": {"datacenter_id": datacenter["id"], "name": "one", "hypervisor_type": "fake"},
        "hypervisors": {"datacenter_id": datacenter["id"], "name": "one", "type": "fake", "url": "fake:///x"},
    }[noun]
    world.post(f"/{noun}", body)
    error = world.refused("POST", f"/{noun}", body)
    word = noun.removesuffix("s")
    assert error["code"] == f"{word}.exists"
    assert error["message"] == f"there is already a {word.replace('virtual', 'virtual ')} named 'one'"
    if noun != "datacenters":
        assert world.refused("POST", f"/{noun}", body | {"datacenter_id": "nobody"}, status=404)["code"] == "not_found"


def test_an_appliance_and_a_vm_are_called_by_their_names_when_theirs_are_taken(world: World):
    site = world.site("web")
    body = {"virtualdatacenter_id": site["virtualdatacenter_id"], "name": site["name"]}
    error = world.refused("POST", "/virtualappliances", body)
    assert (error["code"], error["message"]) == (
        "vapp.exists", f"there is already a virtual appliance named {site['name']!r}",
    )  # fmt: skip
    error = world.refused("POST", "/vms", {"virtualappliance_id": site["id"], "definition": small("web")})
    assert (error["code"], error["message"]) == ("vm.exists", "there is already a VM named 'web'")


def test_a_url_that_another_hypervisor_has_is_refused_with_its_name(world: World):
    datacenter = world.datacenter()
    host = world.hypervisor(datacenter, url="fake:///same")
    body = {"datacenter_id": datacenter["id"], "name": "other", "type": "fake", "url": "fake:///same"}
    error = world.refused("POST", "/hypervisors", body)
    assert (error["code"], error["message"]) == (
        "hypervisor.exists", f"the hypervisor {host['name']!r} has this URL already",
    )  # fmt: skip
    world.hypervisor(world.datacenter(), url="fake:///same")


def test_who_deletes_a_deployed_appliance_is_told_to_undeploy_it_first(world: World):
    shop = world.deployed(world.site("web"))
    error = world.refused("DELETE", f"/virtualappliances/{shop['id']}")
    name = shop["name"]
    assert error["message"] == (
        f"virtual appliance {name!r} cannot be deleted: its VM 'web' is ON; undeploy the appliance first"
    )
    assert (error["code"], error["details"]["allowed"]) == ("vm.state", ["undeploy"])
    task = world.post(f"/virtualappliances/{shop['id']}/undeploy")
    assert world.refused("DELETE", f"/virtualappliances/{shop['id']}")["code"] == "vm.locked"
    world.carry_out(task)
    assert world.ask("DELETE", f"/virtualappliances/{shop['id']}").status_code == 204
