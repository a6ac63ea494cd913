# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the broker, and the queues that everybody declares alike."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from ..contract.topology import CONTROL_EXCHANGE, DEAD_EXCHANGE, REQUESTS_EXCHANGE, UPDATES_EXCHANGE, Topology

log = logging.getLogger(__name__)

HEARTBEAT = 30
FIRST_PAUSE, MAX_PAUSE = 0.5, 15.0


@dataclass(frozen=True)
class Amqp:
    """Where the broker is; the URL holds a password and is not shown."""

    url: str

    def connect(self, purpose: str) -> pika.BlockingConnection:
        return pika.BlockingConnection(self.parameters(purpose))

    def parameters(self, purpose: str) -> pika.URLParameters:
        """Raises ValueError for what is no AMQP URL."""
        if not self.url.startswith(("amqp://", "amqps://")):
            raise ValueError("not an AMQP URL")
        parameters = pika.URLParameters(self.url)
        parameters.heartbeat = HEARTBEAT
        parameters.blocked_connection_timeout = 300
        parameters.socket_timeout = 10
        parameters.client_properties = {"connection_name": f"millwright runner: {purpose}"}
        return parameters

    def __repr__(self) -> str:
        return "Amqp(...)"


def declare(channel: BlockingChannel, topology: Topology) -> None:
    """Afterwards the datacenter's exchanges, queues and bindings are there."""
    for exchange in (CONTROL_EXCHANGE, REQUESTS_EXCHANGE, UPDATES_EXCHANGE, DEAD_EXCHANGE):
        channel.exchange_declare(exchange, exchange_type="direct", durable=True)
    for name in topology.in_queues:
        channel.queue_declare(name, durable=True, arguments=topology.in_arguments())
        channel.queue_bind(name, REQUESTS_EXCHANGE, routing_key=name)
    for exchange, name in ((UPDATES_EXCHANGE, topology.out_queue), (DEAD_EXCHANGE, topology.dead_queue)):
        _make_unless_there(channel.connection, name, topology.plain_arguments())
        channel.queue_bind(name, exchange, routing_key=name)


def _make_unless_there(connection: pika.BlockingConnection, queue: str, arguments: dict[str, Any]) -> None:
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


def keep_connected(
    amqp: Amqp, purpose: str, closing: threading.Event, serve: Callable[[pika.BlockingConnection], None]
) -> None:
    """Connect and let ``serve`` use the connection, again and again with growing pauses, until ``closing`` is set.

    A connection that lasted starts the pauses anew.
    """
    pause = FIRST_PAUSE
    while not closing.is_set():
        began = time.monotonic()
        try:
            serve_once(amqp.connect(purpose), serve)
        except (AMQPError, OSError) as error:
            log.warning("%s: no connection to the broker: %r", purpose, error)
        except Exception:  # the thread's outermost loop: a defect must not leave a runner that is deaf or dumb
            log.exception("%s: the connection was given up", purpose)
        if not closing.is_set():
            pause = FIRST_PAUSE if time.monotonic() - began > MAX_PAUSE else min(MAX_PAUSE, pause * 2)
            log.info("%s: connecting again in %.1f s", purpose, pause)
            closing.wait(pause * random.uniform(0.75, 1.25))  # noqa: S311  # spreads runners, keeps no secret


def serve_once(connection: pika.BlockingConnection, serve: Callable[[pika.BlockingConnection], None]) -> None:
    try:
        serve(connection)
    finally:
        if connection.is_open:
            connection.close()
