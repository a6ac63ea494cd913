# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our side of the broker: connections, queues and confirmed messages."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError, ChannelClosedByBroker, StreamLostError

from runner_service.contract.control import Control, encode_control
from runner_service.contract.topology import (
    CONTROL_EXCHANGE,
    DEAD_EXCHANGE,
    REASON_HEADER,
    REQUESTS_EXCHANGE,
    UPDATES_EXCHANGE,
    Topology,
)

_HEARTBEAT_SECONDS = 30
_ANSWER_SECONDS = 10

log = logging.getLogger(__name__)


def connect(url: str) -> BlockingConnection:
    """An open connection; a broker that does not answer raises within seconds, a dead one is noticed by heartbeats."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = _HEARTBEAT_SECONDS
    parameters.socket_timeout = parameters.blocked_connection_timeout = _ANSWER_SECONDS
    parameters.connection_attempts = 1
    return BlockingConnection(parameters)


def cut(connection: BlockingConnection) -> None:
    """End the connection as if its process had been killed: all that it has not acknowledged goes back to the broker at
    once, and in order.

    An orderly close does not do that. pika gives what waits in the client back message by message, before the one that
    was in hand; then the next consumer would get the later ones first, and take the earlier ones for old."""
    if connection.is_closed:
        return
    with suppress(AMQPError, OSError):
        connection.process_data_events(time_limit=0)  # What was acknowledged is sent.
    if connection.is_closed:
        return
    connection._impl._terminate_stream(StreamLostError("cut"))
    with suppress(AMQPError, OSError):
        connection.process_data_events(time_limit=0)  # It notices, and lets its own resources go.


def declare(channel: BlockingChannel, topology: Topology) -> None:
    """Make a datacenter's exchanges and queues; harmless when they are there."""
    for exchange in (REQUESTS_EXCHANGE, UPDATES_EXCHANGE, DEAD_EXCHANGE, CONTROL_EXCHANGE):
        channel.exchange_declare(exchange, exchange_type="direct", durable=True)
    for queue in topology.in_queues:
        _bind(channel, REQUESTS_EXCHANGE, queue, topology.in_arguments())
    for exchange, queue in ((UPDATES_EXCHANGE, topology.out_queue), (DEAD_EXCHANGE, topology.dead_queue)):
        _make_unless_there(channel.connection, queue, topology.plain_arguments())
        channel.queue_bind(queue, exchange, routing_key=queue)
    channel.queue_declare(topology.status_queue, durable=True, arguments=topology.status_arguments())
    for key in (topology.status_key, topology.heartbeat_key):
        channel.queue_bind(topology.status_queue, CONTROL_EXCHANGE, routing_key=key)


def _make_unless_there(connection: BlockingConnection, queue: str, arguments: dict[str, str | int | bool]) -> None:
    """By a channel of its own, as the broker closes it when the queue is there with another limit: an earlier version
    made it, and it stays as it is (docs/scale-out.md)."""
    channel = connection.channel()
    try:
        channel.queue_declare(queue, durable=True, arguments=arguments)
    except ChannelClosedByBroker as error:
        if "'x-delivery-limit'" not in error.reply_text:
            raise
        log.warning("queue %s was made by an earlier version: it has no delivery limit of its own", queue)
    else:
        channel.close()


def _bind(channel: BlockingChannel, exchange: str, queue: str, arguments: dict[str, str | int | bool]) -> None:
    channel.queue_declare(queue, durable=True, arguments=arguments)
    channel.queue_bind(queue, exchange, routing_key=queue)


def publish(
    channel: BlockingChannel, exchange: str, queue: str, body: bytes, headers: dict[str, Any] | None = None
) -> None:
    """Send a persistent message; returns when the broker has it in a queue. The channel must confirm deliveries."""
    properties = pika.BasicProperties(
        delivery_mode=pika.DeliveryMode.Persistent, content_type="application/json", headers=headers,
        timestamp=int(time.time()),
    )  # fmt: skip
    channel.basic_publish(exchange, queue, body, properties, mandatory=True)


def tell(channel: BlockingChannel, topology: Topology, message: Control) -> None:
    """Tell all runners of a datacenter something. Nobody may be listening, and it may get lost."""
    channel.basic_publish(CONTROL_EXCHANGE, topology.control_key, encode_control(message))


def reason_of(properties: pika.BasicProperties) -> str:
    """Why a dead letter is one: what the runner said, or else what the broker did."""
    headers = properties.headers or {}
    if REASON_HEADER in headers:
        return str(headers[REASON_HEADER])
    deaths = headers.get("x-death") or [{}]
    reason = str(headers.get("x-first-death-reason") or deaths[0].get("reason") or "unknown")
    return _BROKER_REASONS.get(reason, f"the broker says {reason}")


_BROKER_REASONS = {
    "delivery_limit": "it was delivered again and again, and no runner survived it",
    "rejected": "a runner rejected it without a reason",
    "expired": "no runner took it in time",
}
