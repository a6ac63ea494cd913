# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long jobs take, and so how many of them may share a run.

To start a run costs about a tenth of a second, so that short jobs are put together. Long ones are not: whoever comes
meanwhile would have to wait for all of them, and when a run breaks off, all that run in it have to be done again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from statistics import median
from typing import NamedTuple

from ..contract.messages import Job
from ..contract.operations import Operation

#: Seconds that a batch should take, and jobs that it has at most.
BATCH_SECONDS = 1.0
MAX_BATCH = 50
#: So many of the last jobs of a kind are remembered, and of so many kinds.
_JOBS, _KINDS = 5, 10_000

#: What of a disk says how long it takes to make.
_OF_A_DISK = ("template", "clone", "size_mib", "pool", "format")
#: Operations that make or change disks.
_ON_DISKS = frozenset({Operation.CONFIGURE, Operation.RECONFIGURE})


class Kind(NamedTuple):
    """Jobs that take about equally long."""

    hypervisor_id: str
    operation: Operation
    check: bool
    #: The disks that are worked on: a VM with others may take a thousand times as long.
    disks: str = ""


def kind_of(hypervisor_id: str, job: Job, *, check: bool) -> Kind:
    disks = "" if check or job.operation not in _ON_DISKS else f"{_recipe(job.previous)} {_recipe(job.definition)}"
    return Kind(hypervisor_id, job.operation, check, disks)


def _recipe(definition: dict[str, object] | None) -> str:
    disks = (definition or {}).get("disks") or ()
    assert isinstance(disks, (list, tuple))
    return repr([[disk.get(name) for name in _OF_A_DISK] for disk in disks])


class Pace:
    """How long a job of a kind takes: usually, as the first one of a run takes longer than those that follow it; but as
    long as the slowest of the last few, if that took longer than a batch should."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Kind, deque[float]] = OrderedDict()

    def took(self, kind: Kind, seconds: float) -> None:
        """A job of this kind has done its work in so many seconds. What failed, or had nothing to do, says nothing."""
        seen = self._seen.pop(kind, None) or deque(maxlen=_JOBS)
        seen.append(seconds)
        self._seen[kind] = seen
        if len(self._seen) > _KINDS:
            self._seen.popitem(last=False)

    def batch(self, kind: Kind, sessions: int) -> int:
        """So many jobs make a good batch that has so many sessions. 1, if a batch is none: they take too long, or
        nobody knows how long they take."""
        seen = self._seen.get(kind)
        if not seen:
            return 1
        slowest = max(seen)
        usual = slowest if slowest > BATCH_SECONDS else median(seen)
        jobs = min(MAX_BATCH, int(BATCH_SECONDS * sessions / max(usual, 1e-6)))
        return jobs if jobs > sessions else 1
