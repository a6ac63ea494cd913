# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates are applied in order, once, and to nothing that has ended."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from runner_service.contract.messages import ErrorReport, Job, TaskRequest, Update
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from tests.webapi_world import Runner, World, jobs_of, observed
from webapi.database import db, transaction
from webapi.models import Request
from webapi.services import events, failing, outbox, updates
from webapi.services.endings import overall
from webapi.services.updates import Inapplicable

give_up = transaction(failing.give_up)
lose_sight = transaction(failing.lose_sight)


@pytest.fixture
def deploy(world: World) -> dict:
    """The task of a VM that is being deployed."""
    [vm] = world.site("web")["vms"]
    return world.post(f"/vms/{vm['id']}/deploy")


def _state(world: World, task: dict) -> dict:
    return world.get(f"/tasks/{task['id']}")


def test_an_update_that_comes_twice_changes_nothing(world: World, deploy: dict):
    runner = world.runner(deploy)
    configure = runner.root.children[0]
    said = [runner.say(runner.root, Event.START), runner.say(configure, Event.START)]
    said.append(runner.say(configure, Event.DONE, changed=True, vm=observed("off")))
    before = _state(world, deploy)
    for update in said:
        updates.apply(update)
    assert _state(world, deploy) == before


def test_an_update_of_an_earlier_attempt_changes_nothing(world: World, deploy: dict):
    first, second = world.runner(deploy), world.runner(deploy, attempt=2)
    configure = first.root.children[0]
    late = [first.update(first.root.id, Event.START), first.update(configure.id, Event.START)]
    late.append(first.update(configure.id, Event.ERROR))
    second.say(second.root, Event.START)
    second.say(second.root.children[0], Event.START)
    for update in late:
        updates.apply(update)
    job = jobs_of(_state(world, deploy))[0]
    assert (job["state"], job["attempt"]) == ("STARTED", 2)


def test_a_second_attempt_may_start_what_had_ended(world: World, deploy: dict):
    first = world.runner(deploy)
    configure = first.root.children[0]
    first.say(first.root, Event.START)
    first.say(configure, Event.START)
    first.say(configure, Event.DONE, changed=True, vm=observed("off"))
    world.runner(deploy, attempt=2).work()
    task = _state(world, deploy)
    assert task["state"] == "FINISHED_SUCCESSFULLY"
    assert {job["attempt"] for job in jobs_of(task)} == {2}


def test_a_second_attempt_believes_its_eyes(world: World, deploy: dict):
    """The first attempt powered the VM on and died; configuring again finds it running."""
    runner = world.runner(deploy, attempt=2)
    configure = runner.root.children[0]
    runner.say(runner.root, Event.START)
    runner.say(configure, Event.START)
    runner.say(configure, Event.DONE, changed=False, vm=observed("on"))
    assert world.vm({"id": deploy["owner"]["id"]})["state"] == "ON"


def test_after_its_end_nothing_about_a_task_changes(world: World, deploy: dict):
    late = world.runner(deploy, attempt=2)
    world.carry_out(deploy, failing=[Operation.POWER_ON])
    before = _state(world, deploy)
    late.work()
    assert _state(world, deploy) == before
    assert world.vm({"id": deploy["owner"]["id"]})["state"] == "NOT_ALLOCATED"


def test_every_vm_of_an_appliance_has_a_request_of_its_own(world: World):
    """A request that was delivered again would do again, or undo, what has ended and is not the task's any more."""
    shop = world.site("web", "db")
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    requests = world.requests(task)
    assert [request.task.id for request in requests] == [task["id"]] * 2
    assert [[child.id for child in request.task.children] for request in requests] == [
        [child["id"]] for child in task["children"]
    ]


def test_a_vm_that_has_ended_is_free_while_another_one_of_its_appliance_is_worked_on_again(world: World):
    shop = world.site("web", "db")
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    again = world.runner(task, attempt=2, number=1)
    world.runner(task, number=0).work()
    paused = world.post(f"/vms/{shop['vms'][0]['id']}/power", {"action": "pause"})
    assert world.requests(task) == [again.request]

    again.work([Operation.CONFIGURE])

    vm = world.vm(shop["vms"][0])
    assert (vm["state"], vm["locked_by"]) == ("ON", paused["id"])
    assert [child["state"] for child in _state(world, task)["children"]] == [
        "FINISHED_SUCCESSFULLY", "FINISHED_UNSUCCESSFULLY",
    ]  # fmt: skip
    assert _state(world, task)["error"]["detail"] == "no such bridge"


def test_what_became_of_undoing_an_earlier_attempt_is_forgotten(world: World, deploy: dict):
    first, second = world.runner(deploy), world.runner(deploy, attempt=2)
    first.say(first.root, Event.START)
    configure, power_on = first.root.children
    first._job(configure, frozenset())
    first._job(power_on, frozenset([Operation.POWER_ON]))
    first._undo([configure, power_on])
    assert {job["rollback_state"] for job in jobs_of(_state(world, deploy))} == {"DONE"}

    second.work()

    assert {(job["state"], job["rollback_state"]) for job in jobs_of(_state(world, deploy))} == {("DONE", "NONE")}


def test_a_job_that_a_later_attempt_does_not_reach_is_aborted_and_has_changed_nothing(world: World, deploy: dict):
    first, second = world.runner(deploy), world.runner(deploy, attempt=2)
    first.say(first.root, Event.START)
    for job in first.root.children:
        first._job(job, frozenset())

    second.work([Operation.CONFIGURE])

    job = jobs_of(_state(world, deploy))[1]
    assert (job["state"], job["changed"]) == ("ABORTED", None)


def test_what_was_asked_of_a_runner_is_forgotten_once_it_has_answered(world: World, deploy: dict):
    def kept() -> list[str | None]:
        return list(db.session.scalars(select(Request.body).filter_by(task_id=deploy["id"])))

    assert kept() != [None]
    world.carry_out(deploy)
    assert kept() == [None]


def test_an_update_proves_that_its_request_was_published(world: World, deploy: dict):
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    published = []
    outbox.publish_pending(published.append)
    ids = [Runner(request).request.id.encode() for request in world.requests(deploy)]
    assert not [outgoing for outgoing in published if ids[0] in outgoing.body]


@pytest.mark.parametrize("what", ["request", "node", "order"])
def test_what_cannot_be_applied_is_said_to_be_so_and_changes_nothing(world: World, deploy: dict, what: str):
    runner = world.runner(deploy)
    job = runner.root.children[0]
    assert isinstance(job, Job)
    before = _state(world, deploy)
    wrong = {
        "request": Runner(world.requests(world.post(f"/hypervisors/{_host(world)}/discover"))[0]).update(
            "x", Event.START
        ),
        "node": runner.update("nobody", Event.START),
        "order": runner.update(job.id, Event.DONE),
    }[what]
    with pytest.raises(Inapplicable):
        updates.apply(wrong)
    assert _state(world, deploy) == before


def _host(world: World) -> str:
    return world.get("/hypervisors")["items"][0]["id"]


def test_a_vm_is_not_left_locked_by_a_runner_that_forgot_a_part(world: World):
    shop = world.site("web", "db")
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    world.runner(task, number=0).work()
    runner = world.runner(task)
    runner.say(runner.root, Event.START)
    runner.say(runner.root, Event.ERROR)
    assert [vm["locked_by"] for vm in world.get(f"/virtualappliances/{shop['id']}")["vms"]] == [None, None]
    assert _state(world, task)["children"][1]["error"]["code"] == "runner.silent"


def test_a_task_over_two_hypervisors_ends_when_both_parts_have(world: World):
    shop = world.site("a", "b", hypervisors=2)
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    assert len(world.requests(task)) == 2
    world.runner(task).work()
    assert _state(world, task)["state"] == "STARTED"
    world.runner(task).work([Operation.CONFIGURE])
    assert _state(world, task)["state"] == "FINISHED_UNSUCCESSFULLY"
    assert sorted(child["state"] for child in _state(world, task)["children"]) == [
        "FINISHED_SUCCESSFULLY", "FINISHED_UNSUCCESSFULLY",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ({Event.DONE}, Event.DONE),
        ({Event.DONE, Event.ERROR}, Event.ERROR),
        ({Event.DONE, Event.ABORTED}, Event.ERROR),
        ({Event.DONE, Event.CANCELLED}, Event.CANCELLED),
        ({Event.DONE, Event.ABORTED, Event.CANCELLED}, Event.CANCELLED),
        ({Event.ERROR, Event.CANCELLED}, Event.ERROR),
        ({Event.ABORTED}, Event.ABORTED),
        ({Event.ABORTED, Event.CANCELLED}, Event.CANCELLED),
    ],
)
def test_a_task_went_well_only_if_all_its_requests_did(outcomes: set[Event], whole: Event):
    assert overall(outcomes) is whole


def test_a_request_that_no_runner_took_ends_as_failed_with_the_reason_and_the_vm_is_free(world: World, deploy: dict):
    [request] = world.requests(deploy)
    assert give_up(request.id, "nobody could read it")
    task = _state(world, deploy)
    assert (task["state"], task["error"]["code"]) == ("FINISHED_UNSUCCESSFULLY", "request.dead")
    assert "nobody could read it" in task["error"]["message"]
    assert {job["state"] for job in jobs_of(task)} == {"ABORTED"}
    vm = world.vm({"id": deploy["owner"]["id"]})
    assert (vm["state"], vm["locked_by"], vm["hypervisor_id"]) == ("NOT_ALLOCATED", None, None)


def test_a_vm_that_a_dead_request_had_begun_to_work_on_is_unknown(world: World, deploy: dict):
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    runner.say(runner.root.children[0], Event.START)
    assert give_up(runner.request.id, "its runner died again and again")
    vm = world.vm({"id": deploy["owner"]["id"]})
    assert (vm["state"], vm["locked_by"]) == ("UNKNOWN", None)
    assert vm["native_name"] in world.get("/events?severity=CRITICAL")["items"][0]["text"]


def test_a_request_that_the_broker_rejects_ends_as_failed_and_those_behind_it_are_published(world: World):
    shop = world.site("web", "db")
    outbox.publish_pending(lambda _: None)
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    published = []

    def publish(outgoing: outbox.Outgoing) -> None:
        if not published:
            published.append(None)
            raise outbox.Rejected("message size 9 is larger than configured max size 8")
        published.append(TaskRequest.decode(outgoing.body))

    assert outbox.publish_pending(publish) == 2
    Runner(published[1]).work()
    task = _state(world, task)
    assert [child["state"] for child in task["children"]] == ["FINISHED_UNSUCCESSFULLY", "FINISHED_SUCCESSFULLY"]
    assert "larger than configured" in task["error"]["message"]
    assert [vm["state"] for vm in world.get(f"/virtualappliances/{shop['id']}")["vms"]] == ["NOT_ALLOCATED", "ON"]


def _criticals(world: World) -> list[str]:
    return [event["text"] for event in world.get("/events?severity=CRITICAL")["items"]]


def _vm_of(world: World, task: dict) -> dict:
    return world.vm({"id": task["owner"]["id"]})


def test_texts_that_no_database_keeps_are_written_out(world: World, deploy: dict):
    """As in an OSError that names a file whose name is no UTF-8."""
    runner = world.runner(deploy)
    configure, bad = runner.root.children[0], "no file /srv/im\udce4ges/x"
    error = ErrorReport(code="driver.failed", message=bad, detail=bad, left=(bad,))
    for node, event, more in (
        (runner.root, Event.START, {}),
        (configure, Event.START, {}),
        (configure, Event.ERROR, {"error": error, "trace": {bad: [bad]}, "vm": {"power": "off", "serial_log": bad}}),
        (configure, Event.ROLLBACK_START, {}),
        (configure, Event.ROLLBACK_DONE, {}),
        (runner.root, Event.ERROR, {"error": error}),
    ):
        updates.apply(Update.decode(runner.update(node.id, event, **more).encode()))
    task, good = _state(world, deploy), r"no file /srv/im\udce4ges/x"
    assert (task["state"], task["error"]["message"], jobs_of(task)[0]["error"]["left"]) == (
        "FINISHED_UNSUCCESSFULLY", good, [good],
    )  # fmt: skip
    assert good in world.get("/events?severity=ERROR")["items"][0]["text"]
    assert (_vm_of(world, deploy)["state"], _vm_of(world, deploy)["locked_by"]) == ("NOT_ALLOCATED", None)


def test_a_text_that_is_too_long_for_an_event_is_cut(world: World, deploy: dict):
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    runner.say(runner.root, Event.ERROR, error=ErrorReport(code="x", message="ä" * 70_000))
    assert len(world.get("/events?severity=ERROR")["items"][0]["text"]) == events.MAX_TEXT


@pytest.mark.parametrize(
    ("told", "jobs"),
    [
        ([Event.START], ("FAILED", "NONE")),
        ([Event.START, Event.ERROR], ("FAILED", "NONE")),
        ([Event.START, Event.ERROR, Event.ROLLBACK_START], ("FAILED", "FAILED")),
    ],
)
def test_a_vm_of_which_the_runner_did_not_say_what_became_is_unknown_and_somebody_is_called(
    world: World, deploy: dict, told: list[Event], jobs: tuple[str, str]
):
    """It may be at the hypervisor: to say that it is not allocated would make an orphan of it."""
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    for event in told:
        runner.say(runner.root.children[0], event)
    runner.say(runner.root, Event.ERROR)
    vm = _vm_of(world, deploy)
    assert (vm["state"], vm["locked_by"], vm["hypervisor_id"]) == ("UNKNOWN", None, _host(world))
    [text] = _criticals(world)
    assert vm["native_name"] in text
    configure = jobs_of(_state(world, deploy))[0]
    assert (configure["state"], configure["rollback_state"]) == jobs


def test_of_an_appliances_vm_too(world: World):
    shop = world.site("web")
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    runner = world.runner(task)
    runner.say(runner.root, Event.START)
    runner.say(runner.root.children[0], Event.START)
    runner.say(runner.root.children[0].children[0], Event.START)
    runner.say(runner.root, Event.ERROR)
    assert (world.vm(shop["vms"][0])["state"], len(_criticals(world))) == ("UNKNOWN", 1)
    assert _state(world, task)["children"][0]["error"]["code"] == "runner.silent"


def test_a_vm_on_which_nothing_was_begun_is_free(world: World, deploy: dict):
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    configure = runner.root.children[0]
    runner.say(configure, Event.START)
    runner.say(configure, Event.ERROR, error=ErrorReport(code="driver.refused", message="no", begun=False))
    runner.say(runner.root, Event.ERROR)
    assert (_vm_of(world, deploy)["state"], _criticals(world)) == ("NOT_ALLOCATED", [])


def test_a_discovery_whose_end_nobody_told_has_failed(world: World):
    world.hypervisor(world.datacenter())
    runner = world.runner(world.post(f"/hypervisors/{_host(world)}/discover"))
    runner.say(runner.root, Event.START)
    runner.say(runner.root.children[0], Event.START)
    runner.say(runner.root, Event.ERROR)
    host = world.get(f"/hypervisors/{_host(world)}")
    assert (host["state"], host["error"]["code"]) == ("UNREACHABLE", "runner.silent")


def test_of_a_request_that_we_lost_sight_of_the_vm_is_unknown_whatever_its_runner_had_said(world: World, deploy: dict):
    """The update that was lost may have been the first."""
    runner = world.runner(deploy)
    lose_sight(runner.request.id, (1, 1), "a defect")
    task, vm = _state(world, deploy), _vm_of(world, deploy)
    assert (task["state"], task["error"]["code"]) == ("FINISHED_UNSUCCESSFULLY", "update.inapplicable")
    assert (vm["state"], vm["locked_by"], vm["hypervisor_id"]) == ("UNKNOWN", None, _host(world))
    assert vm["native_name"] in _criticals(world)[0]


def test_what_a_runner_still_says_of_a_request_that_we_lost_sight_of_changes_nothing(world: World, deploy: dict):
    runner = world.runner(deploy)
    lose_sight(runner.request.id, None, "a defect")
    undeploy = world.post(f"/vms/{deploy['owner']['id']}/undeploy")
    before = _state(world, deploy), _vm_of(world, deploy), world.get("/events")
    runner.work()
    assert (_state(world, deploy), _vm_of(world, deploy), world.get("/events")) == before
    [word] = updates.apply(runner.update(runner.root.id, Event.AGAIN))
    assert word is not None and not word.go, "who is handed it again does not begin it"
    assert world.carry_out(undeploy)["state"] == "FINISHED_SUCCESSFULLY"
    assert _vm_of(world, deploy)["state"] == "NOT_ALLOCATED"


def test_what_had_ended_or_is_newer_than_what_was_lost_stays(world: World):
    shop = world.site("web", "db")
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    web, db_ = world.runner(task, number=0), world.runner(task, number=1, attempt=2)
    web.work()
    lose_sight(web.request.id, (1, 99), "a defect")
    db_.say(db_.root, Event.START)
    lose_sight(db_.request.id, (1, 99), "a defect of an attempt that is over")
    lose_sight("nobody", None, "a defect")
    db_.work()
    assert _state(world, task)["state"] == "FINISHED_SUCCESSFULLY"
    assert _criticals(world) == []


def test_a_dead_request_of_somebody_else_is_not_ours(world: World):
    assert not give_up("nobody", "rubbish")


def test_a_discovery_that_fails_makes_the_hypervisor_unreachable_with_the_error(world: World):
    datacenter = world.datacenter()
    host = world.hypervisor(datacenter)
    assert (host["state"], host["host"]["memory_mib"], host["error"]) == ("MANAGED", 1024, None)
    task = world.carry_out(world.post(f"/hypervisors/{host['id']}/discover"), failing=[Operation.DISCOVER])
    assert task["state"] == "FINISHED_UNSUCCESSFULLY"
    host = world.get(f"/hypervisors/{host['id']}")
    assert (host["state"], host["error"]["detail"]) == ("UNREACHABLE", "no such bridge")
    assert host["host"]["memory_mib"] == 1024, "what it last said about itself stays"
