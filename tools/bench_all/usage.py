# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes cost: processor time, and memory that counts what is shared once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from tools.chaos.effort import processes

#: In the command line of a warm server; what it has forked is a run's.
WARM = "runner_service.warm"


def family(parents: Mapping[int, int], ancestor: int) -> set[int]:
    """The process and all below it."""
    below = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return below


def parts_of(roots: Mapping[str, int]) -> dict[str, set[int]]:
    """Processes by part: the warm servers of runners, with their runs, are a part of their own."""
    parents, _ = processes()
    parts = {name: family(parents, pid) for name, pid in roots.items()}
    warm = [family(parents, pid) for name in parts if name.startswith("runner") for pid in _warm(parts[name], parents)]
    together = set().union(*warm)
    return {**{name: pids - together for name, pids in parts.items()}, "warm": together}


def _warm(runner: Iterable[int], parents: Mapping[int, int]) -> list[int]:
    """The servers themselves: nobody above them is one."""
    found = {pid for pid in runner if WARM in _command(pid)}
    return [pid for pid in found if parents.get(pid) not in found]


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""


def cpu_of(parts: Mapping[str, set[int]]) -> dict[str, float]:
    """Seconds by part, with those of children that have ended."""
    _, costs = processes()
    return {name: sum(costs.get(pid, 0.0) for pid in pids) for name, pids in parts.items()}


def pss_of(parts: Mapping[str, set[int]]) -> dict[str, float]:
    """MB by part."""
    return {name: sum(map(_pss, pids)) for name, pids in parts.items()}


def _pss(pid: int) -> float:
    return sum(kilobytes * 1024 / 1e6 for kilobytes in _kilobytes(pid))


def _kilobytes(pid: int) -> Iterator[int]:
    with suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        yield from (int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
