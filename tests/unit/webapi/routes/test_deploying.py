# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploying and undeploying through HTTP, with what runners report."""

from __future__ import annotations

import pytest

from runner_service.contract.messages import ErrorReport
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from tests.webapi_world import BROKEN, Json, Runner, World, jobs_of, observed, small


def test_a_deployed_appliance_is_on_and_unlocked(world: World):
    shop = world.site("web", "db")
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    assert (task["type"], task["state"], task["mode"]) == ("DEPLOY", "QUEUED", "concurrent")
    assert [job["operation"] for job in jobs_of(task)] == ["configure", "power_on"] * 2

    ended = world.carry_out(task)

    assert ended["state"] == "FINISHED_SUCCESSFULLY"
    assert {job["state"] for job in jobs_of(ended)} == {"DONE"}
    shop = world.get(f"/virtualappliances/{shop['id']}")
    assert shop["state"] == "DEPLOYED"
    assert [(vm["name"], vm["state"], vm["locked_by"]) for vm in shop["vms"]] == [
        ("web", "ON", None),
        ("db", "ON", None),
    ]
    assert shop["vms"][0]["addresses"] == ["192.0.2.7"]


def test_the_answer_to_a_deploy_is_the_task_and_where_to_watch_it(world: World):
    shop = world.site()
    response = world.ask("POST", f"/virtualappliances/{shop['id']}/deploy")
    assert response.status_code == 202
    assert response.headers["Location"] == f"/api/v1/tasks/{response.json['id']}"
    assert world.get(f"/tasks/{response.json['id']}") == response.json


def test_while_it_is_deployed_the_appliance_is_locked_and_its_vms_are_allocated(world: World):
    shop = world.site()
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    shop = world.get(f"/virtualappliances/{shop['id']}")
    assert shop["state"] == "LOCKED"
    assert shop["vms"][0]["state"] == "ALLOCATED"
    assert shop["vms"][0]["locked_by"] == task["children"][0]["id"]
    assert shop["vms"][0]["hypervisor_name"]


def test_the_request_carries_the_vm_with_its_identity_and_a_name_that_cannot_collide(world: World):
    shop = world.site("web")
    [request] = world.requests(world.post(f"/virtualappliances/{shop['id']}/deploy"))
    vm = shop["vms"][0]
    for job in request.task.jobs():
        assert job.vm.uuid == job.vm_id == vm["id"]
        assert job.vm.name == vm["native_name"] == f"web-{vm['id'][:8]}"


def test_a_vm_whose_deploy_fails_is_rolled_back_unlocked_and_has_no_place(world: World):
    shop = world.site("web")
    task = world.carry_out(world.post(f"/virtualappliances/{shop['id']}/deploy"), failing=[Operation.POWER_ON])
    assert task["state"] == "FINISHED_UNSUCCESSFULLY"
    assert task["error"]["code"] == "driver.failed"
    configure, power_on = jobs_of(task)
    assert (configure["state"], configure["rollback_state"]) == ("DONE", "DONE")
    assert (power_on["state"], power_on["rollback_state"]) == ("FAILED", "DONE")
    assert power_on["error"]["detail"] == "no such bridge"
    vm = world.vm(shop["vms"][0])
    assert (vm["state"], vm["locked_by"], vm["hypervisor_id"], vm["addresses"]) == ("NOT_ALLOCATED", None, None, [])


def test_a_vm_that_failed_can_be_deployed_again(world: World):
    shop = world.site("web")
    world.carry_out(world.post(f"/virtualappliances/{shop['id']}/deploy"), failing=[Operation.CONFIGURE])
    assert world.deployed(shop)["state"] == "DEPLOYED"


def test_one_vm_that_fails_does_not_touch_the_others(world: World):
    shop = world.site("web", "db")
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    web, db = (Runner(request) for request in world.requests(task))
    web.work()
    db.work([Operation.CONFIGURE])

    shop = world.get(f"/virtualappliances/{shop['id']}")
    assert shop["state"] == "NEEDS_SYNC"
    assert [vm["state"] for vm in shop["vms"]] == ["ON", "NOT_ALLOCATED"]


def test_a_second_deploy_takes_only_the_vms_that_are_left(world: World):
    shop = world.site("web", "db")
    world.carry_out(world.post(f"/vms/{shop['vms'][0]['id']}/deploy"))
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    assert [child["name"] for child in task["children"]] == ["db"]
    assert world.carry_out(task)["state"] == "FINISHED_SUCCESSFULLY"
    assert world.refused("POST", f"/virtualappliances/{shop['id']}/deploy")["code"] == "vapp.state"


def test_undeploying_is_one_operation_whatever_the_state_and_frees_the_place(world: World):
    shop = world.deployed(world.site("web", "db"))
    world.carry_out(world.post(f"/vms/{shop['vms'][1]['id']}/power", {"action": "off"}))
    task = world.post(f"/virtualappliances/{shop['id']}/undeploy")
    assert [job["operation"] for job in jobs_of(task)] == ["unconfigure", "unconfigure"]
    world.carry_out(task)
    shop = world.get(f"/virtualappliances/{shop['id']}")
    assert shop["state"] == "NOT_DEPLOYED"
    assert all(vm["hypervisor_id"] is None and vm["locked_by"] is None for vm in shop["vms"])


def test_a_rollback_that_fails_leaves_the_vm_unknown_and_says_what_is_left_where(world: World):
    shop = world.site("web")
    task = world.post(f"/vms/{shop['vms'][0]['id']}/deploy")
    runner = world.runner(task)
    configure, power_on = runner.root.children
    runner.say(runner.root, Event.START)
    runner.say(configure, Event.START)
    runner.say(configure, Event.ERROR, error=BROKEN)
    runner.say(configure, Event.ROLLBACK_START)
    left = ErrorReport(code="driver.unreachable", message="removing VM failed", left=("web-root.qcow2",))
    runner.say(configure, Event.ROLLBACK_ERROR, error=left)
    runner.say(power_on, Event.ABORTED)
    runner.say(runner.root, Event.ERROR)

    vm = world.vm(shop["vms"][0])
    assert (vm["state"], vm["locked_by"]) == ("UNKNOWN", None)
    assert vm["hypervisor_id"], "what is left is there"
    [event] = world.get("/events?severity=CRITICAL")["items"]
    assert "web-root.qcow2" in event["text"] and vm["hypervisor_name"] in event["text"]
    error = jobs_of(world.get(f"/tasks/{task['id']}"))[0]["error"]
    assert (error["code"], error["left"], error["rollback"]["code"]) == (
        "driver.failed", ["web-root.qcow2"], "driver.unreachable",
    )  # fmt: skip
    assert world.carry_out(world.post(f"/vms/{vm['id']}/undeploy"))["state"] == "FINISHED_SUCCESSFULLY"
    assert world.vm(vm)["state"] == "NOT_ALLOCATED"


def _failing_undeploy(world: World, error: ErrorReport) -> dict:
    """The VM after it."""
    [vm] = world.deployed(world.site("web"))["vms"]
    runner = world.runner(world.post(f"/vms/{vm['id']}/undeploy"))
    runner.say(runner.root, Event.START)
    runner.say(runner.root.children[0], Event.START)
    runner.say(runner.root.children[0], Event.ERROR, error=error)
    runner.say(runner.root, Event.ERROR)
    return world.vm(vm)


def test_an_undeploy_that_fails_half_way_leaves_the_vm_unknown_says_what_is_left_and_can_be_repeated(world: World):
    error = ErrorReport(code="driver.failed", message="removing VM failed", left=("machine web", "web-root.qcow2"))
    vm = _failing_undeploy(world, error)
    assert (vm["state"], vm["locked_by"]) == ("UNKNOWN", None)
    [event] = world.get("/events?severity=CRITICAL")["items"]
    assert all(word in event["text"] for word in ("machine web", "web-root.qcow2", vm["hypervisor_name"], "removing"))
    assert world.carry_out(world.post(f"/vms/{vm['id']}/undeploy"))["state"] == "FINISHED_SUCCESSFULLY"
    assert world.vm(vm)["state"] == "NOT_ALLOCATED"


def test_an_undeploy_that_was_refused_before_it_began_leaves_the_vm_as_it_was(world: World):
    error = ErrorReport(code="driver.unreachable", message="nobody answers", begun=False)
    vm = _failing_undeploy(world, error)
    assert (vm["state"], vm["locked_by"]) == ("ON", None)
    assert world.get("/events?severity=CRITICAL")["items"] == []


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [("off", "ON", "OFF"), ("shutdown", "ON", "OFF"), ("pause", "ON", "PAUSED"), ("reset", "ON", "ON")],
)
def test_power_actions_lead_where_they_say(world: World, action: str, before: str, after: str):
    [vm] = world.deployed(world.site("web"))["vms"]
    assert vm["state"] == before
    task = world.post(f"/vms/{vm['id']}/power", {"action": action, "timeout": 30})
    assert world.requests(task)[0].task.children[0].timeout == 30
    assert world.carry_out(task)["state"] == "FINISHED_SUCCESSFULLY"
    assert world.vm(vm)["state"] == after


def test_a_refresh_takes_over_what_the_hypervisor_says(world: World):
    [vm] = world.deployed(world.site("web"))["vms"]
    runner = world.runner(world.post(f"/vms/{vm['id']}/refresh"))
    runner.say(runner.root, Event.START)
    runner.say(runner.root.children[0], Event.START)
    runner.say(runner.root.children[0], Event.DONE, changed=False, vm=observed("paused"))
    runner.say(runner.root, Event.DONE)
    assert world.vm(vm)["state"] == "PAUSED"


def test_a_vm_that_has_gone_from_its_hypervisor_is_unknown_and_can_be_undeployed(world: World):
    [vm] = world.deployed(world.site("web"))["vms"]
    runner = world.runner(world.post(f"/vms/{vm['id']}/refresh"))
    runner.say(runner.root, Event.START)
    runner.say(runner.root.children[0], Event.START)
    runner.say(runner.root.children[0], Event.DONE, changed=False)
    runner.say(runner.root, Event.DONE)
    assert world.vm(vm)["state"] == "UNKNOWN"
    assert "not at" in world.get("/events?severity=WARNING")["items"][0]["text"]
    task = world.post(f"/vms/{vm['id']}/undeploy")
    assert [job["operation"] for job in task["children"]] == ["unconfigure"]


def test_a_vm_that_is_not_deployed_is_redefined_at_once(world: World):
    [vm] = world.site("web")["vms"]
    response = world.ask("PUT", f"/vms/{vm['id']}", {"definition": small("www", cpu={"count": 2})})
    assert response.status_code == 200
    assert (response.json["name"], response.json["definition"]["cpu"]["count"]) == ("www", 2)


def _switched_off(world: World) -> dict:
    [vm] = world.deployed(world.site("web"))["vms"]
    world.carry_out(world.post(f"/vms/{vm['id']}/power", {"action": "off"}))
    return vm


def test_a_reconfigured_vm_has_its_new_definition_once_the_task_is_done(world: World):
    vm = _switched_off(world)
    response = world.ask("PUT", f"/vms/{vm['id']}", {"definition": small("www", memory_mib=128)})
    assert response.status_code == 202
    assert response.headers["Location"] == f"/api/v1/tasks/{response.json['id']}"
    [job] = world.requests(response.json)[0].task.children
    assert (job.definition["memory_mib"], job.previous["memory_mib"]) == (128, 64)
    assert (job.vm.name, job.previous["name"]) == (f"www-{vm['id'][:8]}", f"web-{vm['id'][:8]}")
    assert world.vm(vm)["definition"]["memory_mib"] == 64

    world.carry_out(response.json)

    assert (world.vm(vm)["name"], world.vm(vm)["definition"]["memory_mib"]) == ("www", 128)
    assert world.vm(vm)["state"] == "OFF"


def test_a_vm_whose_reconfiguration_failed_keeps_its_definition(world: World):
    vm = _switched_off(world)
    task = world.ask("PUT", f"/vms/{vm['id']}", {"definition": small("www")}).json
    world.carry_out(task, failing=[Operation.RECONFIGURE])
    assert (world.vm(vm)["name"], world.vm(vm)["state"], world.vm(vm)["locked_by"]) == ("web", "OFF", None)
    second = world.ask("PUT", f"/vms/{vm['id']}", {"definition": small("mail")}).json
    world.carry_out(second)
    assert world.vm(vm)["name"] == "mail"


def test_a_vm_that_is_on_is_reconfigured_with_what_its_asker_puts_up_with(world: World):
    [vm] = world.deployed(world.site("web"))["vms"]
    body = {"definition": small("web", memory_mib=128), "allow_power_cycle": True, "timeout": 30}
    task = world.ask("PUT", f"/vms/{vm['id']}", body).json
    [job] = world.requests(task)[0].task.children
    assert (job.allow_power_cycle, job.allow_disk_removal, job.timeout) == (True, False, 30)
    runner = world.runner(task)
    runner.say(runner.root, Event.START)
    runner.say(job, Event.START)
    runner.say(job, Event.DONE, changed=True, vm=observed("on"))
    runner.say(runner.root, Event.DONE)
    assert (world.vm(vm)["definition"]["memory_mib"], world.vm(vm)["state"]) == (128, "ON")


@pytest.mark.parametrize("word", ["yes", "true", 2])
def test_a_permission_is_given_in_no_other_word_than_true(world: World, word: object):
    vm = _switched_off(world)
    body = {"definition": small("web"), "allow_disk_removal": word}
    [problem] = world.refused("PUT", f"/vms/{vm['id']}", body, 422)["problems"]
    assert problem["path"] == "allow_disk_removal"


def test_a_disk_that_has_grown_and_cannot_be_taken_back_leaves_the_vm_in_its_state_and_is_told(world: World):
    [vm] = world.deployed(world.site("web"))["vms"]
    runner = world.runner(world.ask("PUT", f"/vms/{vm['id']}", {"definition": small("web", memory_mib=128)}).json)
    [job] = runner.root.children
    grown = ErrorReport(code="driver.unsupported", message="a disk is never made smaller", begun=False)
    runner.say(runner.root, Event.START)
    runner.say(job, Event.START)
    runner.say(job, Event.ERROR, error=BROKEN)
    runner.say(job, Event.ROLLBACK_START)
    runner.say(job, Event.ROLLBACK_ERROR, error=grown)
    runner.say(runner.root, Event.ERROR)
    assert (world.vm(vm)["state"], world.vm(vm)["locked_by"]) == ("ON", None)
    [event] = world.get("/events?severity=CRITICAL")["items"]
    assert "stays changed: a disk is never made smaller" in event["text"]
    assert world.vm(vm)["definition"]["memory_mib"] == 64


def _with_a_disk(world: World) -> Json:
    """A VM that is on, with a disk of 8 MiB."""
    datacenter = world.datacenter()
    world.hypervisor(datacenter)
    disks = [{"name": "root", "size_mib": 8}]
    [vm] = world.deployed(world.appliance(world.vdc(datacenter), small("web", disks=disks)))["vms"]
    return vm


def test_of_a_change_that_stays_in_part_what_was_seen_is_known(world: World):
    vm = _with_a_disk(world)
    wanted = small("web", memory_mib=128, disks=[{"name": "root", "size_mib": 16}])
    runner = world.runner(world.ask("PUT", f"/vms/{vm['id']}", {"definition": wanted}).json)
    [job] = runner.root.children
    grown = ErrorReport(code="driver.unsupported", message="a disk is never made smaller", begun=False)
    runner.say(runner.root, Event.START)
    runner.say(job, Event.START)
    runner.say(job, Event.ERROR, error=BROKEN)
    runner.say(job, Event.ROLLBACK_START)
    seen = {**observed("on"), "definition": {**job.definition, "memory_mib": 64}}
    runner.say(job, Event.ROLLBACK_ERROR, error=grown, vm=seen)
    runner.say(runner.root, Event.ERROR)
    definition = world.vm(vm)["definition"]
    assert (definition["name"], definition["memory_mib"], definition["disks"][0]["size_mib"]) == ("web", 64, 16)


def test_a_refresh_knows_that_a_disk_has_grown(world: World):
    vm = _with_a_disk(world)
    for size, known in ((16, 16), (4, 16)):
        runner = world.runner(world.post(f"/vms/{vm['id']}/refresh"))
        disks = [{"name": "root", "size_mib": size}]
        runner.say(runner.root, Event.START)
        runner.say(runner.root.children[0], Event.START)
        seen = {**observed("on"), "definition": small("x", memory_mib=32, disks=disks)}
        runner.say(runner.root.children[0], Event.DONE, changed=False, vm=seen)
        runner.say(runner.root, Event.DONE)
        definition = world.vm(vm)["definition"]
        assert (definition["memory_mib"], definition["disks"][0]["size_mib"]) == (64, known)


def test_a_shutdown_by_force_says_so_to_its_runner_and_nothing_else_is_forced(world: World):
    [vm] = world.deployed(world.site("web"))["vms"]
    [problem] = world.refused("POST", f"/vms/{vm['id']}/power", {"action": "off", "force": True}, 422)["problems"]
    assert problem["path"] == "force"
    task = world.post(f"/vms/{vm['id']}/power", {"action": "shutdown", "force": True, "timeout": 5})
    [job] = world.requests(task)[0].task.children
    assert (job.force, job.timeout) == (True, 5)


def test_a_vm_cannot_grow_beyond_its_host(world: World):
    vm = _switched_off(world)
    error = world.refused("PUT", f"/vms/{vm['id']}", {"definition": small("web", memory_mib=4096)})
    assert error["code"] == "placement.none"
    assert world.vm(vm)["locked_by"] is None
