# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making, listing, showing and deleting things."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nacl.public import PrivateKey, SealedBox
from sqlalchemy import event, text

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import fields_of
from runner_service.contract import messages
from runner_service.contract.messages import TaskRequest
from runner_service.contract.operations import Operation
from tests.webapi_world import World, small
from webapi.database import Base, db
from webapi.services import tasks

SAMPLES = Path(messages.__file__).parent / "samples"


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
    shop = world.deployed(world.appliance(vdc, *(small(f"vm{number}", memory_mib=16) for number in range(30))))
    statements: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    found = world.get("/vms?limit=200")["items"]
    assert [vm["virtualappliance_name"] for vm in found] == [shop["name"]] * 30
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


@pytest.mark.parametrize("type", ["esx", "Libvirt", "libvirt\n", ""])
def test_a_type_of_hypervisor_that_there_is_no_driver_for_is_refused_with_those_that_there_are(world: World, type: str):
    here = {"datacenter_id": world.datacenter()["id"], "name": "x"}
    asked = {
        "/hypervisors": ("type", here | {"type": type, "url": "esx://host"}),
        "/virtualdatacenters": ("hypervisor_type", here | {"hypervisor_type": type}),
    }
    for address, (field, body) in asked.items():
        error = world.refused("POST", address, body, status=422)
        assert error["problems"] == [{"path": field, "rule": "must be one of: fake, libvirt, vsphere"}]


def test_a_password_in_a_url_is_refused_and_kept_nowhere(world: World):
    url = "esx://root:canary@host/?no_verify=1"
    body = {"datacenter_id": world.datacenter()["id"], "name": "h", "type": "fake", "url": url}
    error = world.refused("POST", "/hypervisors", body, status=422)
    assert (error["code"], error["problems"][0]["path"]) == ("request.invalid", "url")
    assert "canary" not in str(error)
    assert world.get("/hypervisors")["items"] == []


CERTIFICATE = TaskRequest.decode((SAMPLES / "task_request_discover.json").read_bytes()).hypervisor.ca_certificates


def test_runners_are_told_whom_to_trust_by_what_they_trust_and_what_stands_around_it_is_left_out(world: World):
    said = f"Subject: CN=sample authority\r\n{CERTIFICATE}and another one:\r\n{CERTIFICATE}"
    host = world.hypervisor(world.datacenter(), ca_certificates=said.replace("\n", "\r\n"))
    assert host["ca_certificates"] == CERTIFICATE * 2
    [request] = world.requests(world.post(f"/hypervisors/{host['id']}/discover"))
    assert request.hypervisor.ca_certificates == CERTIFICATE * 2
    changed = world.ask("PATCH", f"/hypervisors/{host['id']}", {"ca_certificates": CERTIFICATE}).json
    assert (changed["ca_certificates"], changed["open_sessions"]) == (CERTIFICATE, None)
    world.ask("PATCH", f"/hypervisors/{host['id']}", {"open_sessions": 3})
    assert world.get(f"/hypervisors/{host['id']}")["ca_certificates"] == CERTIFICATE
    assert world.ask("PATCH", f"/hypervisors/{host['id']}", {"ca_certificates": None}).json["ca_certificates"] is None


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("/etc/ssl/ca.pem", "in PEM"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "in PEM"),
        (CERTIFICATE + "-----BEGIN PRIVATE KEY-----\ncanary\n", "private key"),
        (CERTIFICATE * 100, "between 1 and"),
        ("", "between 1 and"),
    ],
)
def test_what_are_no_certificates_is_refused_and_not_repeated(world: World, given: str, rule: str):
    host = world.hypervisor(world.datacenter())
    body = {"datacenter_id": host["datacenter_id"], "name": "x", "type": "vsphere", "url": "https://vc/"}
    for method, path, asked in (("POST", "/hypervisors", body), ("PATCH", f"/hypervisors/{host['id']}", {})):
        error = world.refused(method, path, asked | {"ca_certificates": given}, status=422)
        [problem] = error["problems"]
        assert problem["path"] == "ca_certificates" and rule in problem["rule"]
        assert "canary" not in str(error)


@pytest.mark.parametrize("said", [{"type": "libvirt", "url": "qemu+tls://kvm/system"}, {"validate_certs": False}])
def test_authorities_that_nobody_would_ask_are_refused(world: World, said: dict):
    body = {"datacenter_id": world.datacenter()["id"], "name": "x", "type": "vsphere", "url": "https://vc/"}
    error = world.refused("POST", "/hypervisors", body | said | {"ca_certificates": CERTIFICATE}, status=422)
    assert [problem["path"] for problem in error["problems"]] == ["ca_certificates"]
    host = world.hypervisor(world.datacenter(), **said)
    error = world.refused("PATCH", f"/hypervisors/{host['id']}", {"ca_certificates": CERTIFICATE}, status=422)
    assert [problem["path"] for problem in error["problems"]] == ["ca_certificates"]
    assert world.get(f"/hypervisors/{host['id']}")["ca_certificates"] is None


def test_a_change_of_a_hypervisor_names_something(world: World):
    host = world.hypervisor(world.datacenter())
    world.refused("PATCH", f"/hypervisors/{host['id']}", {}, status=422)


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


def test_a_first_disk_with_a_template_of_its_own_beside_the_vms_template_is_refused(world: World):
    site = world.site("web")
    here = world.get(f"/virtualdatacenters/{site['virtualdatacenter_id']}")["datacenter_id"]
    tiny, _ = (
        world.post("/templates", {"datacenter_id": here, "name": name, "path": f"/{name}"}) for name in ("tiny", "big")
    )
    problem = {"path": "definition.disks[0].template", "rule": "is given by template_id; leave it out"}

    def asked(template: str) -> dict:
        definition = small("db", disks=[{"name": "root", "template": template}])
        return {"virtualappliance_id": site["id"], "template_id": tiny["id"], "definition": definition}

    for other in ("/big", "/etc/passwd"):
        error = world.refused("POST", "/vms", asked(other), status=422)
        assert (error["code"], error["problems"]) == ("definition.invalid", [problem])
    vm = world.post("/vms", asked("/tiny"))
    assert world.ask("PUT", f"/vms/{vm['id']}", {"definition": vm["definition"]}).status_code == 200
    error = world.refused("PUT", f"/vms/{vm['id']}", {"definition": asked("/big")["definition"]}, status=422)
    assert error["problems"] == [problem]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/images/t.img", 201),
        ("t.img", 201),
        ("images/t.img", 422),
        ("../t.img", 422),
        ("t.img/", 422),
        ("relative/..", 422),
        ("/t.img ", 422),
        ("/t\n.img", 422),
    ],
)
def test_a_template_is_an_absolute_path_or_the_name_of_a_volume(world: World, path: str, status: int):
    body = {"datacenter_id": world.datacenter()["id"], "name": "t", "path": path}
    response = world.ask("POST", "/templates", body)
    assert response.status_code == status
    if status == 422:
        [problem] = response.json["problems"]
        assert problem["path"] == "path"
        assert "absolute path or a volume name without a slash" in problem["rule"]


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


CANARY = "#cloud-config canary 🜚"


@pytest.fixture
def key() -> PrivateKey:
    return PrivateKey.generate()


@pytest.fixture
def secretive(world: World, key: PrivateKey) -> dict:
    """A VM with user data, in a datacenter that has a place for it and a key."""
    datacenter = world.datacenter(public_key=base64.b64encode(bytes(key.public_key)).decode())
    world.hypervisor(datacenter)
    cloud_init = {"user_data": CANARY, "meta_data": "instance-id: i-1"}
    return world.appliance(world.vdc(datacenter), small("web", cloud_init=cloud_init))["vms"][0]


def _opened(key: PrivateKey, sealed: str) -> str:
    return SealedBox(key).decrypt(base64.b64decode(sealed)).decode()


def _everything_in_the_database() -> str:
    tables = [*Base.metadata.tables]
    return "".join(str(db.session.execute(text(f"SELECT * FROM {table}")).all()) for table in tables)


def test_user_data_is_sealed_at_once_and_shown_and_kept_in_clear_nowhere(world: World, secretive: dict):
    assert secretive["definition"]["cloud_init"] == {
        "user_data": None, "meta_data": "instance-id: i-1", "network_config": None,
    }  # fmt: skip
    definition = secretive["definition"] | {"cloud_init": {"user_data": CANARY}}
    world.ask("PUT", f"/vms/{secretive['id']}", {"definition": definition})
    task = world.post(f"/vms/{secretive['id']}/deploy")
    assert "canary" not in _everything_in_the_database()
    assert "canary" not in str([secretive, task, world.vm(secretive), world.get("/events"), world.get("/tasks")])
    assert all(b"canary" not in request.encode() for request in world.requests(task))


def test_only_what_makes_or_changes_a_vm_is_told_its_cloud_init_data(world: World, secretive: dict, key: PrivateKey):
    task = world.post(f"/vms/{secretive['id']}/deploy")
    configure, power_on = world.requests(task)[0].task.children
    assert _opened(key, configure.sealed_user_data) == CANARY
    assert (configure.vm.cloud_init.user_data, configure.vm.cloud_init.meta_data) == (None, "instance-id: i-1")
    assert (power_on.sealed_user_data, power_on.vm.cloud_init) == (None, None)
    world.carry_out(task)
    [unconfigure] = world.requests(world.post(f"/vms/{secretive['id']}/undeploy"))[0].task.children
    assert (unconfigure.sealed_user_data, unconfigure.vm.cloud_init) == (None, None)


@pytest.mark.parametrize("failing", [False, True])
def test_a_reconfiguration_keeps_user_data_that_it_leaves_out_and_takes_other_over(
    world: World, secretive: dict, key: PrivateKey, failing: bool
):
    def reconfigure(**changed: object) -> dict:
        return world.ask("PUT", f"/vms/{secretive['id']}", {"definition": secretive["definition"] | changed}).json

    assert reconfigure(memory_mib=99)["definition"]["memory_mib"] == 99
    world.carry_out(world.post(f"/vms/{secretive['id']}/deploy"))
    world.carry_out(world.post(f"/vms/{secretive['id']}/power", {"action": "off"}))
    task = reconfigure(memory_mib=100)
    [job] = world.requests(task)[0].task.children
    assert _opened(key, job.sealed_user_data) == CANARY
    world.carry_out(task)

    task = reconfigure(cloud_init={"user_data": "#other"})
    [job] = world.requests(task)[0].task.children
    assert _opened(key, job.sealed_user_data) == "#other"
    world.carry_out(task, failing=[Operation.RECONFIGURE] if failing else [])
    world.carry_out(world.post(f"/vms/{secretive['id']}/undeploy"))
    [request] = world.requests(world.post(f"/vms/{secretive['id']}/deploy"))
    assert _opened(key, request.task.children[0].sealed_user_data) == (CANARY if failing else "#other")


def test_a_vm_that_is_to_have_no_cloud_init_data_has_no_user_data(world: World, secretive: dict):
    world.ask("PUT", f"/vms/{secretive['id']}", {"definition": secretive["definition"] | {"cloud_init": None}})
    [request] = world.requests(world.post(f"/vms/{secretive['id']}/deploy"))
    assert [job.sealed_user_data for job in request.task.children] == [None, None]


def test_user_data_needs_a_key_to_be_sealed_to(world: World):
    body = {"virtualappliance_id": world.site()["id"], "definition": small("x", cloud_init={"user_data": CANARY})}
    error = world.refused("POST", "/vms", body, status=422)
    assert [problem["path"] for problem in error["problems"]] == ["definition.cloud_init.user_data"]
    assert "no public key" in error["message"] and "canary" not in str(error)


def test_the_longest_user_data_fits_into_a_message(world: World, key: PrivateKey):
    datacenter = world.datacenter(public_key=base64.b64encode(bytes(key.public_key)).decode())
    world.hypervisor(datacenter)
    longest = "#" + "🜚" * 65_535
    [vm] = world.appliance(world.vdc(datacenter), small("web", cloud_init={"user_data": longest}))["vms"]
    [request] = world.requests(world.post(f"/vms/{vm['id']}/deploy"))
    assert _opened(key, request.task.children[0].sealed_user_data) == longest


def test_the_definition_has_no_other_secret_than_the_one_that_is_sealed():
    assert list(_secrets(VmDefinition)) == ["cloud_init.user_data"]


def _secrets(cls: type) -> Iterator[str]:
    for spec in fields_of(cls):
        if spec.rule.secret:
            yield spec.name
        for inner in spec.types if spec.kind == "object" else ():
            yield from (f"{spec.name}.{name}" for name in _secrets(inner))


def test_a_request_that_no_runner_would_take_is_refused_when_it_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    shop = world.site("web")
    monkeypatch.setattr(tasks, "MAX_BYTES", 500)
    error = world.refused("POST", f"/virtualappliances/{shop['id']}/deploy", status=413)
    assert error["code"] == "request.too_large"
    assert "web" in error["message"] and "500" in error["message"]
    assert (world.vm(shop["vms"][0])["state"], world.vm(shop["vms"][0])["locked_by"]) == ("NOT_ALLOCATED", None)


DISK = {"name": "root", "template": "/etc/shadow", "template_format": "raw"}


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        (small("x", disks=[DISK]), "disks[0].template"),
        (small("x", disks=[{"name": "a", "template": "/t.img", "template_format": "raw"}, DISK]), "disks[1].template"),
        (small("x", disks=[{"name": "a", "template": "/t.img"}]), "disks[0].template_format"),
        (small("x", cdrom="/etc/shadow"), "cdrom"),
        (small("x", cdrom="/elsewhere.img"), "cdrom"),
    ],
)
def test_files_that_are_no_registered_templates_of_the_datacenter_are_refused(
    world: World, definition: dict, path: str
):
    site, elsewhere = world.site("web"), world.datacenter()
    here = world.get(f"/virtualdatacenters/{site['virtualdatacenter_id']}")["datacenter_id"]
    for datacenter_id, file in ((here, "/t.img"), (elsewhere["id"], "/elsewhere.img")):
        world.post("/templates", {"datacenter_id": datacenter_id, "name": "t", "path": file, "format": "raw"})
    body = {"virtualappliance_id": site["id"], "definition": definition}
    asked = [
        ("POST", "/vms", body, ""),
        ("PUT", f"/vms/{site['vms'][0]['id']}", {"definition": definition}, ""),
        ("POST", "/virtualappliances", {"virtualdatacenter_id": site["virtualdatacenter_id"], "name": "b",
                                        "vms": [{"definition": definition}]}, "vms[0]."),
    ]  # fmt: skip
    for method, address, wanted, place in asked:
        error = world.refused(method, address, wanted, status=422)
        assert [problem["path"] for problem in error["problems"]] == [f"{place}definition.{path}"]
        assert "register" in error["message"]


def test_registered_templates_may_be_named_by_their_paths(world: World):
    site = world.site("web")
    here = world.get(f"/virtualdatacenters/{site['virtualdatacenter_id']}")["datacenter_id"]
    for name, format in (("image", "qcow2"), ("iso", "raw")):
        world.post("/templates", {"datacenter_id": here, "name": name, "path": f"/{name}", "format": format})
    definition = small("x", disks=[{"name": "root", "template": "/image"}], cdrom="/iso")
    vm = world.post("/vms", {"virtualappliance_id": site["id"], "definition": definition})
    assert (vm["definition"]["disks"][0]["template"], vm["definition"]["cdrom"]) == ("/image", "/iso")


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
