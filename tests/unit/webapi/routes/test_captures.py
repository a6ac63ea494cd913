# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates made of VMs through HTTP, with what runners report."""

from __future__ import annotations

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat
from runner_service.contract.messages import TemplateFacts
from runner_service.contract.states import Event
from tests.webapi_world import BROKEN, Json, World, small

MADE = TemplateFacts(name="golden.qcow2", format=DiskFormat.QCOW2, pool="default", size_mib=8)


@pytest.fixture
def vm(world: World) -> Json:
    """It is off."""
    [vm] = world.deployed(world.site("web"))["vms"]
    world.carry_out(world.post(f"/vms/{vm['id']}/power", {"action": "off"}))
    return vm


def captured(
    world: World, task: Json, made: TemplateFacts | None = MADE, changed: bool = True, **failure: object
) -> Json:
    runner = world.runner(task)
    [job] = runner.root.children
    runner.say(runner.root, Event.START)
    runner.say(job, Event.START)
    if failure:
        runner.say(job, Event.ERROR, **failure)
    else:
        runner.say(job, Event.DONE, changed=changed, template=made)
    runner.say(runner.root, Event.ERROR if failure else Event.DONE)
    return world.get(f"/tasks/{task['id']}")


def test_a_template_is_made_by_a_task_and_then_vms_are_made_from_it(world: World, vm: Json):
    task = world.post(f"/vms/{vm['id']}/capture", {"name": "golden", "disk": "root"})
    assert (task["type"], [job["operation"] for job in task["children"]]) == ("CAPTURE", ["capture"])
    [job] = world.requests(task)[0].task.children
    assert job.variables == {
        "millwright_template": {"name": "golden", "disk": "root", "format": "qcow2", "made_for": job.id}
    }
    assert world.get("/templates")["items"] == []
    assert captured(world, task)["state"] == "FINISHED_SUCCESSFULLY"
    [template] = world.get("/templates?name=golden")["items"]
    assert (template["path"], template["format"], template["description"]) == (
        "golden.qcow2", "qcow2", "captured from VM web",
    )  # fmt: skip
    assert (world.vm(vm)["state"], world.vm(vm)["locked_by"]) == ("OFF", None)
    made = {
        "virtualappliance_id": vm["virtualappliance_id"], "definition": small("two"), "template_id": template["id"],
    }  # fmt: skip
    assert world.post("/vms", made)["definition"]["disks"][0]["template"] == "golden.qcow2"


def test_a_vm_that_is_on_is_not_captured(world: World, vm: Json):
    world.carry_out(world.post(f"/vms/{vm['id']}/power", {"action": "on"}))
    refused = world.refused("POST", f"/vms/{vm['id']}/capture", {"name": "golden"})
    assert refused["code"] == "vm.state" and "captured" in refused["message"]


def test_a_name_that_the_datacenter_has_is_refused_before_anything_is_made(world: World, vm: Json):
    captured(world, world.post(f"/vms/{vm['id']}/capture", {"name": "golden"}))
    assert world.refused("POST", f"/vms/{vm['id']}/capture", {"name": "golden"})["code"] == "template.exists"
    assert world.vm(vm)["locked_by"] is None


def test_a_name_that_was_given_away_meanwhile_is_told_with_where_the_template_is(world: World, vm: Json):
    task = world.post(f"/vms/{vm['id']}/capture", {"name": "golden"})
    [datacenter] = world.get("/datacenters")["items"]
    world.post("/templates", {"datacenter_id": datacenter["id"], "name": "golden", "path": "/other.qcow2"})
    assert captured(world, task)["state"] == "FINISHED_SUCCESSFULLY"
    assert [one["path"] for one in world.get("/templates")["items"]] == ["/other.qcow2"]
    [event] = world.get("/events?severity=WARNING")["items"]
    assert "golden.qcow2" in event["text"] and "another one has its name" in event["text"]


def test_a_template_of_which_nobody_says_where_it_is_is_told_and_not_registered(world: World, vm: Json):
    captured(world, world.post(f"/vms/{vm['id']}/capture", {"name": "golden"}), None)
    assert world.get("/templates")["items"] == []
    [event] = world.get("/events?severity=WARNING")["items"]
    assert "did not say where it is" in event["text"]


def test_a_volume_that_was_there_before_is_no_template_of_the_vm(world: World, vm: Json):
    captured(world, world.post(f"/vms/{vm['id']}/capture", {"name": "golden"}), changed=False)
    assert world.get("/templates")["items"] == []
    [event] = world.get("/events?severity=WARNING")["items"]
    assert "is not of VM web" in event["text"]


def test_what_failed_is_no_template_and_leaves_the_vm_as_it_was(world: World, vm: Json):
    task = captured(world, world.post(f"/vms/{vm['id']}/capture", {"name": "golden"}), error=BROKEN)
    assert task["state"] == "FINISHED_UNSUCCESSFULLY"
    assert world.get("/templates")["items"] == []
    assert (world.vm(vm)["state"], world.vm(vm)["locked_by"]) == ("OFF", None)


@pytest.mark.parametrize(
    ("body", "path"),
    [({"name": "../x"}, "name"), ({"name": "a" * 81}, "name"), ({"name": "a", "format": "vmdk"}, "format"),
     ({"name": "a", "pool": "a\nb"}, "pool"), ({"name": "a", "snapshot": "1"}, "snapshot")],
)  # fmt: skip
def test_what_no_hypervisor_takes_is_refused(world: World, vm: Json, body: Json, path: str):
    [problem] = world.refused("POST", f"/vms/{vm['id']}/capture", body, 422)["problems"]
    assert problem["path"] == path
