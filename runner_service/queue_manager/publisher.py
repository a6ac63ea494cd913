# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishes in order, with confirms, on a connection and a thread of its own; a lost connection loses nothing."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from ..contract.topology import Topology
from .connection import HEARTBEAT, Amqp, declare, keep_connected

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Publication:
    """One message on its way out."""

    exchange: str
    routing_key: str
    body: bytes
    headers: dict[str, Any] | None = None


Item = Publication | Callable[[], None]


class Publisher:
    """``put`` and ``after_all_before`` keep one order between them, whatever happens to the connection."""

    def __init__(self, amqp: Amqp, topology: Topology):
        self._topology = topology
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        #: Taken from the queue and not yet confirmed.
        self._held: Item | None = None
        self._closing = threading.Event()
        arguments = (amqp, "updates", self._closing, self._serve)
        self._thread = threading.Thread(target=keep_connected, args=arguments, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, publication: Publication) -> None:
        """It will be published and confirmed, again after a lost connection: receivers may see it twice."""
        self._items.put(publication)

    def after_all_before(self, call: Callable[[], None]) -> None:
        """Make the call once the broker has confirmed all that was put before; on the publisher's thread."""
        self._items.put(call)

    def flush(self, timeout: float) -> None:
        """Wait until all that was put before is confirmed, at most ``timeout`` seconds."""
        flushed = threading.Event()
        self.after_all_before(flushed.set)
        if not flushed.wait(timeout):
            log.warning(
                "updates: not all were confirmed within %.0f s; their requests will be delivered again", timeout
            )

    def close(self, timeout: float) -> None:
        self._closing.set()
        self._items.put(lambda: None)
        self._thread.join(timeout)

    def _serve(self, connection: pika.BlockingConnection) -> None:
        channel = connection.channel()
        declare(channel, self._topology)
        channel.confirm_delivery()
        while not self._closing.is_set():
            if self._held is None:
                self._held = self._next(connection)
            if self._held is not None:
                _handle(channel, self._held)
                self._held = None

    def _next(self, connection: pika.BlockingConnection) -> Item | None:
        """The next item, or None after a pause in which the connection shows that it lives."""
        try:
            return self._items.get(timeout=HEARTBEAT / 4)
        except queue.Empty:
            connection.process_data_events(0)
            return None


def _handle(channel: BlockingChannel, item: Item) -> None:
    if not isinstance(item, Publication):
        item()
        return
    properties = pika.BasicProperties(
        delivery_mode=pika.DeliveryMode.Persistent, content_type="application/json", headers=item.headers
    )
    # Raises if the broker refuses the message or no queue takes it: then it is held, and published again.
    channel.basic_publish(item.exchange, item.routing_key, item.body, properties, mandatory=True)
