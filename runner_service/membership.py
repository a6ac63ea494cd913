# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which partitions this runner consumes, by what it hears of the others; and how it gives one up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from .contract.control import Heartbeat
from .core.leaving import PATIENCE, Leaving, Move
from .core.partitions import Peers, partitions_of
from .ports import Broker, Delivery

log = logging.getLogger(__name__)

#: Seconds that a runner waits before it starts anything of a partition whose last runner broke off: longer than that
#: one, wherever it is cut off, needs to end what it ran (workers' polling and killing, about one second).
FENCE = 3.0


class MembershipRules(Protocol):
    """What a membership needs to know of the runner's rules. Times in seconds."""

    @property
    def runner_id(self) -> str: ...

    @property
    def partitions(self) -> int: ...

    @property
    def fence(self) -> float: ...


#: Partitions by what becomes of them.
Moves = dict[Move, set[int]]


class Membership:
    """Keeps the set of partitions right. Used by the orchestrator's thread only."""

    def __init__(self, broker: Broker, rules: MembershipRules, tell: Callable[[Callable[[], None]], None]):
        """``tell`` brings a call to the orchestrator's thread."""
        self._broker = broker
        self._rules = rules
        self._tell = tell
        self._peers = Peers()
        self._stopping = False
        #: What we consume, those that we are giving up included.
        self.consumed: frozenset[int] = frozenset()
        #: Those that are to be handed over once nothing of them runs; we still take what comes in.
        self._leaving: dict[int, Leaving] = {}
        #: Those that we have given up: nothing is started for them any more.
        self._left: frozenset[int] = frozenset()
        #: Those of them that the broker was asked to take back, and has not taken back yet.
        self._releasing: frozenset[int] = frozenset()
        #: What the broker was asked to consume.
        self._wanted: frozenset[int] | None = None
        #: Counts connections: what an earlier one has released says nothing.
        self._connection = 0
        #: Channels on which something came in, and until when a partition stays untouched.
        self._channels: set[int] = set()
        self._untouched_until: dict[int, float] = {}

    def heard(self, beat: Heartbeat) -> None:
        """Another runner lives, or our own words came back."""
        now = time.monotonic()
        if beat.runner_id == self._rules.runner_id:
            self._peers = self._peers.heard_ourselves(now)
        else:
            self._peers = self._peers.heard(beat.runner_id, sequence=beat.sequence, stopping=beat.stopping, now=now)

    def stop(self) -> None:
        """Give all partitions up."""
        self._stopping = True

    @property
    def draining(self) -> frozenset[int]:
        """Those that are on their way out."""
        return self._left | self._leaving.keys()

    def is_paused(self, partition: int) -> bool:
        """Nothing is to be started for it for the time being."""
        return partition in self._leaving and self._leaving[partition].paused

    def settle(self, idle: Callable[[int], bool]) -> Moves:
        """Consume our share, and see what becomes of the rest of what we consume: it is handed over while it is
        ``idle``, or at once if we stop. Those that were left are given up by ``release``."""
        share, now = self._share(), time.monotonic()
        moves: Moves = {Move.PAUSE: set(), Move.RESUME: set(), Move.GO: set()}
        for partition in sorted(self.consumed - share - self.draining):
            self._leaving[partition] = Leaving(now + PATIENCE)
            moves[Move.PAUSE].add(partition)
        self._go_on_leaving(share, now, idle, moves)
        if share != self._wanted:
            log.info("consuming partitions %s, giving up %s", sorted(share), sorted(self.draining) or "none")
            self._broker.consume(share)
            self._wanted = share
        self.consumed |= share
        return moves

    def _go_on_leaving(self, share: frozenset[int], now: float, idle: Callable[[int], bool], moves: Moves) -> None:
        for partition in share & self._leaving.keys():
            del self._leaving[partition]
            moves[Move.RESUME].add(partition)
        for partition, leaving in list(self._leaving.items()):
            self._leaving[partition], move = leaving.after(now, idle=self._stopping or idle(partition))
            if move in moves:
                moves[move].add(partition)
        for partition in moves[Move.GO]:
            del self._leaving[partition]
        self._left |= moves[Move.GO]

    def release(self, idle: Callable[[int], bool]) -> None:
        """Give those that we have left, and that are ``idle``, back to the broker. Until it has them they are not ours
        again, because what still comes in by the old channel goes back with it."""
        for partition in sorted(self._left - self._releasing):
            if idle(partition):
                self._releasing |= {partition}
                self._broker.release(
                    partition, partial(self._tell, partial(self._released, partition, self._connection))
                )

    def _released(self, partition: int, connection: int) -> None:
        if connection == self._connection:
            gone = {partition}
            self._releasing, self._left, self.consumed = (
                self._releasing - gone,
                self._left - gone,
                self.consumed - gone,
            )

    def _share(self) -> frozenset[int]:
        self._peers = self._peers.without_silent(time.monotonic())
        if self._stopping:
            return frozenset()
        # One that we have left goes out first, and comes back through the queue.
        me = self._rules.runner_id
        return partitions_of(me, (me, *self._peers.at_work), self._rules.partitions) - self._left

    def lost(self) -> None:
        """The connection is gone, and with it all that was on its way out."""
        self._peers = self._peers.listening_anew()
        self.consumed -= self.draining
        self._leaving.clear()
        self._left = self._releasing = frozenset()
        self._connection += 1

    def takes(self, delivery: Delivery) -> bool:
        """Whether the delivery is ours to handle. Others go back to the queue with their channel."""
        if delivery.tag.channel not in self._channels:
            self._channels.add(delivery.tag.channel)
            if delivery.again:
                self._untouched_until[delivery.partition] = time.monotonic() + self._rules.fence
        return delivery.partition in self.consumed - self._left

    def fence(self, partition: int) -> float:
        """Seconds for which nothing of the partition is to be started."""
        return self._untouched_until.get(partition, 0.0) - time.monotonic()
