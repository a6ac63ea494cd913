# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes requests and control messages, on a connection and a thread of its own. Nothing is published on it (see
speaker.py)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPChannelError, AMQPError, ChannelClosed

from ..contract.control import Control
from ..contract.topology import CONTROL_EXCHANGE, Topology
from ..ports import Tag
from .connection import Amqp, declare, keep_connected
from .reception import Message, Reception, control_of

log = logging.getLogger(__name__)

#: Seconds after which the broker is asked for a sign of life, if it gave none by itself.
SIGN_OF_LIFE = 1.0


class Consumer:
    """Consumes the partitions that it is told to, each on a channel of its own; acknowledges when told to. All public
    methods may be called from any thread."""

    def __init__(self, amqp: Amqp, topology: Topology, prefetch: int, reception: Reception):
        self._amqp = amqp
        self._topology = topology
        self._prefetch = prefetch
        self._reception = reception
        self._wanted: frozenset[int] = frozenset()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        #: Counts channels over all connections: a channel's delivery numbers mean nothing on another one.
        self._serials = count(1)
        self._heard = time.monotonic()

    def start(self) -> None:
        """Consume on a thread, connecting again whenever needed."""
        arguments = (self._amqp, "requests", self._closing, self._serve)
        self._thread = threading.Thread(target=keep_connected, args=arguments, name="consumer", daemon=True)
        self._thread.start()

    def consume(self, partitions: frozenset[int]) -> None:
        """Consume these too from now on, also on later connections; others only until they are released."""
        self._wanted = partitions
        self._soon(lambda session: session.subscribe(self._wanted))

    def giving_back(self, partition: int, released: Callable[[], None]) -> Callable[[], None]:
        """A call by which what is not acknowledged of the partition goes back to its queue, and to us only if it is
        wanted. It is about the connection of this moment: a later one is not touched."""
        asked_of = self._session

        def give_back(session: Session) -> None:
            if session is asked_of:
                session.release(partition)
                session.subscribe(self._wanted)
                released()

        return lambda: self._soon(give_back)

    def acknowledge(self, tag: Tag) -> None:
        """The message leaves its queue, unless its channel is gone: then the broker delivers it again."""
        self._soon(lambda session: session.acknowledge(tag))

    def silence(self) -> float:
        """Seconds since the broker last gave a sign of life."""
        return time.monotonic() - self._heard

    def reset(self) -> None:
        """Give the connection up, as soon as it can be told to: its requests come again on the next one."""
        session = self._session
        if session is not None:
            session.given_up = True

    def _serve(self, connection: pika.BlockingConnection) -> None:
        session = Session(connection, self._topology, self._prefetch, self._reception, self._serials)
        self._heard = time.monotonic()
        self._session = session
        session.subscribe(self._wanted)
        log.info("connected to the broker")
        try:
            while not (self._closing.is_set() or session.given_up):
                session.work(self._heard_now)
        finally:
            self._session = None
            self._reception.listener.connection_lost()

    def _heard_now(self) -> None:
        self._heard = time.monotonic()

    def _soon(self, call: Callable[[Session], None]) -> None:
        """On the consumer's thread, which alone may use the connection."""
        session = self._session
        if session is None:
            return
        try:
            session.connection.add_callback_threadsafe(partial(call, session))
        except AMQPError as error:
            log.warning("requests: the connection is closing: %r", error)

    def close(self, timeout: float) -> None:
        """Acknowledgements asked for before are sent; what is not acknowledged goes back to its queue."""
        self._soon(lambda _session: self._closing.set())
        if self._session is None:
            self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout)
        self._closing.set()


class Session:
    """One connection: a channel for control, and one for each partition. Used by the consumer's thread only."""

    def __init__(
        self, connection: pika.BlockingConnection, topology: Topology, prefetch: int, reception: Reception,
        serials: count[int],
    ):  # fmt: skip
        self.connection = connection
        #: Somebody found that it cannot be trusted any more.
        self.given_up = False
        self._topology = topology
        self._prefetch = prefetch
        self._reception = reception
        self._serials = serials
        self._channels: dict[int, tuple[int, BlockingChannel]] = {}
        self._asked = time.monotonic()
        self._control = connection.channel()
        declare(self._control, topology)
        self._control_queue = self._listen()

    def _listen(self) -> str:
        queue = str(self._control.queue_declare("", exclusive=True).method.queue)
        for key in (self._topology.control_key, self._topology.heartbeat_key):
            self._control.queue_bind(queue, CONTROL_EXCHANGE, routing_key=key)
        self._control.basic_consume(queue, self._on_control, auto_ack=True)
        return queue

    def subscribe(self, wanted: frozenset[int]) -> None:
        """Consume what is wanted and not consumed yet."""
        for partition in sorted(wanted - self._channels.keys()):
            serial, channel = next(self._serials), self.connection.channel()
            channel.basic_qos(prefetch_count=self._prefetch)
            self._channels[partition] = (serial, channel)
            channel.basic_consume(self._topology.in_queue(partition), partial(self._on_request, partition, serial))
            log.info("consuming partition %d", partition)

    def release(self, partition: int) -> None:
        _, channel = self._channels.pop(partition, (0, None))
        if channel is not None and channel.is_open:
            channel.close()
            log.info("partition %d is given up", partition)

    def acknowledge(self, tag: Tag) -> None:
        for serial, channel in self._channels.values():
            if serial == tag.channel and channel.is_open:
                channel.basic_ack(tag.number)

    def work(self, heard: Callable[[], None]) -> None:
        """Handle what comes in within a moment. Raises AMQPError if the connection, or a channel of it, is gone."""
        self.connection.process_data_events(time_limit=SIGN_OF_LIFE / 2)
        if time.monotonic() - self._asked > SIGN_OF_LIFE:
            # An answer, whatever it is, shows that the broker still counts us among the living.
            self._control.queue_declare(self._control_queue, passive=True)
            self._asked = time.monotonic()
            heard()
        for partition, (_, channel) in self._channels.items():
            if not channel.is_open:
                raise why_closed(channel, partition)

    def _on_request(
        self, partition: int, serial: int, _channel: BlockingChannel, method: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties, body: bytes,
    ) -> None:  # fmt: skip
        message = Message.of(method, properties, body, partition=partition, tag=Tag(serial, method.delivery_tag))
        self._reception.received(message)

    def _on_control(
        self, _channel: BlockingChannel, _method: pika.spec.Basic.Deliver, _properties: pika.BasicProperties,
        body: bytes,
    ) -> None:  # fmt: skip
        message: Control | None = control_of(body)
        if message is not None:
            self._reception.listener.told(message)


def why_closed(channel: BlockingChannel, partition: int) -> ChannelClosed:
    """What the broker said when it closed the channel."""
    try:
        channel.basic_qos()
        code, text = 0, "nobody said why"
    except AMQPChannelError as error:
        code, text = getattr(error, "reply_code", 0), getattr(error, "reply_text", repr(error))
    if "delivery acknowledgement" in text and "timed out" in text:
        log.error(
            "the broker takes requests back that are not done within its consumer_timeout, and what runs is done "
            "again: give it a longer one than the longest operation takes (docs/settings.md)"
        )
    return ChannelClosed(code, f"the channel of partition {partition} was closed: {text}")
