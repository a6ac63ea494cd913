# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues keep the arguments that they were made with: who declares others must live with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from runner_service.contract.topology import UPDATES_EXCHANGE, Topology
from runner_service.queue_manager import connection as runners_side
from webapi.messaging import broker as apis_side

pytestmark = pytest.mark.services

TOPOLOGY = Topology("dc", 2)
#: What versions of November 2026 declared OUT and dead queues with.
EARLIER = {"x-queue-type": "quorum", "x-single-active-consumer": True}

Declare = Callable[[BlockingChannel, Topology], None]
both = pytest.mark.parametrize("declare", [apis_side.declare, runners_side.declare], ids=["api", "runner"])


@pytest.fixture
def channel(amqp_vhost_url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_vhost_url))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    connection.close()


@both
def test_updates_have_a_delivery_limit_of_their_own_that_is_never_reached(declare: Declare, channel: BlockingChannel):
    declare(channel, TOPOLOGY)
    for queue in (TOPOLOGY.out_queue, TOPOLOGY.dead_queue):
        with pytest.raises(ChannelClosedByBroker, match="x-delivery-limit"):
            channel.connection.channel().queue_declare(queue, durable=True, arguments=EARLIER)


@both
def test_queues_of_an_earlier_version_go_on_being_used(declare: Declare, channel: BlockingChannel):
    for queue in (TOPOLOGY.out_queue, TOPOLOGY.dead_queue):
        channel.queue_declare(queue, durable=True, arguments=EARLIER)
    declare(channel, TOPOLOGY)
    channel.basic_publish(UPDATES_EXCHANGE, TOPOLOGY.out_queue, b"an update", mandatory=True)
    assert next(channel.consume(TOPOLOGY.out_queue, auto_ack=True, inactivity_timeout=10))[2] == b"an update"


@both
def test_queues_that_have_the_arguments_are_declared_again_by_either_side(declare: Declare, channel: BlockingChannel):
    declare(channel, TOPOLOGY)
    apis_side.declare(channel, TOPOLOGY)
    runners_side.declare(channel, TOPOLOGY)


@both
def test_a_queue_that_differs_otherwise_is_not_ours(declare: Declare, channel: BlockingChannel):
    channel.queue_declare(TOPOLOGY.out_queue, durable=True, arguments={"x-queue-type": "quorum"})
    with pytest.raises(ChannelClosedByBroker, match="x-single-active-consumer"):
        declare(channel, TOPOLOGY)
