# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks whose message is lost: how that is known, and how they end all the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, select, update

from runner_service.contract.control import Drop, RunnerStatus
from runner_service.contract.states import Event
from tests.webapi_world import Runner, World, jobs_of
from webapi.database import db, utc_now
from webapi.metrics import exposition
from webapi.models import Relay, Request
from webapi.models import Runner as RunnerRow
from webapi.services import abandoning, missing, outbox, runners, updates

_ALL = tuple(range(4))


@pytest.fixture
def deploy(world: World, shop: dict) -> dict:
    """A deploy that was published some time ago."""
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    outbox.publish_pending(lambda _: None)
    change(published_at=utc_now() - timedelta(minutes=5))
    return task


def change(**values: object) -> None:
    db.session.execute(update(Request).where(Request.outcome.is_(None)).values(**values))
    db.session.commit()


def hear(
    shop: dict, *held: str, requests: int | None = None, partitions: tuple[int, ...] = _ALL,
    draining: tuple[int, ...] = (), who: str = "r1",
) -> None:  # fmt: skip
    """The datacenter's runner says what it holds."""
    known = db.session.get(RunnerRow, who)
    said = RunnerStatus(
        runner_id=who, name="far", sequence=known.sequence + 1 if known else 1, started_at="2026-11-22T12:00:00+00:00",
        holds=held, requests=len(held) if requests is None else requests, partitions=partitions, draining=draining,
    )  # fmt: skip
    runners.write_down([runners.Heard(shop["datacenter_id"], said, utc_now())])
    updates.tell_that_all_is_applied()


def look() -> None:
    """What a relay does that finds all queues empty."""
    missing.write_down(frozenset().union(*(each.request_ids for each in missing.unheld())))


def lose() -> None:
    """All that is missing was so for a long time."""
    look()
    long_ago = utc_now() - 2 * missing.LOST_AFTER
    db.session.execute(update(Request).where(Request.missing_since.is_not(None)).values(missing_since=long_ago))
    db.session.commit()


def missing_ones() -> set[str]:
    return set(db.session.scalars(select(Request.id).where(Request.missing_since.is_not(None))))


def ids(world: World, task: dict) -> list[str]:
    return [request.id for request in world.requests(task)]


def vms(world: World, shop: dict) -> list[tuple[str, str | None]]:
    return [(vm["state"], vm["locked_by"]) for vm in world.get(f"/virtualappliances/{shop['id']}")["vms"]]


@pytest.fixture(autouse=True)
def with_datacenter(world: World, shop: dict) -> None:
    shop["datacenter_id"] = world.get("/datacenters")["items"][0]["id"]


# -- how it is known


def test_what_no_runner_names_is_missing_until_one_names_it_again(world: World, shop: dict, deploy: dict):
    first, second = ids(world, deploy)
    hear(shop, first)
    look()
    assert missing_ones() == {second}
    hear(shop, first, second)
    look()
    assert missing_ones() == set()


def test_what_an_update_tells_of_is_not_missing(world: World, shop: dict, deploy: dict):
    hear(shop)
    look()
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    assert missing_ones() == {ids(world, deploy)[1]}


@pytest.mark.parametrize("said", [
    {"partitions": ()},
    {"requests": 7},
    {"draining": _ALL},
    {"draining": _ALL, "partitions": (), "who": "r0"},
], ids=[
    "nobody serves the queue", "the runner does not name all that it holds", "it gives the queue up",
    "another one gives it up to it",
])  # fmt: skip
def test_nobody_knows_what_is_missing_where_a_runner_does_not_say_what_it_holds(
    world: World, shop: dict, deploy: dict, said: dict
):
    hear(shop)
    look()
    assert len(missing_ones()) == 2
    hear(shop, **said)
    look()
    assert missing_ones() == set()


def test_what_was_published_just_now_is_not_missing(world: World, shop: dict, deploy: dict):
    change(published_at=utc_now())
    hear(shop)
    look()
    assert missing_ones() == set()


def test_a_task_says_that_its_message_is_lost_and_so_do_the_figures(world: World, shop: dict, deploy: dict):
    runner = world.runner(deploy)
    for node in (runner.root, runner.root.children[0], runner.root.children[0].children[0]):
        runner.say(node, Event.START)
    hear(shop, ids(world, deploy)[1])
    look()
    assert "lost" not in str(world.get(f"/tasks/{deploy['id']}"))
    lose()
    begun, behind, other, _ = jobs_of(world.get(f"/tasks/{deploy['id']}"))
    assert (begun["state"], begun["waits_for"]["for"]) == ("STARTED", "lost")
    assert "millwright task resend" in begun["waits_for"]["text"]
    assert (behind["waits_for"]["for"], other["waits_for"]["for"]) == ("turn", "queue")
    assert "millwright_lost_requests 1.0" in exposition().decode()


# -- how it ends


def test_a_lost_task_that_nobody_had_begun_fails_and_its_vms_are_free_as_they_were(
    world: World, shop: dict, deploy: dict
):
    hear(shop)
    lose()
    response = world.ask("POST", f"/tasks/{deploy['id']}/abandon", {})
    assert response.status_code == 202, response.json
    task = world.get(f"/tasks/{deploy['id']}")
    assert task["state"] == "FINISHED_UNSUCCESSFULLY"
    assert (task["error"]["code"], "tester abandoned it" in task["error"]["message"]) == ("request.abandoned", True)
    assert {job["state"] for job in jobs_of(task)} == {"ABORTED"}
    assert vms(world, shop) == [("NOT_ALLOCATED", None)] * 2
    assert world.post(f"/virtualappliances/{shop['id']}/deploy")["state"] == "QUEUED"


def test_a_vm_that_was_being_worked_on_is_unknown_and_a_refresh_looks_at_it(world: World, shop: dict, deploy: dict):
    runner = world.runner(deploy)
    for node in (runner.root, runner.root.children[0], runner.root.children[0].children[0]):
        runner.say(node, Event.START)
    hear(shop)
    lose()
    task = world.post(f"/tasks/{deploy['id']}/abandon")
    assert [job["state"] for job in jobs_of(task)] == ["FAILED", "ABORTED", "ABORTED", "ABORTED"]
    assert vms(world, shop) == [("UNKNOWN", None), ("NOT_ALLOCATED", None)]
    events = world.get(f"/events?owner_id={task['children'][0]['owner']['id']}")["items"]
    assert [event["severity"] for event in events if "look what" in event["text"]] == ["CRITICAL"]
    [web, _] = world.get(f"/virtualappliances/{shop['id']}")["vms"]
    world.carry_out(world.post(f"/vms/{web['id']}/refresh"))
    assert vms(world, shop)[0] == ("ON", None)


def test_what_a_runner_has_in_hand_goes_on_and_only_what_is_lost_ends(world: World, shop: dict, deploy: dict):
    hear(shop, ids(world, deploy)[0])
    lose()
    task = world.post(f"/tasks/{deploy['id']}/abandon")
    assert [part["state"] for part in task["children"]] == ["QUEUED", "FINISHED_UNSUCCESSFULLY"]
    task = world.carry_out(deploy)
    assert [part["state"] for part in task["children"]] == ["FINISHED_SUCCESSFULLY", "FINISHED_UNSUCCESSFULLY"]


def test_one_vms_part_can_be_abandoned(world: World, shop: dict, deploy: dict):
    hear(shop)
    lose()
    part = world.post(f"/tasks/{deploy['children'][1]['id']}/abandon")
    assert part["state"] == "FINISHED_UNSUCCESSFULLY"
    assert world.get(f"/tasks/{deploy['id']}")["children"][0]["state"] == "QUEUED"


def test_what_is_not_lost_is_not_abandoned_and_the_refusal_says_why(world: World, shop: dict, deploy: dict):
    def refusal(task: dict = deploy) -> str:
        refused = world.refused("POST", f"/tasks/{task['id']}/abandon")
        assert refused["code"] == "task.not_lost"
        return refused["message"]

    assert "120 seconds" in refusal()
    hear(shop, *ids(world, deploy))
    assert "runner far has it in hand; cancel it" in refusal()
    hear(shop)
    look()
    assert "120 seconds" in refusal()
    other = world.post("/vms/{id}/refresh".format(id=_free_vm(world, shop)["id"]))
    assert "waits for its turn to be published; cancel it" in refusal(other)
    lose()
    stale = utc_now() - timedelta(minutes=5)
    db.session.execute(update(Relay).where(Relay.id == Relay.APPLIES).values(seen_at=stale))
    db.session.commit()
    assert "a relay was at work" in refusal()


def test_what_runners_hold_is_read_once_however_many_requests_a_task_has(world: World, shop: dict, deploy: dict):
    said: list[str] = []

    def note(*executed: object) -> None:
        said.append(str(executed[2]))

    hear(shop, *ids(world, deploy))
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        world.refused("POST", f"/tasks/{deploy['id']}/abandon")
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert len([each for each in said if "FROM runners" in each]) == 1


def _free_vm(world: World, shop: dict) -> dict:
    """A VM of another appliance that is deployed."""
    vdc = world.get("/virtualdatacenters")["items"][0]
    return world.deployed(world.appliance(vdc, {"name": "lb", "memory_mib": 64}))["vms"][0]


def test_what_has_ended_is_not_abandoned(world: World, deploy: dict):
    world.carry_out(deploy)
    assert world.refused("POST", f"/tasks/{deploy['id']}/abandon", {"force": True})["code"] == "task.ended"


def test_by_force_what_a_runner_has_in_hand_ends_as_well_and_nobody_knows_what_its_vms_are(
    world: World, shop: dict, deploy: dict
):
    hear(shop, *ids(world, deploy))
    task = world.post(f"/tasks/{deploy['id']}/abandon", {"force": True})
    assert task["state"] == "FINISHED_UNSUCCESSFULLY"
    assert vms(world, shop) == [("UNKNOWN", None)] * 2


def test_what_waits_for_its_turn_is_not_abandoned_by_force_either(world: World, shop: dict):
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    assert world.refused("POST", f"/tasks/{task['id']}/abandon", {"force": True})["code"] == "task.not_lost"
    assert vms(world, shop) == [("ALLOCATED", part["id"]) for part in task["children"]]


def test_many_end_in_batches_of_which_the_relay_does_the_others(
    world: World, shop: dict, deploy: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("webapi.services.cancelling.BATCH", 1)
    hear(shop)
    lose()
    task = world.post(f"/tasks/{deploy['id']}/abandon")
    assert [part["state"] for part in task["children"]] == ["FINISHED_UNSUCCESSFULLY", "QUEUED"]
    assert [abandoning.end_abandoned() for _ in range(2)] == [1, 0]
    assert world.get(f"/tasks/{deploy['id']}")["state"] == "FINISHED_UNSUCCESSFULLY"


@pytest.mark.parametrize("force", [False, True])
def test_what_is_found_again_before_its_batch_goes_on_unless_it_was_abandoned_by_force(
    world: World, shop: dict, deploy: dict, monkeypatch: pytest.MonkeyPatch, force: bool
):
    monkeypatch.setattr("webapi.services.cancelling.BATCH", 1)
    hear(shop)
    lose()
    world.post(f"/tasks/{deploy['id']}/abandon", {"force": force})
    hear(shop, ids(world, deploy)[0])
    look()
    assert [abandoning.end_abandoned() for _ in range(2)] == [1, 0]
    second = world.get(f"/tasks/{deploy['id']}")["children"][1]
    assert second["state"] == ("FINISHED_UNSUCCESSFULLY" if force else "QUEUED")
    if not force:
        assert world.carry_out(deploy)["children"][1]["state"] == "FINISHED_SUCCESSFULLY"


# -- and if somebody has it after all


def test_the_message_that_turns_up_after_all_is_not_carried_out(world: World, shop: dict, deploy: dict):
    requests = world.requests(deploy)
    hear(shop)
    lose()
    world.post(f"/tasks/{deploy['id']}/abandon")
    late, asking = Runner(requests[0]), Runner(requests[1])
    assert updates.apply(late.update(late.root.id, Event.START)) == [Drop(request_id=requests[0].id)]
    [word] = updates.apply(asking.update(asking.root.id, Event.AGAIN))
    assert word is not None and not isinstance(word, Drop) and not word.go
    assert vms(world, shop) == [("NOT_ALLOCATED", None)] * 2


def test_runners_are_told_for_a_while_to_drop_what_was_abandoned(world: World, shop: dict, deploy: dict):
    requests = ids(world, deploy)
    assert abandoning.to_drop() == {}
    world.post(f"/tasks/{deploy['id']}/abandon", {"force": True})
    assert set(abandoning.to_drop()) == set(requests)
    db.session.execute(update(Request).values(abandoned_at=utc_now() - 2 * abandoning.TOLD_FOR))
    db.session.commit()
    assert abandoning.to_drop() == {}


def test_a_runner_that_still_names_what_was_abandoned_is_told_to_drop_it_however_long_ago_that_was(
    world: World, shop: dict, deploy: dict
):
    """No relay was there meanwhile, or the runner could not be reached."""
    first, _ = ids(world, deploy)
    world.post(f"/tasks/{deploy['id']}/abandon", {"force": True})
    abandoned = Request.abandoned_at.is_not(None)
    db.session.execute(update(Request).where(abandoned).values(abandoned_at=utc_now() - 2 * abandoning.TOLD_FOR))
    db.session.commit()
    hear(shop, first, *db.session.scalars(select(Request.id).where(~abandoned)))
    assert set(abandoning.to_drop()) == {first}
    hear(shop)
    assert abandoning.to_drop() == {}


# -- and if it is to be carried out after all


def test_what_is_lost_is_sent_again_as_such_that_may_have_been_begun(world: World, shop: dict, deploy: dict):
    first = world.runner(deploy)
    first.say(first.root, Event.START)
    held = ids(world, deploy)[1]
    hear(shop, held)
    lose()
    response = world.ask("POST", f"/tasks/{deploy['id']}/resend")
    assert (response.status_code, response.json["state"]) == (202, "STARTED")
    published: list[outbox.Outgoing] = []
    outbox.publish_pending(published.append)
    assert [(each.again, each.attempts) for each in published] == [(True, 1)]
    assert missing_ones() == set()
    second = Runner(first.request, attempt=2)
    [word] = updates.apply(second.update(second.root.id, Event.AGAIN))
    assert word is not None and not isinstance(word, Drop) and word.go
    second.work()
    assert world.carry_out(deploy)["state"] == "FINISHED_SUCCESSFULLY"


def test_what_was_cancelled_and_is_lost_is_sent_again_and_ends_cancelled(world: World, shop: dict, deploy: dict):
    hear(shop)
    lose()
    world.post(f"/tasks/{deploy['id']}/cancel")
    world.post(f"/tasks/{deploy['id']}/resend")
    published: list[outbox.Outgoing] = []
    outbox.publish_pending(published.append)
    assert len(published) == 2
    for request in world.requests(deploy):
        runner = Runner(request)
        updates.apply(runner.update(runner.root.id, Event.AGAIN))
    assert world.get(f"/tasks/{deploy['id']}")["state"] == "CANCELLED"
    assert vms(world, shop) == [("NOT_ALLOCATED", None)] * 2


def test_what_is_not_lost_is_not_sent_again(world: World, shop: dict, deploy: dict):
    hear(shop, *ids(world, deploy))
    refused = world.refused("POST", f"/tasks/{deploy['id']}/resend")
    assert (refused["code"], "has it in hand" in refused["message"]) == ("task.not_lost", True)
    world.carry_out(deploy)
    assert world.refused("POST", f"/tasks/{deploy['id']}/resend")["code"] == "task.ended"
