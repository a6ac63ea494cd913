# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells runners what to stop, and how much may run, again and again: what is told may get lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from runner_service.contract.control import Cancel, Drop, Sessions, TenantSessions
from runner_service.contract.topology import CONTROL_EXCHANGE, Topology

from ..services import abandoning, cancelling, sessions
from . import broker

#: How often it looks although nobody has rung.
_PAUSE_SECONDS = 1.0
#: How often a runner is told to stop a request that has not ended, or to drop one that was ended without it.
CANCEL_AGAIN_SECONDS = 2.0
#: How often bounds are looked at, and how often they are told although they have not changed.
_LOOK_AT_BOUNDS_SECONDS = 1.0
BOUNDS_AGAIN_SECONDS = 30.0


class Telling:
    """One connection's work. Several relays may tell the same."""

    def __init__(self, connection: BlockingConnection, *, ear: threading.Event):
        self._connection = connection
        self._ear = ear
        # Without confirms: nobody may be listening.
        self._channel: BlockingChannel = connection.channel()
        self._channel.exchange_declare(CONTROL_EXCHANGE, exchange_type="direct", durable=True)
        #: What was told last, to stop or to drop, and when, by request.
        self._told: dict[Cancel | Drop, float] = {}
        self._bounds = Bounds()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Raises what the broker or the database raise when they are gone."""
        while not stopping():
            self._ear.clear()
            self._tell_ends(time.monotonic())
            for topology, message in self._bounds.due(time.monotonic()):
                broker.tell(self._channel, topology, message)
            self._ear.wait(_PAUSE_SECONDS)
            self._connection.process_data_events(0)

    def _tell_ends(self, now: float) -> None:
        asked: dict[Cancel | Drop, Topology] = {
            **{Cancel(request_id=request_id): there for request_id, there in cancelling.open_requests().items()},
            **{Drop(request_id=request_id): there for request_id, there in abandoning.to_drop().items()},
        }
        told = {message: self._told[message] for message in asked if message in self._told}
        for message, topology in asked.items():
            if now - told.get(message, -CANCEL_AGAIN_SECONDS) >= CANCEL_AGAIN_SECONDS:
                broker.tell(self._channel, topology, message)
                told[message] = now
        self._told = told


class Bounds:
    """Which bounds are to be told now: those that changed, and from time to time all."""

    def __init__(self) -> None:
        self._looked = self._told = float("-inf")
        self._seen: object = None
        self._last: dict[str, Sessions | TenantSessions] = {}

    def due(self, now: float) -> list[sessions.Told]:
        if now - self._looked < _LOOK_AT_BOUNDS_SECONDS:
            return []
        self._looked = now
        everything = now - self._told >= BOUNDS_AGAIN_SECONDS
        seen = sessions.fingerprint()
        if seen == self._seen and not everything:
            return []
        found = sessions.all_bounds()
        changed = [each for each in found if everything or self._last.get(_whose(each[1])) != each[1]]
        self._seen, self._last = seen, {_whose(message): message for _, message in found}
        self._told = now if everything else self._told
        return changed


def _whose(bound: Sessions | TenantSessions) -> str:
    return bound.hypervisor_id if isinstance(bound, Sessions) else bound.tenant
