# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what others may hear or miss, on a connection and a thread of its own.

While the broker has an alarm, of its memory or its disk, it reads nothing from a connection that publishes. So whoever
takes requests and acknowledges them must not be the one who says so often how we are: nothing would be heard of the
broker any more, which looks as if it were gone.
"""

from __future__ import annotations

import logging
import threading

import pika

from ..contract.control import Heartbeat, RunnerStatus, encode_control
from ..contract.topology import CONTROL_EXCHANGE, Topology
from .connection import Amqp, declare, keep_connected

log = logging.getLogger(__name__)

#: Seconds between two looks at the connection.
_LOOK = 1.0


class Speaker:
    """The last word of each kind is said as soon as there is a connection that is read; older ones say nothing new."""

    def __init__(self, amqp: Amqp, topology: Topology):
        self._topology = topology
        self._lock = threading.Lock()
        self._words: dict[type, Heartbeat | RunnerStatus] = {}
        self._has_words = threading.Event()
        self._closing = threading.Event()
        self._is_blocked = False
        arguments = (amqp, "words", self._closing, self._serve)
        self._thread = threading.Thread(target=keep_connected, args=arguments, name="speaker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell(self, word: Heartbeat | RunnerStatus) -> None:
        """From any thread."""
        with self._lock:
            self._words[type(word)] = word
        self._has_words.set()

    def close(self, timeout: float) -> None:
        """What was told last is said, if it can be."""
        self._closing.set()
        self._has_words.set()
        self._thread.join(timeout)

    def _serve(self, connection: pika.BlockingConnection) -> None:
        self._is_blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._block(is_blocked=True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._block(is_blocked=False))
        channel = connection.channel()
        declare(channel, self._topology)
        while True:
            is_last = self._closing.is_set()
            connection.process_data_events(0)
            for word in [] if self._is_blocked else self._taken():
                channel.basic_publish(CONTROL_EXCHANGE, self._key(word), encode_control(word))
            if is_last:
                return
            (self._closing if self._is_blocked else self._has_words).wait(_LOOK)

    def _block(self, *, is_blocked: bool) -> None:
        self._is_blocked = is_blocked
        log.warning("the broker %s", "has an alarm, and takes no messages" if is_blocked else "takes messages again")

    def _taken(self) -> list[Heartbeat | RunnerStatus]:
        with self._lock:
            self._has_words.clear()
            words = list(self._words.values())
            self._words.clear()
        return words

    def _key(self, word: Heartbeat | RunnerStatus) -> str:
        is_beat = isinstance(word, Heartbeat)
        return self._topology.heartbeat_key if is_beat else self._topology.status_key
