# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import multiprocessing
import signal

import pytest

from tools.chaos.jobs import JobsEnded, _at_work, _next

FORK = multiprocessing.get_context("fork")


def test_jobs_that_all_end_early_are_not_waited_for():
    with _at_work([FORK.Process(target=int)]) as processes, pytest.raises(JobsEnded):
        _next(FORK.Queue(), processes)


def test_whoever_leaves_early_ends_the_jobs():
    process = FORK.Process(target=signal.pause)
    with pytest.raises(KeyboardInterrupt), _at_work([process]):
        raise KeyboardInterrupt
    assert process.exitcode == -signal.SIGTERM
