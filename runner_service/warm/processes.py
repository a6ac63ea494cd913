# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python does not offer of Linux: how a process shows itself in /proc, and the end of all that it started."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
#: Seconds that killed processes may take to be gone.
_PATIENCE = 2.0
_PAUSE = 0.005

#: Where the fields of /proc/self/stat stand, behind the name in brackets (proc_pid_stat(5): 48 to 51).
_ARGUMENTS, _ENVIRONMENT = (45, 46), (47, 48)


def keep_descendants() -> None:
    """Whatever this process starts, and they start, stays below it in the tree of processes while it lives."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_descendants(process: int) -> None:
    """Kill a child that keeps its descendants, and them. It is not to be waited for before."""
    until = time.monotonic() + _PATIENCE
    _kill(process, signal.SIGSTOP)  # so that it starts no more of them, and they do not become somebody else's
    while (below := list(_descendants(process))) and time.monotonic() < until:
        for descendant in below:
            _kill(descendant, signal.SIGKILL)
        time.sleep(_PAUSE)
    _kill(process, signal.SIGKILL)


def _kill(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _descendants(process: int) -> Iterator[int]:
    """Those that live; a zombie of the stopped process is nobody any more."""
    parents = dict(_living())
    for one in parents:
        above = parents[one]
        while above in parents and above != process:
            above = parents[above]
        if above == process:
            yield one


def _living() -> Iterator[tuple[int, int]]:
    """Every process and its parent."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            yield int(directory.name), int(parent)


def show_as(arguments: list[bytes], environment: list[bytes], first: bytes) -> None:
    """What /proc shows of this process: arguments and environment of the run that it has become, as far as there is
    room; of the environment what begins with ``first`` before all else.

    The environment must have been set anew before: the text that it was read from is overwritten."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NAME, arguments[0])
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    _write(fields, _ENVIRONMENT, sorted(environment, key=lambda variable: not variable.startswith(first)))
    _write(fields, _ARGUMENTS, arguments)


def _write(fields: list[str], place: tuple[int, int], texts: list[bytes]) -> None:
    start, end = (int(fields[number]) for number in place)
    data = b"\0".join(texts)
    ctypes.memmove(start, data[: end - start - 1].ljust(end - start, b"\0"), end - start)
