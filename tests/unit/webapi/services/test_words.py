# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's word on a request that may have been begun before."""

from __future__ import annotations

import dataclasses

import pytest

from runner_service.contract.control import Sessions, TenantSessions, Word
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from tests.webapi_world import Runner, World
from webapi.database import transaction
from webapi.metrics import exposition
from webapi.services import failing, outbox, updates


@pytest.fixture
def deploy(world: World) -> dict:
    [vm] = world.site("web")["vms"]
    return world.post(f"/vms/{vm['id']}/deploy")


def ask(runner: Runner) -> Word | None:
    return updates.apply(runner.update(runner.root.id, Event.AGAIN))[0]


def begin(runner: Runner) -> None:
    runner.say(runner.root, Event.START)


def test_a_request_that_nobody_has_begun_is_to_be_carried_out(world: World, deploy: dict):
    runner = world.runner(deploy, attempt=2)
    word = ask(runner)
    assert (word.request_id, word.attempt, word.go, word.crashes) == (runner.request.id, 2, True, 0)
    assert world.get(f"/tasks/{deploy['id']}")["state"] == "QUEUED"


def test_the_word_brings_the_bounds_that_hold_now(world: World, deploy: dict):
    runner = world.runner(deploy, attempt=2)
    host, vdc = runner.request.hypervisor.id, runner.request.tenant
    world.ask("PATCH", f"/hypervisors/{host}", {"open_sessions": 5})
    world.ask("PATCH", f"/virtualdatacenters/{vdc}", {"open_sessions": 3})
    word = ask(runner)
    assert word.sessions == Sessions(hypervisor_id=host, open_sessions=5)
    assert word.tenant == TenantSessions(tenant=vdc, open_sessions=3)


def test_from_the_question_on_an_earlier_attempt_is_not_heard(world: World, deploy: dict):
    first, second = world.runner(deploy), world.runner(deploy, attempt=2)
    ask(second)
    begin(first)
    assert world.get(f"/tasks/{deploy['id']}")["state"] == "QUEUED"
    begin(second)
    assert world.get(f"/tasks/{deploy['id']}")["state"] == "STARTED"


def test_who_asks_again_is_answered_again(world: World, deploy: dict):
    runner = world.runner(deploy, attempt=2)
    question = runner.update(runner.root.id, Event.AGAIN)
    first = updates.apply(question)
    assert updates.apply(question) == first == [ask(runner)]
    begin(runner)
    assert updates.apply(question) == first


def test_who_was_cut_off_gets_no_answer(world: World, deploy: dict):
    first, second = world.runner(deploy), world.runner(deploy, attempt=2)
    ask(second)
    assert ask(first) is None


def test_a_runner_that_broke_off_after_it_had_begun_counts_once(world: World, deploy: dict):
    begin(world.runner(deploy))
    second = world.runner(deploy, attempt=2)
    assert [ask(second).crashes, ask(second).crashes] == [1, 1]
    assert ask(world.runner(deploy, attempt=3)).crashes == 1, "the second had begun nothing"
    begin(world.runner(deploy, attempt=4))
    assert ask(world.runner(deploy, attempt=5)).crashes == 2


def test_people_are_told_of_a_request_that_breaks_runner_after_runner_off(world: World, deploy: dict):
    def told() -> list[tuple[str, str]]:
        events = world.get("/events")["items"]
        return [(event["severity"], event["text"]) for event in reversed(events) if "broke off" in event["text"]]

    outbox.publish_pending(lambda _: None)
    for attempt in range(1, 9):
        runner = world.runner(deploy, attempt=attempt)
        ask(runner)
        assert len(told()) == (attempt > 3) + (attempt > 6)
        begin(runner)
    assert [severity for severity, _ in told()] == ["WARNING", "ERROR"]
    assert "task abandon --force" in told()[1][1]
    assert "millwright_suspect_requests 1.0" in exposition().decode()


def test_a_runner_that_hands_a_request_back_in_good_order_has_not_broken_off(world: World, deploy: dict):
    first = world.runner(deploy)
    begin(first)
    first.say(first.root, Event.BACK)
    assert ask(world.runner(deploy, attempt=2)).crashes == 0
    assert world.get(f"/tasks/{deploy['id']}")["state"] == "STARTED"


def test_a_request_that_has_ended_is_to_be_forgotten_by_whoever_holds_it(world: World, deploy: dict):
    """One that was published twice may come with a lower attempt than the one that ended it."""
    late, early = world.runner(deploy, attempt=3), world.runner(deploy, attempt=1)
    world.runner(deploy, attempt=2).work()
    assert [ask(late).go, ask(early).go] == [False, False]
    assert world.get(f"/tasks/{deploy['id']}")["state"] == "FINISHED_SUCCESSFULLY"


def test_a_request_that_the_api_gave_up_is_to_be_forgotten(world: World, deploy: dict):
    runner = world.runner(deploy, attempt=2)
    transaction(failing.give_up)(runner.request.id, "enough")
    assert ask(runner).go is False


def test_a_request_whose_rows_are_gone_is_to_be_forgotten(world: World, deploy: dict):
    runner = world.runner(deploy)
    strange = dataclasses.replace(runner.update(runner.root.id, Event.AGAIN), request_id="nobody")
    assert updates.apply(strange) == [Word(request_id="nobody", attempt=1, go=False, crashes=0)]


@pytest.mark.parametrize(
    ("failing", "ends"), [((), "FINISHED_SUCCESSFULLY"), (("power_on",), "FINISHED_UNSUCCESSFULLY")]
)
def test_a_request_of_which_all_parts_have_ended_has_ended_although_its_runner_died_before_it_said_so(
    world: World, failing: tuple[str, ...], ends: str
):
    """What comes after the end of the last part must not undo it: its VM may be somebody else's by now."""
    shop = world.site("web")
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    first, second = world.runner(task), world.runner(task, attempt=2)
    [part] = first.root.children
    first.say(first.root, Event.START)
    first._task(part, frozenset(Operation(name) for name in failing))
    assert world.get(f"/tasks/{task['id']}")["state"] == "STARTED"
    assert ask(second).go is False
    ended = world.get(f"/tasks/{task['id']}")
    assert ended["state"] == ends
    assert (ended["error"] is None) == (not failing)
