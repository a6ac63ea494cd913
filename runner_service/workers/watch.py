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
from ..ports import Work
from .playbook_run import progress_file_of
from .run_directories import end_processes_of

#: MiB a second at which disks are copied where it is slowest: a shared network storage that others keep busy.
COPY_RATE = 10
#: MiB of a disk that is as large as its template; only the hypervisor knows how large that is.
TEMPLATE_SIZE = 32 * 1024
_COPIES = frozenset({Operation.CONFIGURE, Operation.RECONFIGURE})


class Watch:
    """The watch over one run. Progress that the run reports is a sign of life: its time begins anew."""

    def __init__(self, work: Work, directory: Path, cancelled: Callable[[], bool]):
        self.seconds = seconds_for(work.job, check=work.check)
        #: Why it was ended, if it was.
        self.passed = False
        self.stopped = False
        self._directory = directory
        self._cancelled = cancelled
        self._progress = 0
        self._end = time.monotonic() + self.seconds

    def is_over(self) -> bool:
        """Once it is, nothing of the run is left."""
        self._look_for_progress()
        self.stopped = self.stopped or self._cancelled()
        self.passed = self.passed or time.monotonic() > self._end
        if not (self.passed or self.stopped):
            return False
        # Here and not after the run, because ansible-runner waits for all who hold the terminal.
        end_processes_of(self._directory)
        return True

    def _look_for_progress(self) -> None:
        try:
            changed = progress_file_of(self._directory).stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed != self._progress:
            self._progress, self._end = changed, time.monotonic() + self.seconds


def seconds_for(job: Job, *, check: bool) -> int:
    """How long a run may be without a sign of life: by its operation, by what it waits for, and by what it copies."""
    copied = 0 if check else _mib_to_copy(job)
    return OPERATIONS[job.operation].deadline + (job.timeout or 0) + math.ceil(copied / COPY_RATE)


def _mib_to_copy(job: Job) -> int:
    if job.operation not in _COPIES or job.definition is None:
        return 0
    return sum(disk.get("size_mib") or TEMPLATE_SIZE for disk in job.definition.get("disks") or ())
