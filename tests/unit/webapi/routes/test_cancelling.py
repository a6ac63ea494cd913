# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancelling: at once what no runner has heard of, and through runners the rest."""

from __future__ import annotations

import pytest
import sqlalchemy
from sqlalchemy import select

from runner_service.contract.states import Event
from tests.webapi_world import World, jobs_of
from webapi.database import db
from webapi.models import Request
from webapi.services import cancelling, outbox, updates


@pytest.fixture
def deploy(world: World, shop: dict) -> dict:
    return world.post(f"/virtualappliances/{shop['id']}/deploy")


@pytest.fixture
def published(deploy: dict) -> dict:
    outbox.publish_pending(lambda _: None)
    return deploy


def cancel(world: World, task: dict) -> dict:
    return world.post(f"/tasks/{task['id']}/cancel")


def stopped(runner) -> None:
    """What a runner says that stops a request which it has begun."""
    for part in runner.root.children:
        for job in part.children:
            runner.say(job, Event.ABORTED)
        runner.say(part, Event.CANCELLED)
    runner.say(runner.root, Event.CANCELLED)


def test_what_no_relay_has_touched_ends_at_once_and_is_never_published(world: World, shop: dict, deploy: dict):
    response = world.ask("POST", f"/tasks/{deploy['id']}/cancel")
    assert response.status_code == 202
    assert response.headers["Location"] == f"/api/v1/tasks/{deploy['id']}"
    task = world.get(f"/tasks/{deploy['id']}")
    assert response.json == task
    assert [task["state"], *(child["state"] for child in task["children"])] == ["CANCELLED"] * 3
    assert {job["state"] for job in jobs_of(task)} == {"ABORTED"}
    assert (task["cancel_asked_by"], task["cancel_asked_at"] is not None) == ("tester", True)
    vms = world.get(f"/virtualappliances/{shop['id']}")["vms"]
    assert {(vm["state"], vm["locked_by"], vm["hypervisor_id"]) for vm in vms} == {("NOT_ALLOCATED", None, None)}
    published: list[object] = []
    outbox.publish_pending(published.append)
    assert published == []
    assert set(db.session.scalars(select(Request.body).filter_by(task_id=deploy["id"]))) == {None}


def test_what_was_published_is_for_its_runners_to_stop(world: World, published: dict):
    task = cancel(world, published)
    assert task["state"] == "QUEUED"
    assert all(child["cancel_asked_by"] == "tester" for child in task["children"])
    asked = cancelling.open_requests()
    assert set(asked) == {request.id for request in world.requests(published)}
    for runner in [world.runner(published, number=0), world.runner(published, number=1)]:
        stopped(runner)
    assert world.get(f"/tasks/{published['id']}")["state"] == "CANCELLED"
    assert cancelling.open_requests() == {}


def test_a_runner_that_asks_before_it_begins_is_told_that_it_was_cancelled(world: World, shop: dict, published: dict):
    """No runner was there when it was cancelled; the one that comes then must not begin what nobody wants any more."""
    cancel(world, published)
    runners = [world.runner(published, number=number) for number in range(2)]
    runners[1].say(runners[1].root, Event.START)
    runners[1].say(runners[1].root.children[0], Event.START)
    runners[1].say(runners[1].root.children[0].children[0], Event.START)
    later = [type(runner)(runner.request, attempt=attempt) for runner, attempt in zip(runners, (1, 2), strict=True)]
    words = [updates.apply(runner.update(runner.root.id, Event.AGAIN))[0] for runner in later]
    assert [word.go for word in words] == [False, True]
    parts = world.get(f"/tasks/{published['id']}")["children"]
    assert [part["state"] for part in parts] == ["CANCELLED", "STARTED"]
    assert {job["state"] for job in jobs_of(parts[0])} == {"ABORTED"}
    vms = world.get(f"/virtualappliances/{shop['id']}")["vms"]
    assert [vm["locked_by"] is None for vm in vms] == [True, False]


def test_one_vms_part_is_cancelled_and_the_others_go_on(world: World, shop: dict, published: dict):
    web, db_part = published["children"]
    cancel(world, web)
    [asked] = cancelling.open_requests()
    runner = world.runner(published)
    assert runner.request.id == asked
    stopped(runner)
    world.runner(published).work()
    task = world.get(f"/tasks/{published['id']}")
    assert [child["state"] for child in task["children"]] == ["CANCELLED", "FINISHED_SUCCESSFULLY"]
    assert (task["state"], task["cancel_asked_at"]) == ("CANCELLED", None)
    assert world.get(f"/tasks/{db_part['id']}")["cancel_asked_at"] is None


def test_parts_that_have_ended_stay_as_they_are(world: World, shop: dict, published: dict):
    world.runner(published).work()
    task = cancel(world, published)
    assert [child["cancel_asked_by"] for child in task["children"]] == [None, "tester"]
    stopped(world.runner(published))
    vms = world.get(f"/virtualappliances/{shop['id']}")["vms"]
    assert [(vm["state"], vm["locked_by"]) for vm in vms] == [("ON", None), ("NOT_ALLOCATED", None)]
    assert world.get(f"/tasks/{published['id']}")["state"] == "CANCELLED"


def test_a_request_that_a_dead_relay_may_have_published_is_not_ended_by_the_api(world: World, deploy: dict):
    def die(_: object) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        outbox.publish_pending(die)
    assert cancel(world, deploy)["state"] == "QUEUED"
    assert len(cancelling.open_requests()) == 2


def test_cancelling_twice_is_cancelling_once(world: World, published: dict):
    first = cancel(world, published)
    assert cancel(world, published) == first
    told = [event for event in world.get("/events")["items"] if "asked to cancel" in event["text"]]
    assert [(event["severity"], event["task_id"]) for event in told] == [("WARNING", published["id"])]
    assert told[0]["text"].startswith("tester asked to cancel DEPLOY of ")


def test_what_has_ended_cannot_be_cancelled(world: World, deploy: dict):
    world.carry_out(deploy)
    for task in (deploy, deploy["children"][0]):
        error = world.refused("POST", f"/tasks/{task['id']}/cancel")
        assert (error["code"], error["details"]["state"]) == ("task.ended", "FINISHED_SUCCESSFULLY")
    assert world.refused("POST", "/tasks/nobody/cancel", status=404)["code"] == "not_found"


def test_a_discovery_that_nobody_has_taken_is_cancelled(world: World):
    datacenter = world.datacenter()
    body = {"datacenter_id": datacenter["id"], "name": "h", "type": "fake", "url": "fake:///x"}
    task = cancel(world, world.post("/hypervisors", body))
    assert (task["state"], task["children"][0]["state"]) == ("CANCELLED", "ABORTED")


def test_who_is_refused_because_a_task_holds_the_vm_learns_that_it_can_be_cancelled(
    world: World, shop: dict, deploy: dict
):
    error = world.refused("POST", f"/vms/{shop['vms'][0]['id']}/deploy")
    assert "or cancel it" in error["message"]


# -- tasks with more requests than end in one transaction


@pytest.fixture
def large(world: World, monkeypatch: pytest.MonkeyPatch) -> dict:
    """A deploy of five VMs, the first of which is published; two end at once."""
    monkeypatch.setattr(cancelling, "BATCH", 2)
    monkeypatch.setattr(outbox, "_BATCH", 1)
    shop = world.site("a", "b", "c", "d", "e")
    while outbox.publish_pending(lambda _: None):
        pass
    deploy = world.post(f"/virtualappliances/{shop['id']}/deploy")
    assert outbox.publish_pending(lambda _: None) == 1
    return deploy


def states_of(task: dict) -> list[str]:
    return [child["state"] for child in task["children"]]


def test_of_a_large_task_runners_are_told_at_once_and_the_rest_ends_in_batches(world: World, large: dict):
    runner = world.runner(large)
    task = cancel(world, large)
    assert states_of(task) == ["QUEUED", "CANCELLED", "CANCELLED", "QUEUED", "QUEUED"]
    assert all(child["cancel_asked_by"] == "tester" for child in task["children"])
    assert list(cancelling.open_requests()) == [runner.request.id]
    assert (outbox.is_waiting(), outbox.publish_pending(lambda _: None)) == (False, 0)
    # A relay that is killed now leaves what the next one finds; a second relay finds nothing left to do.
    assert [cancelling.end_unpublished() for _ in range(3)] == [2, 0, 0]
    assert world.get(f"/tasks/{large['id']}")["state"] == "QUEUED"
    stopped(runner)
    task = world.get(f"/tasks/{large['id']}")
    assert [task["state"], *states_of(task)] == ["CANCELLED"] * 6
    assert {job["state"] for job in jobs_of(task)} == {"ABORTED"}
    assert {vm["locked_by"] for vm in world.get("/vms")["items"]} == {None}
    told = [event["text"] for event in world.get("/events")["items"] if event["text"].endswith("was cancelled")]
    assert len(told) == 6


def test_an_update_between_two_batches_is_applied_and_a_second_cancel_is_none(world: World, large: dict):
    cancel(world, large)
    world.runner(large).work()
    first = world.get(f"/tasks/{large['id']}")
    assert states_of(first) == ["FINISHED_SUCCESSFULLY", "CANCELLED", "CANCELLED", "QUEUED", "QUEUED"]
    assert states_of(cancel(world, large)) == ["FINISHED_SUCCESSFULLY", *["CANCELLED"] * 4]
    assert world.get(f"/tasks/{large['id']}")["state"] == "CANCELLED"
    assert len([event for event in world.get("/events")["items"] if "asked to cancel" in event["text"]]) == 1


def test_what_the_relay_was_about_to_publish_when_it_was_cancelled_is_not_published(world: World, large: dict):
    """The relay has chosen it, and not marked it yet."""
    chosen = list(db.session.scalars(select(Request.number).where(Request.waits_in.is_not(None))))
    cancel(world, large)
    assert outbox._lock(chosen) == []


def test_one_batch_takes_no_more_questions_than_one_request(world: World, monkeypatch: pytest.MonkeyPatch):
    shop = world.site(*(f"vm{number}" for number in range(6)))
    deploy = world.post(f"/virtualappliances/{shop['id']}/deploy")
    monkeypatch.setattr(cancelling, "BATCH", 1)
    cancel(world, deploy)
    asked: list[str] = []
    sqlalchemy.event.listen(db.engine, "before_cursor_execute", lambda *got: asked.append(got[2]))
    assert cancelling.end_unpublished() == 1
    of_one = [text for text in asked if text.startswith("SELECT")]
    asked.clear()
    monkeypatch.setattr(cancelling, "BATCH", 3)
    assert cancelling.end_unpublished() == 3
    assert len([text for text in asked if text.startswith("SELECT")]) <= len(of_one)
