# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots through HTTP, with what runners report."""

from __future__ import annotations

import pytest

from runner_service.contract.messages import ErrorReport, SnapshotFacts
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from tests.webapi_world import BROKEN, Json, World, observed, small

FIRST = SnapshotFacts(name="first", created=1_795_748_917, current=True)
SECOND = SnapshotFacts(name="second", parent="first", current=True, power="on")


@pytest.fixture
def vm(world: World) -> Json:
    return world.deployed(world.site("web"))["vms"][0]


def told(world: World, task: Json, *snapshots: SnapshotFacts, power: str = "on", **more: object) -> Json:
    """The task after a runner has done it, and has seen these snapshots."""
    runner = world.runner(task)
    [job] = runner.root.children
    runner.say(runner.root, Event.START)
    runner.say(job, Event.START)
    runner.say(job, Event.DONE, **{"vm": observed(power), "snapshots": snapshots, "changed": True, **more})
    runner.say(runner.root, Event.DONE)
    return world.get(f"/tasks/{task['id']}")


def taken(world: World, vm: Json, name: str = "first", *snapshots: SnapshotFacts, **more: object) -> Json:
    return told(world, world.post(f"/vms/{vm['id']}/snapshots", {"name": name}), *(snapshots or (FIRST,)), **more)


def listed(world: World, vm: Json) -> Json:
    return world.get(f"/vms/{vm['id']}/snapshots")["items"]


def test_a_snapshot_is_taken_by_a_task_that_says_which_and_is_listed_once_it_is_done(world: World, vm: Json):
    wish = {"name": "first", "description": "before the upgrade", "memory": True, "quiesce": "never"}
    task = world.post(f"/vms/{vm['id']}/snapshots", wish)
    assert (task["type"], [job["operation"] for job in task["children"]]) == ("SNAPSHOT", ["snapshot_create"])
    [job] = world.requests(task)[0].task.children
    assert job.variables == {"millwright_snapshot": {**wish, "children": False}}
    assert listed(world, vm) == []
    assert told(world, task, FIRST)["state"] == "FINISHED_SUCCESSFULLY"
    assert listed(world, vm) == [
        {
            "name": "first", "description": "", "created_at": "2026-11-27T03:08:37+00:00", "power": "off",
            "parent": None, "current": True, "children": [],
        }
    ]  # fmt: skip
    assert (world.vm(vm)["state"], world.vm(vm)["locked_by"]) == ("ON", None)


def test_snapshots_are_listed_as_a_tree(world: World, vm: Json):
    side = SnapshotFacts(name="side", parent="first")
    taken(world, vm, "second", SnapshotFacts(name="first"), SECOND, side, SnapshotFacts(name="other"))
    first, other = listed(world, vm)
    assert [child["name"] for child in first["children"]] == ["second", "side"]
    assert (other["name"], other["children"]) == ("other", [])


def test_a_long_line_of_snapshots_is_listed_whole(world: World, vm: Json):
    line = [SnapshotFacts(name=f"s{n}", parent=f"s{n - 1}" if n else None) for n in range(150)]
    taken(world, vm, "s149", *line)
    [one] = listed(world, vm)
    names = [one["name"]]
    while one["children"]:
        [one] = one["children"]
        names.append(one["name"])
    assert names == [f"s{n}" for n in range(150)]


def test_what_the_vm_was_defined_as_is_not_shown_with_its_snapshots(world: World, vm: Json):
    taken(world, vm)
    [shown] = listed(world, vm)
    assert not {"definition", "user_data"} & set(shown)


def test_a_name_is_given_once(world: World, vm: Json):
    taken(world, vm)
    refused = world.refused("POST", f"/vms/{vm['id']}/snapshots", {"name": "first"})
    assert refused["code"] == "snapshot.exists"
    assert world.vm(vm)["locked_by"] is None


@pytest.mark.parametrize(
    ("body", "path"),
    [({"name": "7"}, "name"), ({"name": "a", "description": "a\nb"}, "description"), ({}, "name"),
     ({"name": "a", "quiesce": "maybe"}, "quiesce"), ({"name": "a", "children": True}, "children")],
)  # fmt: skip
def test_what_no_hypervisor_takes_is_refused(world: World, vm: Json, body: Json, path: str):
    [problem] = world.refused("POST", f"/vms/{vm['id']}/snapshots", body, 422)["problems"]
    assert problem["path"] == path


@pytest.mark.parametrize(("method", "path"), [("POST", "/nothing/revert"), ("DELETE", "/nothing")])
def test_a_snapshot_that_is_not_known_is_not_found_and_those_that_are_are_named(
    world: World, vm: Json, method: str, path: str
):
    taken(world, vm)
    refused = world.refused(method, f"/vms/{vm['id']}/snapshots{path}", status=404)
    assert refused["code"] == "not_found" and "it has: first" in refused["message"]


def test_a_refresh_knows_snapshots_that_were_made_or_deleted_by_hand(world: World, vm: Json):
    taken(world, vm)
    refresh = f"/vms/{vm['id']}/refresh"
    by_hand = SnapshotFacts(name="2026 by hand", parent="first", current=True)
    told(world, world.post(refresh), FIRST, by_hand, changed=False)
    assert [(one["name"], [above["name"] for above in one["children"]]) for one in listed(world, vm)] == [
        ("first", ["2026 by hand"])
    ]
    for method, path in (("POST", "/revert"), ("DELETE", "")):
        refused = world.refused(method, f"/vms/{vm['id']}/snapshots/2026 by hand{path}")
        assert (refused["code"], "by hand" in refused["message"]) == ("snapshot.name", True)
    told(world, world.post(refresh), changed=False)
    assert listed(world, vm) == []


def test_a_refresh_that_did_not_look_at_snapshots_leaves_what_is_known(world: World, vm: Json):
    taken(world, vm)
    told(world, world.post(f"/vms/{vm['id']}/refresh"), changed=False, **{"snapshots": None})
    assert [one["name"] for one in listed(world, vm)] == ["first"]


def test_another_snapshot_of_the_same_name_is_not_the_one_that_was_taken(world: World, vm: Json):
    taken(world, vm)
    again = SnapshotFacts(name="first", created=FIRST.created + 60, current=True)
    told(world, world.post(f"/vms/{vm['id']}/refresh"), again, changed=False)
    told(world, world.post(f"/vms/{vm['id']}/snapshots/first/revert"), again)
    [event] = world.get("/events?severity=WARNING")["items"]
    assert "which Millwright did not take" in event["text"]


def test_a_vm_that_goes_back_is_what_it_was_with_its_definition_and_its_power(world: World, vm: Json):
    taken(world, vm)
    change = world.ask("PUT", f"/vms/{vm['id']}", {"definition": small("web", memory_mib=128)}).json
    world.runner(change).work()
    assert world.vm(vm)["definition"]["memory_mib"] == 128
    task = world.post(f"/vms/{vm['id']}/snapshots/first/revert")
    [job] = world.requests(task)[0].task.children
    assert (job.operation, job.snapshot and job.snapshot.name) == (Operation.SNAPSHOT_REVERT, "first")
    told(world, task, FIRST, power="off")
    assert (world.vm(vm)["definition"]["memory_mib"], world.vm(vm)["state"]) == (64, "OFF")
    assert world.get("/events?severity=WARNING")["items"] == []


def test_a_vm_that_could_not_go_back_keeps_its_definition_and_is_unknown_if_it_was_begun(world: World, vm: Json):
    for error, state in (
        (ErrorReport(code="driver.busy", message="not now", begun=False), "ON"), (BROKEN, "UNKNOWN"),
    ):  # fmt: skip
        if not listed(world, vm):
            taken(world, vm)
        runner = world.runner(world.post(f"/vms/{vm['id']}/snapshots/first/revert"))
        [job] = runner.root.children
        runner.say(runner.root, Event.START)
        runner.say(job, Event.START)
        runner.say(job, Event.ERROR, error=error)
        runner.say(runner.root, Event.ERROR)
        assert (world.vm(vm)["state"], world.vm(vm)["locked_by"]) == (state, None)


def test_going_back_to_a_snapshot_that_somebody_else_took_is_told(world: World, vm: Json):
    taken(world, vm, "second", SnapshotFacts(name="first"), SECOND, changed=True)
    told(world, world.post(f"/vms/{vm['id']}/snapshots/first/revert"), FIRST, SECOND)
    [event] = world.get("/events?severity=WARNING")["items"]
    assert "which Millwright did not take" in event["text"]


@pytest.mark.parametrize(("more", "is_ours"), [({}, False), ({"tries": 1}, False), ({"tries": 2}, True)])
def test_a_snapshot_that_was_there_is_only_taken_for_ours_if_an_earlier_run_may_have_taken_it(
    world: World, vm: Json, more: Json, is_ours: bool
):
    taken(world, vm, "first", FIRST, changed=False, **more)
    told(world, world.post(f"/vms/{vm['id']}/snapshots/first/revert"), FIRST)
    assert (world.get("/events?severity=WARNING")["items"] == []) is is_ours


def test_a_vm_does_not_go_back_to_more_memory_than_its_host_has(world: World, vm: Json):
    taken(world, vm)
    world.runner(world.ask("PUT", f"/vms/{vm['id']}", {"definition": small("web", memory_mib=16)}).json).work()
    vdc = world.get(f"/virtualappliances/{vm['virtualappliance_id']}")["virtualdatacenter_id"]
    world.deployed(world.appliance({"id": vdc}, small("big", memory_mib=1000)))
    assert world.refused("POST", f"/vms/{vm['id']}/snapshots/first/revert")["code"] == "placement.none"


@pytest.mark.parametrize(("query", "children"), [("", False), ("?children=true", True)])
def test_a_snapshot_is_deleted_with_those_on_top_of_it_if_that_is_asked_for(
    world: World, vm: Json, query: str, children: bool
):
    taken(world, vm)
    response = world.ask("DELETE", f"/vms/{vm['id']}/snapshots/first{query}")
    assert (response.status_code, response.json["type"]) == (202, "DELETE_SNAPSHOT")
    [job] = world.requests(response.json)[0].task.children
    assert job.snapshot and (job.snapshot.name, job.snapshot.children) == ("first", children)
    told(world, response.json)
    assert listed(world, vm) == []


def test_a_snapshot_whose_taking_was_undone_is_not_there(world: World, vm: Json):
    runner = world.runner(world.post(f"/vms/{vm['id']}/snapshots", {"name": "first"}))
    [job] = runner.root.children
    runner.say(runner.root, Event.START)
    runner.say(job, Event.START)
    runner.say(job, Event.DONE, changed=True, snapshots=(FIRST,))
    runner.say(job, Event.ROLLBACK_START)
    runner.say(job, Event.ROLLBACK_DONE, changed=True, vm=observed("on"), snapshots=())
    runner.say(runner.root, Event.CANCELLED)
    assert listed(world, vm) == []


def test_a_vm_that_is_undeployed_has_no_snapshots(world: World, vm: Json):
    taken(world, vm)
    world.carry_out(world.post(f"/vms/{vm['id']}/undeploy"))
    assert listed(world, vm) == []
    assert world.refused("POST", f"/vms/{vm['id']}/snapshots", {"name": "first"})["code"] == "vm.state"
