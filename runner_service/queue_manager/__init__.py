# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner's side of the broker: the only importer of pika here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..contract.control import Heartbeat, RunnerStatus
from ..contract.messages import Update
from ..contract.topology import DEAD_EXCHANGE, REASON_HEADER, REQUESTS_EXCHANGE, UPDATES_EXCHANGE, Topology
from ..ports import Delivery, Tag
from .connection import Amqp
from .consumer import Consumer
from .publisher import Publication, Publisher
from .reception import Listener, Message, Reception
from .speaker import Speaker

__all__ = ["Listener", "Outlet", "QueueManager"]

log = logging.getLogger(__name__)

#: Longest reason that goes with a dead letter, in characters.
MAX_REASON = 2_000


class QueueManager:
    """Takes requests from a datacenter's queues and carries updates back. The orchestrator's Broker."""

    def __init__(
        self, amqp: Amqp, topology: Topology, prefetch: int, buries: Callable[[], None] = lambda: None
    ):  # fmt: skip
        """``buries`` is called, on some thread, for each message that nobody can read."""
        self._amqp = amqp
        self._topology = topology
        self._prefetch = prefetch
        self._buries = buries
        self._publisher = Publisher(amqp, topology)
        self._speaker = Speaker(amqp, topology)
        self._consumer: Consumer | None = None

    def start(self, listener: Listener) -> None:
        """Connect, and from now on tell the listener what comes in."""
        reception = Reception(listener, self._bury, self._renew)
        self._consumer = Consumer(self._amqp, self._topology, self._prefetch, reception)
        self._publisher.start()
        self._speaker.start()
        self._consumer.start()

    def consume(self, partitions: frozenset[int]) -> None:
        self._own.consume(partitions)

    def release(self, partition: int, released: Callable[[], None]) -> None:
        give_back = self._own.giving_back(partition, released)
        self._publisher.after_all_before(give_back)

    def publish(self, update: Update) -> None:
        self._publisher.put(Publication(UPDATES_EXCHANGE, self._topology.out_queue, update.encode()))

    def after_published(self, call: Callable[[], None]) -> None:
        self._publisher.after_all_before(call)

    def acknowledge(self, tag: Tag) -> None:
        self._publisher.after_all_before(lambda: self._own.acknowledge(tag))

    def give_up(self, delivery: Delivery, reason: str) -> None:
        self._to_the_dead(delivery.request.encode(), delivery.tag, reason)

    def tell(self, word: Heartbeat | RunnerStatus) -> None:
        self._speaker.tell(word)

    def silence(self) -> float:
        return self._own.silence()

    def reset(self) -> None:
        self._own.reset()

    @property
    def _own(self) -> Consumer:
        assert self._consumer is not None, "start comes first"
        return self._consumer

    def _bury(self, message: Message, reason: str) -> None:
        log.warning("a message was not understood and goes to %s: %s", self._topology.dead_queue, reason)
        self._buries()
        self._to_the_dead(message.body, message.tag, reason)

    def _to_the_dead(self, body: bytes, tag: Tag, reason: str) -> None:
        """A message goes to the dead letters with its reason, and leaves its queue once it is there."""
        headers = {REASON_HEADER: reason[:MAX_REASON].encode(errors="backslashreplace").decode()}
        self._publisher.put(Publication(DEAD_EXCHANGE, self._topology.dead_queue, body, headers))
        self.acknowledge(tag)

    def _renew(self, message: Message) -> None:
        log.info("a request was delivered %d times and is published anew", message.attempt)
        queue = self._topology.in_queue(message.partition)
        self._publisher.put(Publication(REQUESTS_EXCHANGE, queue, message.body, message.renewed_headers()))
        self.acknowledge(message.tag)

    def close(self, timeout: float) -> None:
        """Give back what is not acknowledged, after what was published has had ``timeout`` seconds to go out."""
        self._publisher.flush(timeout)
        self._own.close(timeout)
        self._speaker.close(timeout)
        self._publisher.close(timeout)


class Outlet:
    """The Broker of a process that carries one request out: its updates go out, and nothing comes in."""

    def __init__(self, amqp: Amqp, topology: Topology):
        self._topology = topology
        self._publisher = Publisher(amqp, topology)
        #: Set once the request has ended and all its updates are confirmed.
        self.ended = threading.Event()

    def start(self) -> None:
        self._publisher.start()

    def publish(self, update: Update) -> None:
        self._publisher.put(Publication(UPDATES_EXCHANGE, self._topology.out_queue, update.encode()))

    def after_published(self, call: Callable[[], None]) -> None:
        self._publisher.after_all_before(call)

    def acknowledge(self, _tag: Tag) -> None:
        self._publisher.after_all_before(self.ended.set)

    def give_up(self, _delivery: Delivery, _reason: str) -> None:
        """Whoever sent it on its errand decides that."""

    def consume(self, _partitions: frozenset[int]) -> None:
        """There is nothing to consume."""

    def release(self, _partition: int, released: Callable[[], None]) -> None:
        """There is nothing to release."""
        released()

    def tell(self, _word: Heartbeat | RunnerStatus) -> None:
        """The runner speaks for it."""

    def silence(self) -> float:
        """The runner watches the connection."""
        return 0.0

    def reset(self) -> None:
        """There is nothing that could come again."""

    def close(self, timeout: float) -> None:
        self._publisher.close(timeout)
