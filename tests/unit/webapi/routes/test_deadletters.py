# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters through the API: shown whole, sent again where that can help, dropped."""

from __future__ import annotations

import pytest

from runner_service.contract.messages import TaskRequest
from runner_service.contract.states import Event
from runner_service.contract.topology import Topology
from tests.webapi_world import Runner, World, jobs_of, small
from webapi.database import db, utc_now
from webapi.models import DeadLetter
from webapi.services import deadletters, endings, updates
from webapi.services.outbox import Rejected


@pytest.fixture
def deploy(world: World) -> dict:
    [vm] = world.site("web")["vms"]
    return world.post(f"/vms/{vm['id']}/deploy")


@pytest.fixture
def topology(world: World, deploy: dict) -> Topology:
    [datacenter] = world.get("/datacenters")["items"]
    return Topology(datacenter["id"], datacenter["partitions"])


def _kept(topology: Topology, body: bytes, reason: str = "why") -> str:
    return deadletters.keep(topology, topology.out_queue, body, reason).id


def _refusal(world: World, letter_id: str) -> tuple[str, str]:
    error = world.refused("POST", f"/deadletters/{letter_id}/requeue")
    return error["code"], error["message"]


def _sent_again() -> list[tuple[object, bytes]]:
    sent: list[tuple[object, bytes]] = []
    deadletters.requeue_pending(lambda _topology, message, body, _attempts: sent.append((message, body)))
    return sent


def test_a_request_that_no_runner_could_handle_is_shown_whole_and_its_task_has_ended(
    world: World, deploy: dict, topology: Topology
):
    [request] = world.requests(deploy)
    letter_id = deadletters.bury_request(topology, request.encode(), "three runners died of it").id
    letter = world.get(f"/deadletters/{letter_id}")
    assert (letter["kind"], letter["reason"]) == ("request", "three runners died of it")
    assert (letter["request_id"], letter["task_id"]) == (request.id, deploy["id"])
    assert letter["queue"] == topology.dead_queue
    assert letter["body"].encode() == request.encode()
    assert letter["message"]["hypervisor"]["type"] == "fake"
    task = world.get(f"/tasks/{deploy['id']}")
    assert (task["state"], task["error"]["code"]) == ("FINISHED_UNSUCCESSFULLY", "request.dead")


def _bury_with_a_defect(topology: Topology, request: TaskRequest, reason: str) -> DeadLetter:
    """What usually ends requests trips, in the middle of what it writes."""

    def trip(*_: object) -> None:
        raise KeyError("left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endings, "_tell_end", trip)
        return deadletters.bury_request(topology, request.encode(), reason)


def test_one_that_cannot_be_ended_as_it_should_be_is_ended_by_force(world: World, deploy: dict, topology: Topology):
    [request] = world.requests(deploy)
    letter = _bury_with_a_defect(topology, request, "three runners died of it")
    assert letter.reason == "three runners died of it; to end it failed, too: KeyError: 'left'"
    task = world.get(f"/tasks/{deploy['id']}")
    assert (task["state"], task["error"]["code"]) == ("FINISHED_UNSUCCESSFULLY", "request.dead")
    assert letter.reason in task["error"]["message"]
    assert {job["state"] for job in jobs_of(task)} == {"ABORTED"}
    vm = world.vm({"id": deploy["owner"]["id"]})
    assert (vm["state"], vm["locked_by"], vm["hypervisor_id"]) == ("NOT_ALLOCATED", None, None)
    [event] = world.get("/events?severity=CRITICAL")["items"]
    assert letter.id in event["text"]
    # And the same can be asked for anew.
    anew = world.get(f"/tasks/{world.post(f'/deadletters/{letter.id}/requeue')['new_task_id']}")
    assert (anew["state"], anew["id"] != deploy["id"]) == ("QUEUED", True)


def test_what_had_been_begun_of_one_that_is_ended_by_force_nobody_knows(world: World, deploy: dict, topology: Topology):
    runner = world.runner(deploy)
    configure, power_on = runner.root.children
    for job, event in ((configure, Event.START), (configure, Event.ERROR), (configure, Event.ROLLBACK_START)):
        runner.say(job, event)
    runner.say(power_on, Event.START)
    letter = _bury_with_a_defect(topology, runner.request, "it died of it")
    states = [(job["state"], job["rollback_state"]) for job in jobs_of(world.get(f"/tasks/{deploy['id']}"))]
    assert states == [("FAILED", "FAILED"), ("FAILED", "NONE")]
    vm = world.vm({"id": deploy["owner"]["id"]})
    assert (vm["state"], vm["locked_by"]) == ("UNKNOWN", None)
    told = [event["text"] for event in world.get("/events?severity=CRITICAL")["items"]]
    assert [any(word in text for text in told) for word in (letter.id, vm["native_name"])] == [True, True]
    # What its runner still says, and another copy among the dead letters, change nothing.
    before = world.get(f"/tasks/{deploy['id']}")
    runner.say(power_on, Event.DONE)
    _bury_with_a_defect(topology, runner.request, "once more")
    assert world.get(f"/tasks/{deploy['id']}") == before


def test_of_an_appliance_one_vms_part_is_ended_by_force_and_the_others_go_on(world: World, topology: Topology):
    [datacenter] = world.get("/datacenters")["items"]
    vapp = world.appliance(world.vdc(datacenter), small("a"), small("b"))
    task = world.post(f"/virtualappliances/{vapp['id']}/deploy")
    first, second = world.requests(task)
    _bury_with_a_defect(topology, first, "it died of it")
    assert world.get(f"/tasks/{task['id']}")["state"] == "QUEUED"
    Runner(second).work()
    shown = world.get(f"/tasks/{task['id']}")
    assert shown["state"] == "FINISHED_UNSUCCESSFULLY"
    assert sorted(part["state"] for part in shown["children"]) == ["FINISHED_SUCCESSFULLY", "FINISHED_UNSUCCESSFULLY"]


@pytest.mark.parametrize(
    ("body", "shown", "data"),
    [
        (b"what is this", "what is this", None),
        (b'{"a": [1]}', '{"a": [1]}', {"a": [1]}),
        (b'"\xff"', '"\\xff"', None),
        (b"[" * 50_000, "[" * 50_000, None),
        (b"", "", None),
    ],
)
def test_what_is_no_message_is_shown_as_text_and_told_of(
    world: World, topology: Topology, body: bytes, shown: str, data: object
):
    letter = world.get(f"/deadletters/{_kept(topology, body)}")
    assert (letter["kind"], letter["body"], letter["message"]) == (None, shown, data)
    [event] = world.get("/events?severity=CRITICAL")["items"]
    assert letter["id"] in event["text"]
    assert _refusal(world, letter["id"])[0] == "deadletter.unreadable"


def test_what_is_too_long_for_the_database_is_cut(world: World, topology: Topology):
    letter = world.get(f"/deadletters/{_kept(topology, b'x' * (deadletters.MAX_BODY + 9), 'y' * 9_999)}")
    assert letter["body"].endswith(f"… cut, of {deadletters.MAX_BODY + 9} characters")
    assert len(letter["reason"]) == deadletters.MAX_REASON


def test_lists_are_filtered_and_leave_the_bodies_out(world: World, deploy: dict, topology: Topology):
    runner = world.runner(deploy)
    first = _kept(topology, runner.update(runner.root.id, Event.START).encode())
    second = _kept(topology, b"?")
    listed = world.get("/deadletters")["items"]
    assert [letter["id"] for letter in listed] == [second, first]
    assert "body" not in listed[0] and "message" not in listed[0]
    for filters, found in (
        (f"datacenter_id={topology.datacenter_id}", 2), ("datacenter_id=nowhere", 0), (f"task_id={deploy['id']}", 1),
        (f"request_id={runner.request.id}", 1),
    ):  # fmt: skip
        assert len(world.get(f"/deadletters?{filters}")["items"]) == found, filters


def test_an_update_is_sent_again_as_it_came_and_is_gone_once_it_was_confirmed(
    world: World, deploy: dict, topology: Topology
):
    runner = world.runner(deploy)
    body = runner.update(runner.root.id, Event.START).encode().replace(b"{", b'{"said_by_a_newer_sender":1,', 1)
    letter_id = _kept(topology, body)
    asked = world.ask("POST", f"/deadletters/{letter_id}/requeue")
    assert (asked.status_code, bool(asked.json["requeue_asked_at"])) == (202, True)
    [(_, sent)] = _sent_again()
    assert sent == body
    assert world.refused("GET", f"/deadletters/{letter_id}", status=404)["code"] == "not_found"
    assert _sent_again() == []


def test_an_update_that_could_not_be_applied_ends_what_it_is_about(world: World, deploy: dict, topology: Topology):
    runner = world.runner(deploy)
    body = runner.update(runner.root.id, Event.START).encode()
    letter = deadletters.bury_update(topology, body, "update.inapplicable: a defect \udce4")
    shown = world.get(f"/deadletters/{letter.id}")
    assert (shown["kind"], shown["reason"]) == ("update", r"update.inapplicable: a defect \udce4")
    task = world.get(f"/tasks/{deploy['id']}")
    assert (task["state"], task["error"]["code"]) == ("FINISHED_UNSUCCESSFULLY", "update.inapplicable")
    assert letter.id in task["error"]["message"] and "a defect" in task["error"]["message"]
    vm = world.vm({"id": deploy["owner"]["id"]})
    assert (vm["state"], vm["locked_by"]) == ("UNKNOWN", None)
    told = [event["text"] for event in world.get("/events?severity=CRITICAL")["items"]]
    assert [any(word in text for text in told) for word in (letter.id, vm["native_name"])] == [True, True]


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (b'{"request_id": "%s", "event": "unheard of"}', "FINISHED_UNSUCCESSFULLY"),
        (b'{"request_id": "%s", "attempt": "1", "sequence": null}', "FINISHED_UNSUCCESSFULLY"),
        (b'{"request_id": "%s", "attempt": 1, "sequence": 1, "event": "unheard of"}', "STARTED"),
        (b'{"request_id": "%s", "attempt": 1, "sequence": 2, "event": "unheard of"}', "FINISHED_UNSUCCESSFULLY"),
    ],
)
def test_one_that_nobody_can_read_too_unless_it_is_old(
    world: World, deploy: dict, topology: Topology, body: bytes, state: str
):
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    deadletters.bury_update(topology, body % runner.request.id.encode(), "message.invalid: it is not one of ours")
    assert world.get(f"/tasks/{deploy['id']}")["state"] == state


def test_an_update_of_what_has_ended_is_not_sent_again(world: World, deploy: dict, topology: Topology):
    """It would change nothing, and whoever asked would think that it had."""
    runner = world.runner(deploy)
    body = runner.update(runner.root.id, Event.START).encode()
    letter = deadletters.bury_update(topology, body, "update.inapplicable: a defect")
    code, message = _refusal(world, letter.id)
    assert (code, "would change nothing" in message) == ("deadletter.ended", True)
    assert _sent_again() == []


def test_a_request_that_has_not_ended_is_sent_again(world: World, deploy: dict, topology: Topology):
    [request] = world.requests(deploy)
    world.post(f"/deadletters/{_kept(topology, request.encode())}/requeue")
    [(message, _)] = _sent_again()
    assert message == request


def _buried(world: World, topology: Topology, task: dict) -> str:
    [request] = world.requests(task)
    return deadletters.bury_request(topology, request.encode(), "no such operation").id


def test_of_a_request_whose_task_has_ended_the_same_is_asked_for_anew(world: World, deploy: dict, topology: Topology):
    letter_id = _buried(world, topology, deploy)
    answer = world.ask("POST", f"/deadletters/{letter_id}/requeue")
    assert answer.status_code == 202
    assert answer.headers["Location"].endswith(f"/tasks/{answer.json['new_task_id']}")
    task = world.get(f"/tasks/{answer.json['new_task_id']}")
    assert (task["type"], task["owner"], task["requested_by"]) == ("DEPLOY", deploy["owner"], "tester")
    assert world.get("/deadletters")["items"] == []
    assert _sent_again() == []
    assert world.carry_out(task)["state"] == "FINISHED_SUCCESSFULLY"


def test_a_vms_part_of_an_appliances_task_is_asked_for_of_that_vm_alone(world: World, topology: Topology):
    [datacenter] = world.get("/datacenters")["items"]
    vapp = world.appliance(world.vdc(datacenter), small("a"), small("b"))
    deploy = world.post(f"/virtualappliances/{vapp['id']}/deploy")
    first, second = world.requests(deploy)
    letter_id = deadletters.bury_request(topology, second.encode(), "no such operation").id
    Runner(first).work()
    task = world.get(f"/tasks/{world.post(f'/deadletters/{letter_id}/requeue')['new_task_id']}")
    assert task["owner"]["id"] == second.task.children[0].children[0].vm_id


def test_a_discovery_is_asked_for_anew(world: World, topology: Topology):
    [host] = world.get("/hypervisors")["items"]
    letter_id = _buried(world, topology, world.post(f"/hypervisors/{host['id']}/discover"))
    task = world.get(f"/tasks/{world.post(f'/deadletters/{letter_id}/requeue')['new_task_id']}")
    assert (task["type"], task["owner"]["id"]) == ("DISCOVER", host["id"])


def test_what_the_vms_state_does_not_allow_any_more_is_refused_and_the_letter_stays(
    world: World, deploy: dict, topology: Topology
):
    letter_id, vm = _buried(world, topology, deploy), deploy["owner"]["id"]
    again = world.post(f"/vms/{vm}/deploy")
    assert _refusal(world, letter_id)[0] == "vm.locked"
    world.carry_out(again)
    assert _refusal(world, letter_id)[0] == "vm.state"
    assert world.get(f"/deadletters/{letter_id}")["requeue_asked_at"] is None


def test_of_a_vm_that_is_gone_nothing_is_asked(world: World, deploy: dict, topology: Topology):
    letter_id = _buried(world, topology, deploy)
    assert world.ask("DELETE", f"/vms/{deploy['owner']['id']}").status_code == 204
    assert _refusal(world, letter_id)[0] == "deadletter.gone"


def test_a_change_of_a_definition_is_not_asked_for_anew(world: World, deploy: dict, topology: Topology):
    world.carry_out(deploy)
    vm = deploy["owner"]["id"]
    world.carry_out(world.post(f"/vms/{vm}/power", {"action": "off"}))
    change = world.ask("PUT", f"/vms/{vm}", {"definition": small("web", memory_mib=128)}).json
    code, message = _refusal(world, _buried(world, topology, change))
    assert (code, "ask for the change anew" in message) == ("deadletter.ended", True)


def test_a_request_of_nobody_is_not_sent_again(world: World, deploy: dict, topology: Topology):
    [request] = world.requests(deploy)
    foreign = TaskRequest.decode(request.encode().replace(request.id.encode(), b"somebody-elses"))
    assert _refusal(world, _kept(topology, foreign.encode()))[0] == "deadletter.unreadable"


def test_one_that_the_broker_rejects_stays_and_says_so(world: World, deploy: dict, topology: Topology):
    def reject(*_: object) -> None:
        raise Rejected("message size 9 is larger than configured max size 8")

    [request] = world.requests(deploy)
    letter_id = _kept(topology, request.encode(), "why")
    world.post(f"/deadletters/{letter_id}/requeue")
    deadletters.requeue_pending(reject)
    letter = world.get(f"/deadletters/{letter_id}")
    assert letter["requeue_asked_at"] is None
    assert letter["reason"].startswith("why; sent again, the broker rejected it: message size 9")


def test_one_that_the_relay_cannot_read_stays(world: World, topology: Topology):
    """An API of a newer version could."""
    letter_id = _kept(topology, b"?")
    db.session.get(DeadLetter, letter_id).requeue_asked_at = utc_now()
    db.session.commit()
    assert _sent_again() == []
    assert world.get(f"/deadletters/{letter_id}")["requeue_asked_at"] is None


def test_a_relay_that_dies_while_it_sends_again_does_so_once_more(world: World, deploy: dict, topology: Topology):
    def die(*_: object) -> None:
        raise SystemExit

    [request] = world.requests(deploy)
    world.post(f"/deadletters/{_kept(topology, request.encode())}/requeue")
    with pytest.raises(SystemExit):
        deadletters.requeue_pending(die)
    assert len(_sent_again()) == 1


def test_one_of_a_request_that_has_not_ended_goes_to_a_runner_whose_question_is_answered(
    world: World, deploy: dict, topology: Topology
):
    """Older attempts than the last one that the API heard of get no word, for ever."""
    third = world.runner(deploy, attempt=3)
    third.say(third.root, Event.START)
    world.post(f"/deadletters/{_kept(topology, third.request.encode())}/requeue")
    told: list[int] = []
    deadletters.requeue_pending(lambda *got: told.append(got[3]))
    assert told == [3]
    next_one = world.runner(deploy, attempt=told[0] + 1)
    [word] = updates.apply(next_one.update(next_one.root.id, Event.AGAIN))
    assert word is not None
    assert word.go


def test_a_dead_letter_is_dropped(world: World, topology: Topology):
    letter_id = _kept(topology, b"?")
    assert world.ask("DELETE", f"/deadletters/{letter_id}").status_code == 204
    assert world.get("/deadletters")["items"] == []
    error = world.refused("DELETE", f"/deadletters/{letter_id}", status=404)
    assert error["message"] == f"there is no dead letter with the id {letter_id!r}"
