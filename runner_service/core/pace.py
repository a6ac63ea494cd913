# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long jobs take, and so how many of them may share a run.

To start a run costs about a tenth of a second, so that short jobs are put together. Long ones are not: whoever comes
meanwhile would have to wait for all of them, and when a run breaks off, all that run in it have to be done again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ..contract.operations import Operation

#: Seconds that a batch should take, and jobs that it has at most.
BATCH_SECONDS = 1.0
MAX_BATCH = 50
#: How much the newest job counts in the mean.
_WEIGHT = 0.3
#: Kinds of jobs that are remembered, the last ones.
_KINDS = 10_000


class Kind(NamedTuple):
    """Jobs that take about equally long."""

    hypervisor_id: str
    operation: Operation
    check: bool


class Pace:
    """The mean duration of jobs by kind; newer ones count more."""

    def __init__(self) -> None:
        self._means: OrderedDict[Kind, float] = OrderedDict()

    def took(self, kind: Kind, seconds: float) -> None:
        """A job of this kind has ended after so many seconds at work."""
        mean = self._means.pop(kind, seconds)
        self._means[kind] = mean + _WEIGHT * (seconds - mean)
        if len(self._means) > _KINDS:
            self._means.popitem(last=False)

    def batch(self, kind: Kind, sessions: int) -> int:
        """So many jobs make a good batch that has so many sessions. 1, if a batch is none: they take too long, or
        nobody knows how long they take."""
        mean = self._means.get(kind)
        if mean is None:
            return 1
        jobs = min(MAX_BATCH, int(BATCH_SECONDS * sessions / max(mean, 1e-6)))
        return jobs if jobs > sessions else 1
