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

#: Seconds without a status after which a runner counts as gone. One that works says something every second.
GONE_AFTER = 5.0


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
    """The other runners of the datacenter that one has heard of."""

    known: tuple[tuple[str, Peer], ...] = ()

    def heard(self, runner_id: str, *, sequence: int, stopping: bool, now: float) -> Peers:
        """A status came in; one that was overtaken on its way changes nothing."""
        before = dict(self.known)
        if runner_id in before and before[runner_id].sequence >= sequence:
            return self
        before[runner_id] = Peer(now, sequence, stopping)
        return replace(self, known=tuple(sorted(before.items())))

    def without_silent(self, now: float) -> Peers:
        return replace(self, known=tuple((name, peer) for name, peer in self.known if now - peer.heard < GONE_AFTER))

    @property
    def at_work(self) -> tuple[str, ...]:
        """Those that take work."""
        return tuple(name for name, peer in self.known if not peer.stopping)
