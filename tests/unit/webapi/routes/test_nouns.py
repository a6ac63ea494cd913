# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making, listing, showing and deleting things."""

from __future__ import annotations

import base64
import json

import pytest
from nacl.public import PrivateKey, SealedBox
from sqlalchemy import event, text

from tests.webapi_world import World, small
from webapi.database import db


def test_lists_are_read_page_by_page_in_the_order_of_creation(world: World):
    names = [f"dc-{number}" for number in range(7)]
    for name in names:
        world.post("/datacenters", {"name": name})
    first = world.get("/datacenters?limit=3")
    second = world.get(f"/datacenters?limit=3&after={first['next']}")
    third = world.get(f"/datacenters?limit=3&after={second['next']}")
    assert [item["name"] for page in (first, second, third) for item in page["items"]] == names
    assert third["next"] is None


def test_a_page_that_ends_the_list_has_no_next(world: World):
    world.post("/datacenters", {"name": "only"})
    assert world.get("/datacenters?limit=1")["next"] is None


def test_what_is_made_between_two_pages_is_neither_lost_nor_shown_twice(world: World):
    for number in range(4):
        world.post("/datacenters", {"name": f"a{number}"})
    first = world.get("/datacenters?limit=2")
    world.post("/datacenters", {"name": "late"})
    second = world.get(f"/datacenters?limit=9&after={first['next']}")
    assert [item["name"] for item in second["items"]] == ["a2", "a3", "late"]


def test_tasks_and_events_are_listed_newest_first_and_parts_only_for_their_owner(world: World):
    shop = world.deployed(world.site("web"))
    assert [task["type"] for task in world.get("/tasks")["items"]] == ["DEPLOY", "DISCOVER"]
    [part] = world.get(f"/tasks?owner_id={shop['vms'][0]['id']}")["items"]
    assert (part["name"], part["parent_id"]) == ("web", world.get("/tasks?limit=1")["items"][0]["id"])
    assert [event["text"].split()[0] for event in world.get("/events")["items"]][:2] == ["DEPLOY", "DEPLOY"]


@pytest.mark.parametrize("query", ["state=ON", "name=web", "state=ON&name=web"])
def test_lists_are_filtered_by_their_fields(world: World, query: str):
    shop = world.site("web", "db")
    world.carry_out(world.post(f"/vms/{shop['vms'][0]['id']}/deploy"))
    assert [vm["name"] for vm in world.get(f"/vms?{query}")["items"]] == ["web"]


def test_a_page_of_vms_is_one_query_however_many_there_are(world: World):
    datacenter = world.datacenter()
    world.hypervisor(datacenter, memory_mib=100_000)
    vdc = world.vdc(datacenter)
    world.deployed(world.appliance(vdc, *(small(f"vm{number}", memory_mib=16) for number in range(30))))
    statements: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert len(world.get("/vms?limit=200")["items"]) == 30
    assert len([one for one in statements if "FROM vms" in one]) == 1
    assert len(statements) == 2, "the other one is for the token"
    statements.clear()
    world.get("/virtualappliances?limit=200")
    assert len(statements) == 3


def test_credentials_are_sealed_to_the_datacenters_key_and_never_shown(world: World):
    key = PrivateKey.generate()
    datacenter = world.datacenter(public_key=base64.b64encode(bytes(key.public_key)).decode())
    host = world.hypervisor(datacenter, username="root", password="canary-hunter2")
    [request] = world.requests(world.post(f"/hypervisors/{host['id']}/discover"))
    sealed = base64.b64decode(request.hypervisor.sealed_credentials)
    assert json.loads(SealedBox(key).decrypt(sealed)) == {"username": "root", "password": "canary-hunter2"}
    assert "canary" not in str(world.get(f"/hypervisors/{host['id']}"))
    for table in ("hypervisors", "requests", "tasks", "jobs", "events"):
        rows = db.session.execute(text(f"SELECT * FROM {table}"))
        assert "canary" not in str(rows.all())


def test_credentials_need_a_key_to_be_sealed_to(world: World):
    body = {"datacenter_id": world.datacenter()["id"], "name": "h", "type": "fake", "url": "fake:///", "password": "x"}
    error = world.refused("POST", "/hypervisors", body, status=422)
    assert "no public key" in error["problems"][0]["rule"]


@pytest.mark.parametrize("key", ["", "short", "%%%", base64.b64encode(b"x" * 31).decode()])
def test_what_is_no_public_key_is_refused(world: World, key: str):
    error = world.refused("POST", "/datacenters", {"name": "dc", "public_key": key}, status=422)
    assert error["problems"][0]["path"] == "public_key"


def test_what_is_in_use_is_not_deleted(world: World):
    datacenter = world.datacenter()
    host = world.hypervisor(datacenter)
    vdc = world.vdc(datacenter)
    template = world.post("/templates", {"datacenter_id": datacenter["id"], "name": "t", "path": "/t.qcow2"})
    shop = world.appliance(vdc, small("web"), template_id=template["id"])
    world.deployed(shop)
    vm = shop["vms"][0]
    assert world.refused("DELETE", f"/hypervisors/{host['id']}")["code"] == "hypervisor.in_use"
    assert world.refused("DELETE", f"/templates/{template['id']}")["code"] == "template.in_use"
    assert world.refused("DELETE", f"/virtualdatacenters/{vdc['id']}")["code"] == "virtualdatacenter.in_use"
    assert world.refused("DELETE", f"/virtualappliances/{shop['id']}")["code"] == "vm.state"
    assert world.refused("DELETE", f"/vms/{vm['id']}")["code"] == "vm.state"

    world.carry_out(world.post(f"/virtualappliances/{shop['id']}/undeploy"))
    for path in (f"/virtualappliances/{shop['id']}", f"/virtualdatacenters/{vdc['id']}", f"/templates/{template['id']}",
                 f"/hypervisors/{host['id']}"):  # fmt: skip
        assert world.ask("DELETE", path).status_code == 204
        assert world.refused("GET", path, status=404)["code"] == "not_found"
    world.refused("GET", f"/vms/{vm['id']}", status=404)


def test_a_hypervisor_that_never_answered_can_be_deleted_and_its_task_ends(world: World):
    body = {"datacenter_id": world.datacenter()["id"], "name": "h", "type": "fake", "url": "fake:///x"}
    task = world.post("/hypervisors", body)
    assert world.ask("DELETE", f"/hypervisors/{task['owner']['id']}").status_code == 204
    ended = world.get(f"/tasks/{task['id']}")
    assert (ended["state"], "was deleted" in ended["error"]["message"]) == ("FINISHED_UNSUCCESSFULLY", True)


def test_a_vm_cannot_have_the_name_of_another_of_its_appliance_nor_one_that_another_is_getting(world: World):
    shop = world.deployed(world.site("web", "db"))
    web, db_vm = shop["vms"]
    for vm in (web, db_vm):
        world.carry_out(world.post(f"/vms/{vm['id']}/power", {"action": "off"}))
    assert world.refused("PUT", f"/vms/{db_vm['id']}", {"definition": small("web")})["code"] == "vm.exists"
    world.ask("PUT", f"/vms/{web['id']}", {"definition": small("www")})
    for taken in ("web", "www"):
        assert world.refused("PUT", f"/vms/{db_vm['id']}", {"definition": small(taken)})["code"] == "vm.exists"
        body = {"virtualappliance_id": shop["id"], "definition": small(taken)}
        assert world.refused("POST", "/vms", body)["code"] == "vm.exists"


def test_a_template_fills_the_first_disk_or_makes_one(world: World):
    datacenter = world.datacenter()
    vdc = world.vdc(datacenter)
    template = world.post(
        "/templates", {"datacenter_id": datacenter["id"], "name": "t", "path": "/t.img", "format": "raw"}
    )
    disks = [{"name": "system", "size_mib": 99}, {"name": "data", "size_mib": 5}]
    shop = world.appliance(vdc, small("bare"), small("full", disks=disks), template_id=template["id"])
    bare, full = (vm["definition"]["disks"] for vm in shop["vms"])
    assert [(disk["name"], disk["template"], disk["template_format"]) for disk in bare] == [("root", "/t.img", "raw")]
    assert [(disk["name"], disk["template"], disk["size_mib"]) for disk in full] == [
        ("system", "/t.img", 99), ("data", None, 5),
    ]  # fmt: skip


def test_a_template_or_a_host_of_another_datacenter_is_refused(world: World):
    site, elsewhere = world.site(), world.datacenter()
    template = world.post("/templates", {"datacenter_id": elsewhere["id"], "name": "t", "path": "/t"})
    host = world.hypervisor(elsewhere)
    for field, row in (("template_id", template), ("hypervisor_id", host)):
        body = {"virtualappliance_id": site["id"], "definition": small("x"), field: row["id"]}
        assert world.refused("POST", "/vms", body, status=422)["problems"][0]["path"] == field


def test_a_vm_that_is_bound_to_a_host_is_placed_there(world: World):
    datacenter = world.datacenter()
    small_host = world.hypervisor(datacenter, memory_mib=512)
    world.hypervisor(datacenter, memory_mib=4096)
    shop = world.appliance(world.vdc(datacenter))
    body = {"virtualappliance_id": shop["id"], "definition": small("web"), "hypervisor_id": small_host["id"]}
    vm = world.post("/vms", body)
    world.carry_out(world.post(f"/vms/{vm['id']}/deploy"))
    assert world.vm(vm)["hypervisor_id"] == small_host["id"]


def test_what_a_vm_takes_of_its_host_is_free_again_after_its_undeploy(world: World):
    datacenter = world.datacenter()
    world.hypervisor(datacenter, memory_mib=100)
    vdc = world.vdc(datacenter)
    first, second = (world.appliance(vdc, small("vm")) for _ in range(2))
    world.deployed(first)
    error = world.refused("POST", f"/virtualappliances/{second['id']}/deploy")
    assert error["code"] == "placement.none"
    assert "36 of 100 MiB free" in error["message"]
    world.carry_out(world.post(f"/virtualappliances/{first['id']}/undeploy"))
    world.deployed(second)


def test_an_appliance_without_vms_is_not_deployed(world: World):
    shop = world.appliance(world.vdc(world.datacenter()))
    assert shop["state"] == "EMPTY"
    assert world.refused("POST", f"/virtualappliances/{shop['id']}/deploy")["code"] == "vapp.empty"


def test_user_data_is_kept_and_never_shown(world: World):
    shop = world.appliance(world.vdc(world.datacenter()), small("web", cloud_init={"user_data": "canary"}))
    vm = shop["vms"][0]
    assert "canary" not in str(shop) + str(world.vm(vm))
    shown = world.vm(vm)["definition"]
    assert world.ask("PUT", f"/vms/{vm['id']}", {"definition": shown | {"memory_mib": 99}}).status_code == 200
    world.hypervisor(world.get("/datacenters")["items"][0])
    [request] = world.requests(world.post(f"/vms/{vm['id']}/deploy"))
    assert {job.vm.cloud_init.user_data for job in request.task.jobs()} == {"canary"}
    assert "canary" not in str(world.get("/events")) + str(world.get("/tasks"))


@pytest.mark.parametrize("name", ["'; DROP TABLE vms; --", "{{ 7 * 7 }}", '" & <b>', "naïve-🜚", "%s %(x)s", "a"])
def test_hostile_names_are_data(world: World, name: str):
    shop = world.site(name)
    assert world.get("/vms")["items"][0]["name"] == name
    assert [vm["name"] for vm in world.ask("GET", "/vms", query_string={"name": name}).json["items"]] == [name]
    assert world.deployed(shop)["state"] == "DEPLOYED"
    assert name in str([event["text"] for event in world.get("/events")["items"]])


def test_health_tells_of_database_migrations_and_relay_without_a_token(world: World):
    response = world.client.get("/api/v1/health")
    assert response.status_code == 200
    assert response.json == {"status": "ok", "database": "ok", "migrations": "current", "relay": None}
