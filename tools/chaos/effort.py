# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time: what a seed costs, whatever else the machine does meanwhile."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """Of this process, of those that it has started, and of what these have started.

    What a process has cost that its parent did not wait for is not in it: the runs of a runner that was killed.
    """
    ended = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in ended) + sum(_of_the_living(os.getpid()))


def _of_the_living(ancestor: int) -> list[float]:
    parents, costs = processes()
    below = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return [costs[pid] for pid in below - {ancestor}]


def processes() -> tuple[dict[int, int], dict[int, float]]:
    """Every process's parent, and its processor time with that of its children that have ended."""
    parents, costs = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in the second field may hold spaces and brackets, so the fields are counted from its end.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], costs[pid] = int(fields[1]), sum(map(int, fields[11:15])) / _TICKS
    return parents, costs
