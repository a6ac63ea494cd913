# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run is ended before it ends by itself: its time is over, or nobody wants it any more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from ..contract.messages import Job
from ..contract.operations import OPERATIONS, Operation
from .hearing import Hearing
from .playbook_run import progress_file_of
from .run_directories import end_processes_of, has_workers

#: MiB a second at which disks are copied where it is slowest: a shared network storage that others keep busy.
COPY_RATE = 10
#: MiB of a disk that is as large as its template; only the hypervisor knows how large that is.
TEMPLATE_SIZE = 32 * 1024
#: Seconds that a run has to end when the last of its jobs has. It holds no session any more, but a thread of ours.
LAST_WORDS = 10.0
#: Seconds between two looks at whether anybody works for the hosts that have begun.
LOOK_EVERY = 2.0
_COPIES = frozenset({Operation.CONFIGURE, Operation.RECONFIGURE, Operation.CAPTURE})


class Watch:
    """The watch over one batch. Progress that its run reports is a sign of life of all its jobs: their time begins
    anew."""

    def __init__(self, hearing: Hearing, directory: Path, cancelled: Callable[[], bool]):
        #: Why it was ended, if it was: a job's time was over, or nobody wanted it any more.
        self.passed: set[tuple[str, str]] = set()
        self.stopped = False
        #: Or nobody works any more at what has begun. Ansible does not see it when a worker dies whose place it has
        #: given to the next host.
        self.deserted = False
        self._hearing = hearing
        self._directory = directory
        self._cancelled = cancelled
        self._progress = 0
        self._alive_at = self._began_at = self._looked_at = time.monotonic()
        self._was_empty = False

    def is_over(self) -> bool:
        """Once it is, nothing of the run is left."""
        self._look_for_progress()
        self.stopped = self.stopped or self._cancelled()
        self._look_at_the_clock()
        self._look_for_workers()
        is_late = self._hearing.is_done and time.monotonic() - self._hearing.told_at > LAST_WORDS
        if not (self.passed or self.stopped or self.deserted or is_late):
            return False
        # Here and not after the run, because ansible-runner waits for all who hold the terminal.
        end_processes_of(self._directory)
        return True

    def _look_at_the_clock(self) -> None:
        """Of jobs that have begun; and of the run itself, which may hang before the first one has, or the next one."""
        now = time.monotonic()
        for job in self._hearing.waiting_for:
            seconds = seconds_for(job.work.job, check=job.work.check)
            since = job.since if job.listening.begun else max(self._began_at, self._hearing.told_at)
            if now - max(since, self._alive_at) > seconds:
                self.passed.add(job.work.id)

    def _look_for_workers(self) -> None:
        """Twice, as there is none for a moment between two hosts; and not before somebody could have come."""
        now = time.monotonic()
        begun = [job for job in self._hearing.waiting_for if job.listening.begun]
        if now - self._looked_at < LOOK_EVERY or not begun:
            return
        self._looked_at = now
        is_empty = not has_workers(self._directory)
        self.deserted = self._was_empty and is_empty and now - max(job.since for job in begun) > LOOK_EVERY
        self._was_empty = is_empty

    def _look_for_progress(self) -> None:
        try:
            changed = progress_file_of(self._directory).stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed != self._progress:
            self._progress, self._alive_at = changed, time.monotonic()


def seconds_for(job: Job, *, check: bool) -> int:
    """How long a run may be without a sign of life: by its operation, by what it waits for, and by what it copies."""
    copied = 0 if check else _mib_to_copy(job)
    return OPERATIONS[job.operation].deadline + (job.timeout or 0) + math.ceil(copied / COPY_RATE)


def _mib_to_copy(job: Job) -> int:
    if job.operation not in _COPIES or job.definition is None:
        return 0
    return sum(disk.get("size_mib") or TEMPLATE_SIZE for disk in job.definition.get("disks") or ())
