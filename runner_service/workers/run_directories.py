# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private directories of runs, and what a runner that was killed left in them: secrets and playbooks that still run."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

_PREFIX = "millwright-runner-"

#: Every process of a run has this variable; ansible-runner sets it to a directory below the run's.
MARK = "AWX_ISOLATED_DATA_DIR"

#: Seconds for killed processes to be gone: one in the depths of the kernel may stay for longer than is worth a wait.
PATIENCE = 2.0
_PAUSE = 0.02


class RunDirectories:
    """A directory of this runner's own (0700) that is locked while the runner lives, with one per run in it."""

    def __init__(self, parent: Path):
        with _alone(parent):
            #: Where all runs are, and nothing else.
            self.base = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock = os.open(self.base, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A fresh directory; afterwards it is gone with all that is in it, and no process of the run is left."""
        directory = Path(tempfile.mkdtemp(prefix="run-", dir=self.base))
        try:
            yield directory
        finally:
            end_processes_of(directory)
            shutil.rmtree(directory, ignore_errors=True)

    def close(self) -> None:
        _remove(self.base)
        os.close(self._lock)


def sweep(parent: Path) -> None:
    """End and remove what runners left that do not live any more."""
    with _alone(parent):
        for base in parent.glob(f"{_PREFIX}*"):
            with suppress(FileNotFoundError):  # its runner may have stopped just now
                _sweep(base)


def _sweep(base: Path) -> None:
    if base.stat().st_uid != os.getuid():
        return
    lock = _locked(base)
    if lock is not None:
        log.warning("a runner was killed: removing %s", base)
        _remove(base)
        os.close(lock)


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """Nobody else makes or sweeps directories in the parent meanwhile: one that is just made is not locked yet."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(base: Path) -> int | None:
    """A descriptor that holds the directory's lock, or None if somebody else does. The kernel frees it on death."""
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove(base: Path) -> None:
    end_processes_of(base)
    shutil.rmtree(base, ignore_errors=True)


def end_processes_of(directory: Path) -> bool:
    """Kill the processes of the runs below the directory; whether there were any. Ansible's workers have sessions of
    their own, so that killing the playbook's process group would leave them at work."""
    if not _kill_marked(directory):
        return False
    # What was just being forked, or was becoming another program, has shown itself to none or one of two looks.
    clean, until = 0, time.monotonic() + PATIENCE
    while clean < 2 and time.monotonic() < until:
        time.sleep(_PAUSE)
        clean = 0 if _kill_marked(directory) else clean + 1
    return True


def _kill_marked(directory: Path) -> int:
    killed = 0
    for process in _marked(directory):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            killed += 1
    return killed


def has_workers(directory: Path) -> bool:
    """Whether a process of the run has been started by another one of it: a playbook that works has one per host."""
    marked = set(_marked(directory))
    return any(_parent_of(process) in marked for process in marked)


def _parent_of(process: int) -> int | None:
    """None for one that has ended."""
    try:
        state, parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state in "ZX" else int(parent)


def _marked(directory: Path) -> Iterator[int]:
    mark = f"\0{MARK}={directory}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if _is_marked(b"\0" + (process / "environ").read_bytes(), mark):
                yield int(process.name)


def _is_marked(environment: bytes, mark: bytes) -> bool:
    place = environment.find(mark)
    return place >= 0 and environment[place + len(mark) : place + len(mark) + 1] in (b"/", b"\0", b"")
