# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long jobs take, and so how many of them may share a run.

To start a run costs about a tenth of a second, and more where much is to be done at once, so that short jobs are put
together. Long ones are not: whoever comes meanwhile would have to wait for all of them, and when a run breaks off, all
that run in it have to be done again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from statistics import median
from typing import NamedTuple

from ..contract.messages import Hypervisor, Job
from ..contract.operations import Operation

#: Seconds that a batch should take: so many times as long as its run took to start, but no less than the first bound
#: and no more than the second.
START_SHARE = 10
BATCH_SECONDS, MAX_BATCH_SECONDS = 1.0, 5.0
#: Jobs that a batch has at most; for each session, while nothing is known of this hypervisor but of others of its type.
MAX_BATCH, GUESSED = 50, 4
#: So many of the last jobs of a kind are remembered, and of so many kinds; and so many of the last starts of runs.
_JOBS, _KINDS, _STARTS = 5, 10_000, 21

#: What of a disk says how long it takes to make.
_OF_A_DISK = ("template", "clone", "size_mib", "pool", "format")
#: Operations that make or change disks.
_ON_DISKS = frozenset({Operation.CONFIGURE, Operation.RECONFIGURE})


class Kind(NamedTuple):
    """Jobs that take about equally long."""

    hypervisor_type: str
    #: Empty: whichever of that type.
    hypervisor_id: str
    operation: Operation
    check: bool
    #: The disks that are worked on: a VM with others may take a thousand times as long.
    disks: str = ""


def kind_of(hypervisor: Hypervisor, job: Job, *, check: bool) -> Kind:
    disks = "" if check or job.operation not in _ON_DISKS else f"{_recipe(job.previous)} {_recipe(job.definition)}"
    return Kind(hypervisor.type, hypervisor.id, job.operation, check, disks)


def _recipe(definition: dict[str, object] | None) -> str:
    disks = (definition or {}).get("disks") or ()
    assert isinstance(disks, (list, tuple))
    return repr([[disk.get(name) for name in _OF_A_DISK] for disk in disks])


class Pace:
    """How long a job of a kind takes: usually, as the first one of a run takes longer than those that follow it; but as
    long as the slowest of the last few, if that took longer than a batch should."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Kind, deque[float]] = OrderedDict()
        self._starts: deque[float] = deque(maxlen=_STARTS)

    def took(self, kind: Kind, seconds: float) -> None:
        """A job of this kind has done its work in so many seconds. What failed, or had nothing to do, says nothing."""
        for known in (kind, _anywhere(kind)):
            seen = self._seen.pop(known, None) or deque(maxlen=_JOBS)
            seen.append(seconds)
            self._seen[known] = seen
            if len(self._seen) > _KINDS:
                self._seen.popitem(last=False)

    def started(self, seconds: float) -> None:
        """A run has begun with its first job so many seconds after it was to."""
        self._starts.append(seconds)

    @property
    def batch_seconds(self) -> float:
        """How long a batch should take just now."""
        usual = median(self._starts) if self._starts else 0.0
        return min(MAX_BATCH_SECONDS, max(BATCH_SECONDS, START_SHARE * usual))

    def batch(self, kind: Kind, sessions: int) -> int:
        """So many jobs make a good batch that has so many sessions. 1, if a batch is none: they take too long, or
        nobody knows how long they take."""
        if seen := self._seen.get(kind):
            return self._fitting(seen, sessions, MAX_BATCH)
        return self._fitting(self._seen.get(_anywhere(kind)), sessions, GUESSED * sessions)

    def _fitting(self, seen: Collection[float] | None, sessions: int, most: int) -> int:
        if not seen:
            return 1
        wanted, slowest = self.batch_seconds, max(seen)
        usual = slowest if slowest > wanted else median(seen)
        jobs = min(MAX_BATCH, most, int(wanted * sessions / max(usual, 1e-6)))
        return jobs if jobs > sessions else 1


def _anywhere(kind: Kind) -> Kind:
    return kind._replace(hypervisor_id="")
