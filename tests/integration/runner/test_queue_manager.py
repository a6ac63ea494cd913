# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue manager against a real broker, over connections that break."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from runner_service.contract.control import Cancel, Control, Heartbeat, RunnerStatus, encode_control
from runner_service.contract.messages import Update
from runner_service.contract.states import Event
from runner_service.contract.topology import (
    AGAIN_HEADER,
    ATTEMPTS_HEADER,
    CONTROL_EXCHANGE,
    REQUESTS_EXCHANGE,
    partition_of,
)
from runner_service.ports import Delivery, Tag
from runner_service.queue_manager import QueueManager
from runner_service.queue_manager.connection import Amqp
from runner_service.queue_manager.consumer import why_closed
from runner_service.queue_manager.reception import RENEW_AFTER
from tests.integration.runner.conftest import Api
from tests.proxy import CuttableProxy
from tests.requests import DEPLOY, chain, request
from tests.services import Broker
from tests.waiting import wait_until

PREFETCH = 10


@dataclass
class Heard:
    """A listener that remembers."""

    deliveries: list[Delivery] = field(default_factory=list)
    losses: int = 0
    messages: list[Control] = field(default_factory=list)

    def told(self, message: Control) -> None:
        self.messages.append(message)

    def take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def connection_lost(self) -> None:
        self.losses += 1

    def wait_for(self, count: int) -> Delivery:
        wait_until(lambda: len(self.deliveries) >= count, 30, f"{count} deliveries")
        return self.deliveries[count - 1]


@dataclass
class Line:
    """A queue manager whose connections can be cut."""

    manager: QueueManager
    heard: Heard
    proxy: CuttableProxy
    #: One for each message that nobody could read.
    buried: list[None]


@pytest.fixture
def line(api: Api, amqp_vhost_url: str) -> Iterator[Line]:
    proxy = CuttableProxy(amqp_vhost_url)
    buried: list[None] = []
    manager = QueueManager(Amqp(proxy.url), api.topology, prefetch=PREFETCH, buries=lambda: buried.append(None))
    line = Line(manager, Heard(), proxy, buried)
    line.manager.start(line.heard)
    line.manager.consume(frozenset(range(api.topology.partitions)))
    yield line
    line.manager.close(5)
    proxy.close()


def update(sequence: int) -> Update:
    return Update(request_id="r", attempt=1, sequence=sequence, node_id="n", event=Event.START, at="now")


def test_a_request_that_is_not_acknowledged_comes_again_and_is_counted(api: Api, line: Line) -> None:
    sent = request(chain("web", *DEPLOY))
    api.send(sent)
    first = line.heard.wait_for(1)
    assert (first.request, first.attempt) == (sent, 1)
    line.proxy.cut()
    again = line.heard.wait_for(2)
    assert (again.request, again.attempt) == (sent, 2)
    assert again.tag.channel > first.tag.channel
    assert (first.again, again.again) == (False, True)
    assert line.heard.losses == 1


def test_an_acknowledged_request_does_not_come_again(api: Api, line: Line) -> None:
    """The broker hands the last one out, for which there was no room, once it has got the acknowledgement."""
    sent = [request(chain(f"web-{number}", *DEPLOY)) for number in range(PREFETCH + 1)]
    for one in sent:
        api.send(one)
    line.heard.wait_for(PREFETCH)
    line.manager.acknowledge(line.heard.deliveries[0].tag)
    line.heard.wait_for(PREFETCH + 1)
    line.proxy.cut()
    line.heard.wait_for(2 * PREFETCH + 1)
    again = [delivery.request for delivery in line.heard.deliveries[PREFETCH + 1 :]]
    assert sorted(one.id for one in again) == sorted(one.id for one in sent[1:])


def test_an_acknowledgement_that_is_too_late_takes_nobody_elses_place(api: Api, line: Line) -> None:
    api.send(request(chain("web", *DEPLOY)))
    old = line.heard.wait_for(1)
    line.proxy.cut()
    line.heard.wait_for(2)
    line.manager.acknowledge(old.tag)
    line.proxy.cut()
    assert line.heard.wait_for(3).attempt == 3


def test_updates_survive_broken_connections_in_their_order(api: Api, line: Line) -> None:
    for sequence in range(1, 301):
        line.manager.publish(update(sequence))
        if sequence % 100 == 0:
            wait_until(lambda: api.read(), 30, "the first updates")
            line.proxy.cut()
    wait_until(lambda: api.read() and api.updates[-1].sequence == 300, 30, "the last update")
    once = dict.fromkeys(found.sequence for found in api.updates)
    assert list(once) == list(range(1, 301)), "each came, at least once, none before an earlier one"


def test_a_request_is_not_acknowledged_before_its_updates_are_with_the_broker(api: Api, line: Line) -> None:
    api.send(request(chain("web", *DEPLOY)))
    line.heard.wait_for(1)
    line.proxy.refuse(refusing=True)
    line.manager.publish(update(1))
    line.manager.acknowledge(line.heard.deliveries[0].tag)
    line.proxy.refuse(refusing=False)
    assert line.heard.wait_for(2).attempt == 2
    wait_until(lambda: api.read(), 30, "the update")
    assert [found.sequence for found in api.updates] == [1]


def test_rubbish_is_buried_with_its_reason_even_if_the_connection_breaks(api: Api, line: Line) -> None:
    line.proxy.refuse(refusing=True)
    api.send_raw(b'{"id": "\xff"}', api.topology.in_queue(1))
    api.send_raw(b'{"version": 99}', api.topology.in_queue(1))
    line.proxy.refuse(refusing=False)
    wait_until(lambda: api.read() is api.updates and len(set(api.reasons)) == 2, 30, "two dead letters")
    assert "not JSON" in api.reasons[0]
    assert len(line.buried) >= 2, "metrics count them; one that comes again is counted again"
    assert line.heard.deliveries == []


def test_a_listener_on_another_queue_is_not_kept_from_its_requests(api: Api, line: Line) -> None:
    """Prefetch is per queue, so that a partition with much to do does not hold another one up."""
    busy = [request(chain(f"vm{number}", *DEPLOY), id="h1") for number in range(12)]
    other = next(f"h{number}" for number in range(100) if api.topology.in_queue_for(f"h{number}")
                 != api.topology.in_queue_for("h1"))  # fmt: skip
    for sent in [*busy, request(chain("other", *DEPLOY), id=other)]:
        api.send(sent)

    def taken() -> list[str]:
        return [found.request.hypervisor.id for found in line.heard.deliveries]

    wait_until(lambda: other in taken() and len(taken()) > PREFETCH, 30, "as many as there is room for, and the other")
    assert taken().count("h1") == PREFETCH


def test_control_messages_reach_the_listener_and_what_is_none_is_passed_over(api: Api, line: Line) -> None:
    line.manager.consume(frozenset())
    wait_until(lambda: line.manager.silence() < 1, 30, "a connection")
    cancel = Cancel(request_id="r1")

    def told() -> bool:
        for body in (b"rubbish", encode_control(cancel)):
            api.channel.basic_publish(CONTROL_EXCHANGE, api.topology.control_key, body)
        return cancel in line.heard.messages

    wait_until(told, 30, "the message")


def test_a_heartbeat_is_heard_by_every_runner_of_the_datacenter_and_a_status_by_the_api_alone(
    api: Api, line: Line, amqp_vhost_url: str
) -> None:
    other, heard = QueueManager(Amqp(amqp_vhost_url), api.topology, prefetch=10), Heard()
    other.start(heard)
    status = RunnerStatus(runner_id="r1", name="runner-1", sequence=1, started_at="now")
    beat = Heartbeat(runner_id="r1", sequence=1)

    def told() -> bool:
        line.manager.tell(status)
        line.manager.tell(beat)
        return beat in heard.messages and beat in line.heard.messages

    wait_until(told, 30, "the heartbeat")
    assert status not in heard.messages
    wait_until(lambda: api.read() is not None and api.runners.get("runner-1") == status, 30, "the status")
    other.close(5)


@pytest.mark.parametrize(
    ("said", "level"),
    [("delivery acknowledgement on channel 3 timed out. Timeout value used: 1800000 ms", "ERROR"), ("unknown tag", "")],
)
def test_why_a_channel_was_closed_is_told(said: str, level: str, caplog: pytest.LogCaptureFixture) -> None:
    class Closed:
        """A channel that the broker has closed: whatever is asked of it raises its reason."""

        def basic_qos(self) -> None:
            raise ChannelClosedByBroker(406, f"PRECONDITION_FAILED - {said}")

    error = why_closed(Closed(), 2)  # type: ignore[arg-type]  # of a channel it has what is asked
    assert str(error.args[1]) == f"the channel of partition 2 was closed: PRECONDITION_FAILED - {said}"
    assert [record.levelname for record in caplog.records] == [level] * bool(level)


def test_a_channel_that_the_broker_closes_says_why(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    def is_told() -> bool:
        line.manager.acknowledge(Tag(1, 999))
        return "unknown delivery tag 999" in caplog.text

    wait_until(is_told, 30, "the broker's reason in the log", every=1)


def test_who_takes_requests_publishes_nothing_on_that_connection(api: Api, line: Line, broker: Broker) -> None:
    """While the broker has an alarm it reads nothing more from a connection that has published: acknowledgements and
    the question whether it lives would wait, and all that runs would be ended."""
    api.send(request(chain("web", *DEPLOY)))
    line.manager.acknowledge(line.heard.wait_for(1).tag)
    line.manager.publish(update(1))
    beat = Heartbeat(runner_id="r1", sequence=1)

    def told() -> bool:
        line.manager.tell(beat)
        return beat in line.heard.messages

    wait_until(told, 30, "the heartbeat")
    vhost = line.proxy.url.rpartition("/")[2]

    def published() -> dict[str, int]:
        """By connection: a moment after, as the broker counts now and then."""
        channels, connections = (
            httpx.get(f"{broker.management_url}/api/vhosts/{vhost}/{what}", trust_env=False, timeout=30).json()
            for what in ("channels", "connections")
        )
        names = {one["name"]: one.get("user_provided_name", "") for one in connections}
        counts: dict[str, int] = {}
        for channel in channels:
            name = names.get(channel["connection_details"]["name"], "").removeprefix("millwright runner: ")
            counts[name] = counts.get(name, 0) + channel.get("message_stats", {}).get("publish", 0)
        return counts

    wait_until(lambda: published().get("words", 0) and published().get("updates", 0), 30, "the broker's count")
    assert published()["requests"] == 0


def test_a_partition_that_is_released_goes_to_who_stands_by_after_all_that_was_published(
    api: Api, line: Line, amqp_vhost_url: str
) -> None:
    sent = request(chain("web", *DEPLOY))
    api.send(sent)
    partition = line.heard.wait_for(1).partition
    other, heard = QueueManager(Amqp(amqp_vhost_url), api.topology, prefetch=10), Heard()
    other.start(heard)
    other.consume(frozenset({partition}))
    line.manager.publish(update(1))
    line.manager.consume(frozenset({1 - partition}))
    line.manager.release(partition, lambda: None)
    taken = heard.wait_for(1)
    assert (taken.request, taken.attempt, taken.again) == (sent, 2, True)
    assert [found.sequence for found in api.read()] == [1]
    assert line.heard.losses == 0, "the connection stays"
    other.close(5)


def test_a_partition_that_is_wanted_again_while_it_is_given_up_comes_back(api: Api, line: Line) -> None:
    api.send(request(chain("web", *DEPLOY)))
    partition = line.heard.wait_for(1).partition
    line.manager.release(partition, lambda: None)
    assert line.heard.wait_for(2).attempt == 2


def test_a_connection_that_is_given_up_gives_its_requests_back(api: Api, line: Line) -> None:
    api.send(request(chain("web", *DEPLOY)))
    line.heard.wait_for(1)
    line.manager.reset()
    assert line.heard.wait_for(2).attempt == 2
    assert line.heard.losses == 1


def test_a_request_that_was_published_twice_says_so(api: Api, line: Line) -> None:
    sent = request(chain("web", *DEPLOY))
    properties = pika.BasicProperties(headers={AGAIN_HEADER: True})
    queue = api.topology.in_queue_for(sent.hypervisor.id)
    api.channel.basic_publish(REQUESTS_EXCHANGE, queue, sent.encode(), properties, mandatory=True)
    first = line.heard.wait_for(1)
    assert (first.attempt, first.again) == (1, True)


def test_a_request_that_was_delivered_very_often_is_published_anew_and_keeps_its_count(api: Api, line: Line) -> None:
    sent = request(chain("web", *DEPLOY))
    properties = pika.BasicProperties(headers={ATTEMPTS_HEADER: 100})
    queue = api.topology.in_queue_for(sent.hypervisor.id)
    api.channel.basic_publish(REQUESTS_EXCHANGE, queue, sent.encode(), properties, mandatory=True)
    for delivery in range(1, RENEW_AFTER + 1):
        assert line.heard.wait_for(delivery).attempt == 100 + delivery
        line.manager.release(partition_of(sent.hypervisor.id, api.topology.partitions), lambda: None)
    renewed = line.heard.wait_for(RENEW_AFTER + 1)
    assert (renewed.attempt, renewed.again) == (100 + RENEW_AFTER + 2, True)
    assert len(line.heard.deliveries) == RENEW_AFTER + 1
    assert api.reasons == []
