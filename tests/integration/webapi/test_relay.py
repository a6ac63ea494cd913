# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay between a real MariaDB and a real RabbitMQ, with a runner that answers over the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pika
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from runner_service.contract.control import (
    Cancel,
    Control,
    Drop,
    RunnerStatus,
    Sessions,
    TenantSessions,
    WaitingJob,
    WaitsFor,
    Word,
    decode_control,
    encode_control,
)
from runner_service.contract.messages import Job, TaskRequest, Update
from runner_service.contract.messages import Task as TaskMessage
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from runner_service.contract.topology import (
    AGAIN_HEADER,
    ATTEMPTS_HEADER,
    CONTROL_EXCHANGE,
    DEAD_EXCHANGE,
    REASON_HEADER,
    UPDATES_EXCHANGE,
    Topology,
)
from tests.waiting import wait_until
from tests.webapi_world import Json, Runner, World, jobs_of, small
from webapi.database import db, utc_now
from webapi.messaging import broker, inbound, pruning
from webapi.messaging.relay import Relay
from webapi.models import Event as EventRow
from webapi.models import Relay as RelayRow
from webapi.models import Request, Task
from webapi.services import cancelling, failing, forcing, missing, outbox, retention, updates

DEADLINE = 30


class RemoteRunner(Runner):
    """Says over the broker what it has to say."""

    def __init__(self, request: TaskRequest, send: Callable[[bytes], None], attempt: int = 1):
        super().__init__(request, attempt)
        self._send = send

    def say(self, node: Job | TaskMessage, event: Event, **more: Any):
        update = self.update(node.id, event, **more)
        self._send(update.encode())
        return update


class Site:
    """The far side of the broker: a datacenter's queues."""

    def __init__(self, url: str, datacenter: Json):
        self.topology = Topology(datacenter["id"], datacenter["partitions"])
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()
        broker.declare(self.channel, self.topology)
        self._taken: list[tuple[dict, bytes]] = []
        #: Of the request that was taken last.
        self.headers: dict = {}
        self._consumers: list[str] = []
        self.take_requests()
        #: What the API has told all runners.
        self.told: list[Control] = []
        mine = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.queue_bind(mine, CONTROL_EXCHANGE, routing_key=self.topology.control_key)
        self.channel.basic_consume(mine, lambda *got: self.told.append(decode_control(got[3])), auto_ack=True)

    def _take(self, _channel: Any, _method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._taken.append((properties.headers or {}, body))

    def next_request(self) -> TaskRequest:
        wait_until(self._look, DEADLINE, "a request")
        self.headers, body = self._taken.pop(0)
        return TaskRequest.decode(body)

    def _look(self) -> bool:
        self._connection.process_data_events(time_limit=0.02)
        return bool(self._taken)

    def hear(self, what: Callable[[Control], bool], times: int = 1) -> Control:
        """What the API tells, once it has been told so often."""

        def look() -> list[Control] | None:
            self._connection.process_data_events(time_limit=0.02)
            found = [message for message in self.told if what(message)]
            return found if len(found) >= times else None

        return wait_until(look, DEADLINE, "the API to tell its runners something")[-1]

    def speak(self, body: bytes) -> None:
        """As a runner does of itself."""
        self.channel.basic_publish(CONTROL_EXCHANGE, self.topology.status_key, body, mandatory=True)

    def send_update(self, body: bytes) -> None:
        self.channel.basic_publish(UPDATES_EXCHANGE, self.topology.out_queue, body, mandatory=True)

    def send_dead(self, body: bytes, reason: str) -> None:
        properties = pika.BasicProperties(headers={REASON_HEADER: reason})
        self.channel.basic_publish(DEAD_EXCHANGE, self.topology.dead_queue, body, properties, mandatory=True)

    def take_requests(self) -> None:
        """Those that are in their queues, and that come from now on."""
        taking = (self.channel.basic_consume(queue, self._take, auto_ack=True) for queue in self.topology.in_queues)
        self._consumers = list(taking)

    def take_no_more(self) -> None:
        """What comes from now on stays in its queue."""
        for tag in self._consumers:
            self.channel.basic_cancel(tag)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def running(world: World, url: str, **more: Any) -> Iterator[Relay]:
    relay = Relay(world.app, url, **more)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()


@pytest.fixture
def shop(world: World) -> Json:
    return world.site("web")


@pytest.fixture
def site(world: World, shop: Json, amqp_vhost_url: str) -> Iterator[Site]:
    db.session.execute(update(Request).values(published_at=utc_now()))  # The discovery, which has ended.
    db.session.commit()
    site = Site(amqp_vhost_url, world.get("/datacenters")["items"][0])
    yield site
    site.close()


def _ended(world: World, task: Json) -> Json:
    def look() -> Json | None:
        now = world.get(f"/tasks/{task['id']}")
        return now if now["ended_at"] else None

    return wait_until(look, DEADLINE, "the end of the task")


def _letter(world: World, *reason: str) -> Json:
    """The dead letter whose reason says so, whole."""

    def look() -> Json | None:
        letters = world.get("/deadletters")["items"]
        return next((each for each in letters if all(word in each["reason"] for word in reason)), None)

    return world.get(f"/deadletters/{wait_until(look, DEADLINE, 'a dead letter')['id']}")


def test_a_deploy_goes_to_the_runner_and_its_end_comes_back(world: World, shop: Json, site: Site, amqp_vhost_url: str):
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        RemoteRunner(site.next_request(), site.send_update).work()
        assert _ended(world, task)["state"] == "FINISHED_SUCCESSFULLY"
    assert world.get(f"/virtualappliances/{shop['id']}")["state"] == "DEPLOYED"


def test_a_datacenter_that_comes_later_is_served_without_a_restart(world: World, amqp_vhost_url: str):
    with running(world, amqp_vhost_url):
        datacenter = world.datacenter()
        body = {"datacenter_id": datacenter["id"], "name": "h", "type": "fake", "url": "fake:///x"}
        task = world.post("/hypervisors", body)
        late = Site(amqp_vhost_url, datacenter)
        RemoteRunner(late.next_request(), late.send_update).work()
        assert _ended(world, task)["state"] == "FINISHED_SUCCESSFULLY"
        late.close()
    assert world.get("/hypervisors")["items"][0]["state"] == "MANAGED"


def test_a_relay_that_dies_between_publishing_and_marking_publishes_again_the_same_request(
    world: World, shop: Json, site: Site, amqp_vhost_url: str
):
    world.post(f"/virtualappliances/{shop['id']}/deploy")
    sent = []

    def publish_and_die(outgoing: outbox.Outgoing) -> None:
        sent.append(outgoing)
        raise SystemExit

    with pytest.raises(SystemExit):
        outbox.publish_pending(publish_and_die)
    with running(world, amqp_vhost_url):
        request = site.next_request()
    assert request == TaskRequest.decode(sent[0].body)
    assert (sent[0].again, site.headers) == (False, {AGAIN_HEADER: True, ATTEMPTS_HEADER: 0})


def test_two_relays_publish_every_request_once_and_apply_every_update_in_order(
    world: World, shop: Json, site: Site, amqp_vhost_url: str
):
    host = world.get("/hypervisors")["items"][0]
    with running(world, amqp_vhost_url), running(world, amqp_vhost_url):
        asked = [world.post(f"/hypervisors/{host['id']}/discover") for _ in range(20)]
        taken = [site.next_request() for _ in asked]
        for request in taken:
            RemoteRunner(request, site.send_update).work()
        assert {_ended(world, task)["state"] for task in asked} == {"FINISHED_SUCCESSFULLY"}
    assert [request.task.id for request in taken] == [task["id"] for task in asked]


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"{ no json", "not JSON"), (b'{"version": 1}', "is required"), (b"\xff\xfe", "not JSON"), (b"[]", "mapping")],
)
def test_an_update_that_nobody_can_read_is_kept_with_the_reason_and_the_next_is_applied(
    world: World, shop: Json, site: Site, amqp_vhost_url: str, body: bytes, reason: str
):
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        site.send_update(body)
        RemoteRunner(site.next_request(), site.send_update).work()
        letter = _letter(world, reason)
        assert letter["body"] == body.decode(errors="backslashreplace")
        assert (letter["queue"], letter["kind"]) == (site.topology.out_queue, None)
        assert _ended(world, task)["state"] == "FINISHED_SUCCESSFULLY"
    [event] = world.get("/events?severity=CRITICAL")["items"]
    assert reason in event["text"] and event["owner"]["type"] == "datacenter"


@pytest.mark.parametrize(
    ("vm", "reason"),
    [
        ({"power": "off", "addresses": 5}, "TypeError"),
        ({"power": "off", "addresses": ["x" * 99], "serial_log": "y" * 9999}, "serial_log"),
    ],
)
def test_an_update_that_trips_the_relay_is_kept_and_ends_what_it_is_about(
    world: World, shop: Json, site: Site, amqp_vhost_url: str, vm: Json, reason: str
):
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        request = site.next_request()
        runner = RemoteRunner(request, site.send_update)
        web = request.task.children[0]
        runner.say(request.task, Event.START)
        runner.say(web, Event.START)
        runner.say(web.children[0], Event.START)
        runner.say(web.children[0], Event.DONE, vm=vm)
        letter = _letter(world, reason)
        assert (letter["request_id"], letter["task_id"]) == (request.id, task["id"])
        ended = _ended(world, task)
        assert (ended["state"], letter["id"] in ended["error"]["message"]) == ("FINISHED_UNSUCCESSFULLY", True)
        runner.say(request.task, Event.DONE)
        other = world.post(f"/hypervisors/{world.get('/hypervisors')['items'][0]['id']}/discover")
        RemoteRunner(site.next_request(), site.send_update).work()
        assert _ended(world, other)["state"] == "FINISHED_SUCCESSFULLY", "those behind it are applied"
    [machine] = world.get(f"/virtualappliances/{shop['id']}")["vms"]
    assert (machine["state"], machine["locked_by"]) == ("UNKNOWN", None)
    assert _ended(world, task) == ended


def test_a_request_among_the_dead_letters_ends_its_task_with_the_reason(
    world: World, shop: Json, site: Site, amqp_vhost_url: str
):
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        site.send_dead(site.next_request().encode(), "no such operation")
        ended = _ended(world, task)
    assert (ended["state"], ended["error"]["code"]) == ("FINISHED_UNSUCCESSFULLY", "request.dead")
    assert "no such operation" in ended["error"]["message"]
    [vm] = world.get(f"/virtualappliances/{shop['id']}")["vms"]
    assert (vm["state"], vm["locked_by"]) == ("NOT_ALLOCATED", None)
    letter = _letter(world, "no such operation")
    assert (letter["kind"], letter["task_id"]) == ("request", task["id"])


def test_a_dead_letter_that_is_no_request_is_kept_for_people(world: World, site: Site, amqp_vhost_url: str):
    with running(world, amqp_vhost_url):
        site.send_dead(b"what is this", "not JSON in UTF-8")
        assert _letter(world, "not JSON in UTF-8")["body"] == "what is this"


def test_a_request_that_trips_the_relay_among_the_dead_letters_ends_its_task_all_the_same(
    world: World, shop: Json, site: Site, amqp_vhost_url: str, monkeypatch: pytest.MonkeyPatch
):
    def trip(*_: object) -> bool:
        raise ValueError("a defect")

    monkeypatch.setattr(failing, "give_up", trip)
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        site.send_dead(site.next_request().encode(), "no such operation")
        ended = _ended(world, task)
        letter = _letter(world, "ValueError: a defect")
    assert (ended["state"], ended["error"]["code"]) == ("FINISHED_UNSUCCESSFULLY", "request.dead")
    assert "no such operation" in ended["error"]["message"]
    assert letter["task_id"] == task["id"]
    [vm] = world.get(f"/virtualappliances/{shop['id']}")["vms"]
    assert (vm["state"], vm["locked_by"]) == ("NOT_ALLOCATED", None)


def test_a_dead_letter_that_trips_the_relay_is_kept_and_can_be_sent_again(
    world: World, shop: Json, site: Site, amqp_vhost_url: str, monkeypatch: pytest.MonkeyPatch
):
    """If not even force can end what it is about."""

    def trip(request_id: str, reason: str) -> bool:
        raise ValueError(f"{request_id}: {reason}")

    monkeypatch.setattr(failing, "give_up", trip)
    monkeypatch.setattr(forcing, "fail_by_force", trip)
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        request = site.next_request()
        site.send_dead(rb'{"id": "\ud800"}', "no id that anybody gave")
        assert "no id that anybody gave" in _letter(world, "no id that anybody gave")["reason"]
        site.send_dead(request.encode(), "no such operation")
        letter = _letter(world, f"ValueError: {request.id}: no such operation")
        # It has not ended, so that it can be sent again.
        monkeypatch.undo()
        world.post(f"/deadletters/{letter['id']}/requeue")
        assert site.next_request() == request
        assert site.headers[AGAIN_HEADER]
        wait_until(lambda: world.get(f"/deadletters?task_id={task['id']}")["items"] == [], DEADLINE, "it to be gone")


def test_an_update_that_was_kept_before_its_request_ended_is_sent_again_and_applied(
    world: World, shop: Json, site: Site, amqp_vhost_url: str, monkeypatch: pytest.MonkeyPatch
):
    """By an earlier version, or because to end the request tripped us, too."""

    def trip(*_: object) -> None:
        raise ValueError("a defect")

    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        request = site.next_request()
        with monkeypatch.context() as patch:
            patch.setattr(updates, "apply", trip)
            patch.setattr(failing, "lose_sight", trip)
            RemoteRunner(request, site.send_update).say(request.task, Event.START)
            letter = _letter(world, "ValueError: a defect")
        assert letter["kind"] == "update"
        world.post(f"/deadletters/{letter['id']}/requeue")
        wait_until(lambda: world.get(f"/tasks/{task['id']}")["state"] == "STARTED", DEADLINE, "the task to start")
    assert world.get("/deadletters")["items"] == []


@pytest.mark.parametrize("how", ["the database goes", "it is stopped"])
def test_updates_are_applied_in_order_however_often_the_relay_breaks_off_in_a_backlog(
    world: World, site: Site, amqp_vhost_url: str, monkeypatch: pytest.MonkeyPatch, how: str
):
    """One that came behind the next one would be taken for an old one, and what it said would be lost."""
    heard: list[int] = []
    trouble = iter(number in (1, 3, 8, 40, 41, 90) for number in count())

    def apply(update: Any) -> None:
        if next(trouble):
            if how == "the database goes":
                raise OperationalError("SELECT 1", {}, Exception("gone"))
            relays[-1]._stop.set()
        heard.append(update.sequence)

    monkeypatch.setattr(updates, "apply", apply)
    said = Update(request_id="r", node_id="n", event=Event.START, attempt=1, sequence=1, runner="r-1", at="now")
    numbers = list(range(1, 61))
    for number in numbers:
        site.send_update(replace(said, sequence=number).encode())
    relays: list[Relay] = []
    while len(set(heard)) < len(numbers):
        relays.append(Relay(world.app, amqp_vhost_url))
        relays[-1].start()
        try:
            wait_until(lambda: set(heard) >= set(numbers) or relays[-1]._stop.is_set(), DEADLINE, "all updates")
        finally:
            relays[-1].stop()
    assert heard == sorted(heard)


def test_updates_wait_while_the_relay_is_down(world: World, shop: Json, site: Site, amqp_vhost_url: str):
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        request = site.next_request()
    RemoteRunner(request, site.send_update).work([Operation.POWER_ON])
    assert world.get(f"/tasks/{task['id']}")["state"] == "QUEUED"
    with running(world, amqp_vhost_url):
        ended = _ended(world, task)
    assert jobs_of(ended)[0]["rollback_state"] == "DONE"
    assert world.get(f"/virtualappliances/{shop['id']}")["state"] == "NOT_DEPLOYED"


def test_a_relay_that_finds_no_broker_keeps_trying_and_stops_when_told(world: World, caplog):
    relay = Relay(world.app, "amqp://guest:guest@127.0.0.1:1/%2F")
    relay.start()
    wait_until(lambda: caplog.text.count("trying again") >= 3, DEADLINE, "the relay to try again")
    relay.stop()
    assert "guest:guest" not in caplog.text


def test_a_relay_whose_queues_are_declared_otherwise_tries_again_ever_more_slowly(
    world: World, shop: Json, amqp_vhost_url: str, caplog
):
    topology = Topology(world.get("/datacenters")["items"][0]["id"], 4)
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_vhost_url))) as connection:
        connection.channel().queue_declare(topology.out_queue, durable=True)
    with running(world, amqp_vhost_url):
        wait_until(lambda: "in 0.8 s: (406, " in caplog.text, DEADLINE, "the relay to grow patient")


def test_the_relay_gives_signs_of_life(world: World, site: Site, amqp_vhost_url: str):
    with running(world, amqp_vhost_url):
        wait_until(lambda: world.get("/health")["relay"], DEADLINE, "a sign of life")


def test_a_relay_passes_over_what_another_one_is_publishing(world: World, shop: Json, site: Site):
    world.post(f"/virtualappliances/{shop['id']}/deploy")
    seen: list[int] = []

    def publish(*_: object) -> None:
        """Another relay that looks now finds the row locked, and takes nothing."""
        with world.app.app_context():
            done = threading.Thread(target=lambda: seen.append(_publish_elsewhere(world)))
            done.start()
            done.join()

    assert outbox.publish_pending(publish) == 1
    assert seen == [0]
    assert db.session.scalars(select(Request).filter_by(published_at=None)).all() == []


def _publish_elsewhere(world: World) -> int:
    with world.app.app_context():
        return outbox.publish_pending(lambda *_: pytest.fail("published twice"))


def test_a_runner_that_asks_gets_the_word_after_everything_that_was_said_before(
    world: World, shop: Json, site: Site, amqp_vhost_url: str
):
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        request = site.next_request()
        first = RemoteRunner(request, site.send_update)
        first.say(request.task, Event.START)
        second = RemoteRunner(request, site.send_update, attempt=2)
        second.say(request.task, Event.AGAIN)
        word = site.hear(lambda message: isinstance(message, Word))
        assert (word.request_id, word.attempt, word.go, word.crashes) == (request.id, 2, True, 1)
        assert (word.sessions.open_sessions, word.tenant.tenant) == (2, request.tenant)
        first.say(request.task.children[0], Event.START)
        second.work()
        assert _ended(world, task)["state"] == "FINISHED_SUCCESSFULLY"
        RemoteRunner(request, site.send_update, attempt=3).say(request.task, Event.AGAIN)
        assert site.hear(lambda message: isinstance(message, Word) and message.attempt == 3).go is False
    assert world.get("/deadletters")["items"] == []


def test_a_runner_is_told_to_stop_until_the_request_has_ended(
    world: World, shop: Json, site: Site, amqp_vhost_url: str
):
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        request = site.next_request()
        world.post(f"/tasks/{task['id']}/cancel")
        cancel = Cancel(request_id=request.id)
        site.hear(lambda message: message == cancel, times=3)
        runner = RemoteRunner(request, site.send_update)
        runner.say(request.task.children[0], Event.CANCELLED)
        runner.say(request.task, Event.CANCELLED)
        assert _ended(world, task)["state"] == "CANCELLED"
        wait_until(lambda: _applies(world), DEADLINE, "the relay to say that it applies updates")
        assert world.get(f"/virtualappliances/{shop['id']}")["state"] == "NOT_DEPLOYED"
        # What is told comes in order, so what is heard of these changes is behind all that was told before.
        heard = [site.told.count(cancel) for sessions in (5, 6, 7) if _bound_is_told(world, site, sessions)]
        assert heard[1] == heard[2]


def _applies(world: World) -> bool:
    with world.app.app_context():
        return db.session.scalar(select(RelayRow.seen_at).filter_by(id=RelayRow.APPLIES)) is not None


def _bound_is_told(world: World, site: Site, sessions: int) -> Control:
    host = world.get("/hypervisors")["items"][0]
    world.ask("PATCH", f"/hypervisors/{host['id']}", {"open_sessions": sessions})
    return site.hear(lambda message: isinstance(message, Sessions) and message.open_sessions == sessions)


def test_what_was_cancelled_before_a_relay_came_is_never_published(
    world: World, shop: Json, site: Site, amqp_vhost_url: str
):
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    assert world.post(f"/tasks/{task['id']}/cancel")["state"] == "CANCELLED"
    host = world.get("/hypervisors")["items"][0]
    later = world.post(f"/hypervisors/{host['id']}/discover")
    with running(world, amqp_vhost_url):
        assert site.next_request().task.id == later["id"]


def test_what_a_cancel_left_unended_the_relay_ends(
    world: World, shop: Json, site: Site, amqp_vhost_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cancelling, "BATCH", 1)
    three = world.appliance(world.get(f"/virtualdatacenters/{shop['virtualdatacenter_id']}"), *map(small, "abc"))
    task = world.post(f"/virtualappliances/{three['id']}/deploy")
    assert world.post(f"/tasks/{task['id']}/cancel")["state"] == "QUEUED"
    with running(world, amqp_vhost_url):
        assert _ended(world, task)["state"] == "CANCELLED"
        later = world.post(f"/hypervisors/{world.get('/hypervisors')['items'][0]['id']}/discover")
        assert site.next_request().task.id == later["id"]
    assert not [message for message in site.told if isinstance(message, Cancel)]


def _status(**more: Any) -> bytes:
    base = {"runner_id": "r1", "name": "far", "started_at": "2026-11-22T12:00:00+00:00"}
    return encode_control(RunnerStatus(**base | more))


def test_what_runners_say_is_shown_and_gives_waiting_jobs_their_places(
    world: World, shop: Json, site: Site, amqp_vhost_url: str
):
    def shown() -> Json | None:
        found = world.get("/runners")["items"]
        return found[0] if found and found[0]["running"] == 2 else None

    def waits() -> Json:
        return jobs_of(world.get(f"/tasks/{task['id']}"))[0]["waits_for"]

    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        site.next_request()
        waiting = WaitingJob(job_id=jobs_of(task)[0]["id"], waits_for=WaitsFor.SESSION, place=4)
        site.speak(b"{ no json")
        site.speak(_status(sequence=2, running=2, partitions=(0, 1), jobs=(waiting,)))
        site.speak(_status(sequence=1, running=1))
        runner = wait_until(shown, DEADLINE, "the runner to be shown")
        assert (runner["state"], runner["partitions"]) == ("alive", [0, 1])
        assert (waits()["for"], waits()["place"]) == ("session", 4)
    assert world.get("/deadletters")["items"] == []
    assert site.channel.queue_declare(site.topology.status_queue, passive=True).method.message_count == 0


def test_a_request_whose_queue_was_purged_is_found_to_be_lost_and_can_be_sent_again_or_abandoned(
    world: World, shop: Json, site: Site, amqp_vhost_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(missing, "_YOUNG", timedelta(0))
    monkeypatch.setattr(missing, "LOST_AFTER", timedelta(seconds=1))
    monkeypatch.setattr(inbound, "_LOOK_FOR_MISSING_SECONDS", 0.1)
    sequence, looks, write_down = count(1), [], missing.write_down

    def written(request_ids: frozenset[str]) -> None:
        looks.append(request_ids)
        write_down(request_ids)

    def accepted(how: str) -> bool:
        """A runner lives that has nothing."""
        site.speak(_status(sequence=next(sequence), partitions=(0, 1, 2, 3)))
        return world.ask("POST", f"/tasks/{task['id']}/{how}").status_code == 202

    def in_queue() -> int:
        return site.channel.queue_declare(queue, passive=True).method.message_count

    monkeypatch.setattr(missing, "write_down", written)
    site.take_no_more()
    with running(world, amqp_vhost_url):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        [request] = world.requests(task)
        queue = site.topology.in_queue_for(request.hypervisor.id)
        wait_until(in_queue, DEADLINE, "the request")
        wait_until(lambda: _unheld(world) or accepted("resend"), DEADLINE, "a runner that does not hold it")
        looked = len(looks)
        wait_until(lambda: accepted("resend") or len(looks) > looked + 5, DEADLINE, "some looks")
        assert set(looks) == {frozenset()}
        site.channel.queue_purge(queue)
        # Who waits for messages is a witness that there are none.
        site.take_requests()
        wait_until(lambda: accepted("resend"), DEADLINE, "it to be lost")
        assert site.next_request() == request
        assert site.headers == {AGAIN_HEADER: True, ATTEMPTS_HEADER: 0}
        wait_until(lambda: accepted("abandon"), DEADLINE, "it to be lost once more")
        assert _ended(world, task)["error"]["code"] == "request.abandoned"
        drop = Drop(request_id=request.id)
        site.hear(lambda message: message == drop)
        RemoteRunner(request, site.send_update).say(request.task, Event.START)
        site.hear(lambda message: message == drop, times=site.told.count(drop) + 1)
    assert world.get(f"/virtualappliances/{shop['id']}")["vms"][0]["locked_by"] is None


def _unheld(world: World) -> bool:
    with world.app.app_context():
        return bool(missing.unheld())


def test_two_relays_that_meet_a_new_runner_at_once_both_go_on(world: World, site: Site, amqp_vhost_url: str):
    with running(world, amqp_vhost_url), running(world, amqp_vhost_url):
        for sequence in range(1, 40):
            site.speak(_status(sequence=sequence, running=sequence))
        wait_until(lambda: world.get("/runners")["items"], DEADLINE, "the runner to be shown")
        site.speak(_status(sequence=50, running=50))
        site.speak(_status(sequence=51, running=50))
        wait_until(lambda: world.get("/runners/r1")["running"] == 50, DEADLINE, "its last status")


def test_a_bound_that_changes_is_told_at_once(world: World, shop: Json, site: Site, amqp_vhost_url: str):
    host = world.get("/hypervisors")["items"][0]

    def of(sessions: int) -> Callable[[Control], bool]:
        wanted = Sessions(hypervisor_id=host["id"], open_sessions=sessions)
        return lambda message: message == wanted

    with running(world, amqp_vhost_url):
        site.hear(of(2))
        world.ask("PATCH", f"/hypervisors/{host['id']}", {"open_sessions": 5})
        site.hear(of(5))
        world.ask("PATCH", f"/hypervisors/{host['id']}", {"open_sessions": None})
        world.ask("PUT", "/sessions", {"platform": {"open_sessions": 3}})
        site.hear(of(3))


def test_a_tenants_bound_that_changes_is_told_at_once_and_a_runner_that_comes_is_told_all(
    world: World, shop: Json, site: Site, amqp_vhost_url: str
):
    vdc, host = shop["virtualdatacenter_id"], world.get("/hypervisors")["items"][0]["id"]
    with running(world, amqp_vhost_url):
        site.hear(lambda told: told == TenantSessions(tenant=vdc))
        world.ask("PATCH", f"/virtualdatacenters/{vdc}", {"open_sessions": 1})
        site.hear(lambda told: told == TenantSessions(tenant=vdc, open_sessions=1))
        site.speak(_status(sequence=1))
        site.hear(lambda told: told == TenantSessions(tenant=vdc, open_sessions=1), times=2)
        site.hear(lambda told: told == Sessions(hypervisor_id=host, open_sessions=2), times=2)


def test_relays_forget_together_what_ended_long_ago_while_work_goes_on(
    world: World, shop: Json, site: Site, amqp_vhost_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(pruning, "PAUSE_SECONDS", 0.0)
    vdc = world.get(f"/virtualdatacenters/{shop['virtualdatacenter_id']}")
    old = [world.post(f"/virtualappliances/{world.appliance(vdc, small(name))['id']}/deploy") for name in "abcdefgh"]
    for task in old:
        world.carry_out(task)
    then = utc_now() - timedelta(days=100)
    for model in (Task, EventRow):
        db.session.execute(update(model).values(created_at=then))
    db.session.execute(update(Task).values(ended_at=then))
    db.session.commit()
    keep = timedelta(days=90)
    with running(world, amqp_vhost_url, keep=keep), running(world, amqp_vhost_url, keep=keep):
        task = world.post(f"/virtualappliances/{shop['id']}/deploy")
        site.next_request()
        wait_until(lambda: not _count(world, EventRow.created_at == then), DEADLINE, "the last events to be gone")
        assert _count(world, Task.ended_at.is_not(None)) == 0
    assert {row["id"] for row in world.get("/tasks")["items"]} == {task["id"]}
    assert len(world.get("/vms?state=ON")["items"]) == len(old)


def _count(world: World, condition: Any) -> int:
    with world.app.app_context():
        return len(db.session.execute(select(1).where(condition)).all())
