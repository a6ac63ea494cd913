# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes requests from the datacenter's queues, on a connection and a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from ..contract.messages import InvalidMessage, TaskRequest
from ..contract.topology import Topology
from ..ports import Delivery, Tag
from .connection import Amqp, declare, keep_connected

if TYPE_CHECKING:
    from . import Listener

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rubbish:
    """A message that is not a request, and why."""

    body: bytes
    reason: str
    tag: Tag


@dataclass(frozen=True)
class Reception:
    """What is done with the deliveries of one connection."""

    connection: int
    listener: Listener
    bury: Callable[[Rubbish], None]

    def received(self, _channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        tag = Tag(self.connection, method.delivery_tag)
        try:
            request = TaskRequest.decode(body)
        except InvalidMessage as error:
            self.bury(Rubbish(body=body, reason=str(error), tag=tag))
        else:
            self.listener.take(Delivery(request=request, attempt=_attempt(method, properties), tag=tag))


class Consumer:
    """Hands deliveries to a listener; acknowledges when told to, from any thread."""

    def __init__(self, amqp: Amqp, topology: Topology, prefetch: int):
        self._amqp = amqp
        self._topology = topology
        self._prefetch = prefetch
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        #: Counts connections. A channel's delivery numbers mean nothing on the next one.
        self._count = 0
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    def start(self, listener: Listener, bury: Callable[[Rubbish], None]) -> None:
        """Consume on a thread, connecting again whenever needed. Both callees must return at once."""
        serve = partial(self._serve, listener, bury)
        arguments = (self._amqp, "requests", self._closing, serve)
        self._thread = threading.Thread(target=keep_connected, args=arguments, name="consumer", daemon=True)
        self._thread.start()

    def _serve(self, listener: Listener, bury: Callable[[Rubbish], None], connection: pika.BlockingConnection) -> None:
        channel = connection.channel()
        declare(channel, self._topology)
        channel.basic_qos(prefetch_count=self._prefetch)
        self._count += 1
        reception = Reception(self._count, listener, bury)
        for queue in self._topology.in_queues:
            channel.basic_consume(queue, reception.received)
        self._connection, self._channel = connection, channel
        log.info("consuming %s", ", ".join(self._topology.in_queues))
        try:
            if not self._closing.is_set():
                channel.start_consuming()
        finally:
            self._connection = self._channel = None
            listener.connection_lost()

    def acknowledge(self, tag: Tag) -> None:
        """The message leaves its queue, unless its connection is gone: then the broker delivers it again."""
        connection, channel = self._connection, self._channel
        if connection is None or channel is None or tag.connection != self._count:
            return
        self._soon(connection, partial(_acknowledge, channel, tag.number))

    @staticmethod
    def _soon(connection: pika.BlockingConnection, call: Callable[[], None]) -> None:
        """On the consumer's thread, which alone may use the connection."""
        try:
            connection.add_callback_threadsafe(call)
        except AMQPError as error:
            log.warning("requests: the connection is closing: %r", error)

    def close(self, timeout: float) -> None:
        """Acknowledgements asked for before are sent; what is not acknowledged goes back to its queue."""
        self._closing.set()
        connection, channel = self._connection, self._channel
        if connection is not None and channel is not None:
            self._soon(connection, channel.stop_consuming)
        if self._thread is not None:
            self._thread.join(timeout)


def _acknowledge(channel: BlockingChannel, number: int) -> None:
    if channel.is_open:
        channel.basic_ack(number)


def _attempt(method: Any, properties: Any) -> int:
    """Which delivery this is, from 1. Quorum queues count; others only tell that it was not the first."""
    counted = (properties.headers or {}).get("x-delivery-count")
    if isinstance(counted, int):
        return counted + 1
    return 2 if method.redelivered else 1
