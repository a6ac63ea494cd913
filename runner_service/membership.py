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
        self.draining: frozenset[int] = frozenset()
        #: Those of them that the broker was asked to take back, and has not taken back yet.
        self._releasing: frozenset[int] = frozenset()
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

    def settle(self) -> frozenset[int]:
        """Consume our share. Gives the partitions that are newly on their way out: nothing may be started for them any
        more, and they are given up by ``release``."""
        share = self._share()
        leaving = self.consumed - share - self.draining
        if share - self.consumed or leaving:
            log.info("consuming partitions %s, giving up %s", sorted(share), sorted(self.draining | leaving) or "none")
            self._broker.consume(share)
        self.consumed |= share
        self.draining |= leaving
        return leaving

    def release(self, idle: Callable[[int], bool]) -> None:
        """Give those that are on their way out, and ``idle``, back to the broker. Until it has them they are not ours
        again, because what still comes in by the old channel goes back with it."""
        for partition in sorted(self.draining - self._releasing):
            if idle(partition):
                self._releasing |= {partition}
                self._broker.release(
                    partition, partial(self._tell, partial(self._released, partition, self._connection))
                )

    def _released(self, partition: int, connection: int) -> None:
        if connection == self._connection:
            gone = {partition}
            self._releasing, self.draining, self.consumed = (
                self._releasing - gone,
                self.draining - gone,
                self.consumed - gone,
            )

    def _share(self) -> frozenset[int]:
        self._peers = self._peers.without_silent(time.monotonic())
        if self._stopping:
            return frozenset()
        # One that is on its way out goes out first, and comes back through the queue.
        me = self._rules.runner_id
        return partitions_of(me, (me, *self._peers.at_work), self._rules.partitions) - self.draining

    def lost(self) -> None:
        """The connection is gone, and with it all that was on its way out."""
        self._peers = self._peers.deaf()
        self.consumed -= self.draining
        self.draining = self._releasing = frozenset()
        self._connection += 1

    def takes(self, delivery: Delivery) -> bool:
        """Whether the delivery is ours to handle. Others go back to the queue with their channel."""
        if delivery.tag.channel not in self._channels:
            self._channels.add(delivery.tag.channel)
            if delivery.again:
                self._untouched_until[delivery.partition] = time.monotonic() + self._rules.fence
        return delivery.partition in self.consumed - self.draining

    def fence(self, partition: int) -> float:
        """Seconds for which nothing of the partition is to be started."""
        return self._untouched_until.get(partition, 0.0) - time.monotonic()
