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
#: So many of our own heartbeats must have come back meanwhile: who hears not even itself calls nobody silent.
HEARD_MEANWHILE = 4
#: Seconds between two that count: after a broker hung, many come at once.
APART = 0.5


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
    #: How often we have heard ourselves since.
    missed: int = 0


@dataclass(frozen=True)
class Peers:
    """The other runners of the datacenter that one has heard of. Our own heartbeats come back by the same way as
    theirs. If silence alone counted, all runners would take, and then drain, everything after the broker was away."""

    known: tuple[tuple[str, Peer], ...] = ()
    #: When we last heard ourselves.
    own: float = float("-inf")

    def heard(self, runner_id: str, *, sequence: int, stopping: bool, now: float) -> Peers:
        """A heartbeat came in; one that was overtaken on its way changes nothing."""
        before = dict(self.known)
        if runner_id in before and before[runner_id].sequence >= sequence:
            return self
        before[runner_id] = Peer(now, sequence, stopping)
        return replace(self, known=tuple(sorted(before.items())))

    def heard_ourselves(self, now: float) -> Peers:
        """An own heartbeat came back."""
        if now - self.own < APART:
            return self
        known = [(name, replace(peer, missed=peer.missed + 1)) for name, peer in self.known]
        return Peers(tuple(known), now)

    def listening_anew(self) -> Peers:
        """The connection was lost."""
        return replace(self, known=tuple((name, replace(peer, missed=0)) for name, peer in self.known))

    def without_silent(self, now: float) -> Peers:
        """Without those that said nothing for so long although we could have heard it."""
        return replace(self, known=tuple((name, peer) for name, peer in self.known if not _is_gone(peer, now)))

    @property
    def at_work(self) -> tuple[str, ...]:
        """Those that take work."""
        return tuple(name for name, peer in self.known if not peer.stopping)


def _is_gone(peer: Peer, now: float) -> bool:
    return now - peer.heard >= GONE_AFTER and peer.missed >= HEARD_MEANWHILE
