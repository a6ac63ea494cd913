# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishes what waits in the outbox, and ends what was cancelled while it waited, or abandoned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from runner_service.contract.messages import TaskRequest, Update
from runner_service.contract.topology import (
    AGAIN_HEADER,
    ATTEMPTS_HEADER,
    REQUESTS_EXCHANGE,
    UPDATES_EXCHANGE,
    Topology,
)

from ..services import abandoning, cancelling, deadletters, outbox
from . import broker

#: How often it looks although nobody has rung.
_IDLE_SECONDS = 1.0
#: How a broker answers a message that is larger than it takes.
_PRECONDITION_FAILED = 406
#: How often a relay that has nothing to publish says that it lives.
_SIGN_OF_LIFE_SECONDS = 2.0
#: How often dead letters are looked for that are to be sent again.
_REQUEUE_SECONDS = 1.0


class Outbound:
    """One connection's work: until told to stop, publish what waits, end what was cancelled, and look again."""

    def __init__(self, connection: BlockingConnection, *, window: int, address: str, ear: threading.Event):
        self._connection = connection
        self._window = window
        self._address = address
        self._ear = ear
        self._channel: BlockingChannel = connection.channel()
        self._channel.confirm_delivery()
        self._declared: set[str] = set()
        self._looked = 0.0
        self._requeued = 0.0

    def run(self, stopping: Callable[[], bool]) -> None:
        """Raises what the broker or the database raise when they are gone."""
        while not stopping():
            self._ear.clear()
            ended = cancelling.end_unpublished() + abandoning.end_abandoned()
            published = self._is_due() and outbox.publish_pending(self._publish, self._window, self._address)
            if not (ended or published):
                self._ear.wait(_IDLE_SECONDS)
                self._connection.process_data_events(0)
            self._requeue_dead_letters()

    def _is_due(self) -> bool:
        """Something waits, or it is time for a sign of life."""
        if not outbox.is_waiting() and time.monotonic() - self._looked < _SIGN_OF_LIFE_SECONDS:
            return False
        self._looked = time.monotonic()
        return True

    def _requeue_dead_letters(self) -> None:
        """Nobody is in a hurry who has looked at a dead letter first."""
        if time.monotonic() - self._requeued >= _REQUEUE_SECONDS:
            deadletters.requeue_pending(self._republish)
            self._requeued = time.monotonic()

    def _publish(self, request: outbox.Outgoing) -> None:
        queue = request.topology.in_queue_for(request.hypervisor_id)
        headers = {AGAIN_HEADER: True, ATTEMPTS_HEADER: request.attempts} if request.again else None
        self._send(request.topology, REQUESTS_EXCHANGE, queue, request.body, headers)

    def _republish(self, topology: Topology, message: TaskRequest | Update, body: bytes, attempts: int) -> None:
        """A request may have been begun before it was given up."""
        if isinstance(message, TaskRequest):
            queue = topology.in_queue_for(message.hypervisor.id)
            headers = {AGAIN_HEADER: True, ATTEMPTS_HEADER: attempts}
            self._send(topology, REQUESTS_EXCHANGE, queue, body, headers)
        else:
            self._send(topology, UPDATES_EXCHANGE, topology.out_queue, body)

    def _send(
        self, topology: Topology, exchange: str, queue: str, body: bytes, headers: dict[str, Any] | None = None
    ) -> None:
        if topology.datacenter_id not in self._declared:
            broker.declare(self._channel, topology)
            self._declared.add(topology.datacenter_id)
        try:
            broker.publish(self._channel, exchange, queue, body, headers)
        except ChannelClosedByBroker as error:
            if error.reply_code != _PRECONDITION_FAILED:
                raise
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
            raise outbox.Rejected(error.reply_text) from error
