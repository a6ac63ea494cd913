# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner's side of the broker: the only importer of pika here."""

from __future__ import annotations

import logging
from typing import Protocol

from ..contract.messages import Update
from ..contract.topology import DEAD_EXCHANGE, REASON_HEADER, UPDATES_EXCHANGE, Topology
from ..ports import Delivery, Tag
from .connection import Amqp
from .consumer import Consumer, Rubbish
from .publisher import Publication, Publisher

log = logging.getLogger(__name__)

#: Longest reason that goes with a dead letter, in characters.
MAX_REASON = 2_000


class Listener(Protocol):
    """Who is told of requests; called on the consumer's thread, must return at once."""

    def take(self, delivery: Delivery) -> None: ...

    def connection_lost(self) -> None: ...


class QueueManager:
    """Takes requests from a datacenter's queues and carries updates back. The orchestrator's Broker."""

    def __init__(self, amqp: Amqp, topology: Topology, prefetch: int):
        self._topology = topology
        self._publisher = Publisher(amqp, topology)
        self._consumer = Consumer(amqp, topology, prefetch)

    def start(self, listener: Listener) -> None:
        """Take requests from now on."""
        self._publisher.start()
        self._consumer.start(listener, self._bury)

    def publish(self, update: Update) -> None:
        self._publisher.put(Publication(UPDATES_EXCHANGE, self._topology.out_queue, update.encode()))

    def acknowledge(self, tag: Tag) -> None:
        self._publisher.after_all_before(lambda: self._consumer.acknowledge(tag))

    def _bury(self, rubbish: Rubbish) -> None:
        """Rubbish goes to the dead letters with its reason, and leaves its queue once it is there."""
        log.warning("a message was not understood and goes to %s: %s", self._topology.dead_queue, rubbish.reason)
        headers = {REASON_HEADER: rubbish.reason[:MAX_REASON].encode(errors="backslashreplace").decode()}
        self._publisher.put(Publication(DEAD_EXCHANGE, self._topology.dead_queue, rubbish.body, headers))
        self.acknowledge(rubbish.tag)

    def close(self, timeout: float) -> None:
        """Give back what is not acknowledged, after what was published has had ``timeout`` seconds to go out."""
        self._publisher.flush(timeout)
        self._consumer.close(timeout)
        self._publisher.close(timeout)
