# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runner consumes which partitions of a datacenter. Pure: every runner comes to the same answer by itself.

Runners may for a moment know of different peers and then want the same partition; the queue's single active consumer
sees to it that one of them has it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from math import ceil

#: Seconds without a heartbeat after which a runner counts as gone. One that works has one every second.
GONE_AFTER = 5.0
#: Seconds without an own heartbeat, which come back to us as those of all others, after which we count as deaf.
DEAF_AFTER = 2.5


def partitions_of(runner_id: str, runners: Collection[str], partitions: int) -> frozenset[int]:
    """The share of a runner among those that live.

    Every partition has one runner; no runner has more than one partition more than another would have to take; few
    partitions move when a runner comes or goes (rendezvous hashing with a bound)."""
    return frozenset(number for number, owner in enumerate(_owners(runners, partitions)) if owner == runner_id)


def _owners(runners: Collection[str], partitions: int) -> list[str]:
    most = ceil(partitions / len(runners))
    load: Counter[str] = Counter()
    owners = []
    for partition in range(partitions):
        able = [runner for runner in runners if load[runner] < most]
        owner = max(able, key=lambda runner: (_liking(runner, partition), runner))
        load[owner] += 1
        owners.append(owner)
    return owners


def _liking(runner: str, partition: int) -> int:
    return zlib.crc32(f"{partition}/{runner}".encode())


@dataclass(frozen=True)
class Peer:
    """Another runner, as it was last heard of. ``heard`` is a moment on the own clock."""

    heard: float
    sequence: int
    stopping: bool


@dataclass(frozen=True)
class Peers:
    """The other runners of the datacenter that one has heard of. Who is deaf calls nobody silent: after a broker was
    away, all runners would take, and then drain, everything."""

    known: tuple[tuple[str, Peer], ...] = ()
    #: Since when we have heard without a break, as our own heartbeats show, and the last of these.
    hearing_since: float | None = None
    own: float = 0.0

    def heard(self, runner_id: str, *, sequence: int, stopping: bool, now: float) -> Peers:
        """A heartbeat came in; one that was overtaken on its way changes nothing."""
        before = dict(self.known)
        if runner_id in before and before[runner_id].sequence >= sequence:
            return self
        before[runner_id] = Peer(now, sequence, stopping)
        return replace(self, known=tuple(sorted(before.items())))

    def heard_ourselves(self, now: float) -> Peers:
        """An own heartbeat came back."""
        return replace(self, own=now, hearing_since=now if self._deaf(now) else self.hearing_since)

    def deaf(self) -> Peers:
        """The connection is gone."""
        return replace(self, hearing_since=None)

    def _deaf(self, now: float) -> bool:
        return self.hearing_since is None or now - self.own >= DEAF_AFTER

    def without_silent(self, now: float) -> Peers:
        """Without those that said nothing for so long although we could have heard it."""
        if self._deaf(now):
            return self
        since = self.hearing_since or 0.0
        alive = [(name, peer) for name, peer in self.known if now - max(peer.heard, since) < GONE_AFTER]
        return replace(self, known=tuple(alive))

    @property
    def at_work(self) -> tuple[str, ...]:
        """Those that take work."""
        return tuple(name for name, peer in self.known if not peer.stopping)
