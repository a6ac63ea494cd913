# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several seeds side by side, each job with servers of its own: most of a seed is waiting."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from tools.chaos.pattern import pattern
from tools.chaos.plan import Plan
from tools.chaos.servers import Servers
from tools.chaos.trial import Home, Result, Trial

if TYPE_CHECKING:
    Plans = multiprocessing.Queue[Plan | None]
    Results = multiprocessing.Queue[Result]

#: Their state is only what is handed to them; and a fork costs nothing.
_PROCESSES = multiprocessing.get_context("fork")


class JobsEnded(Exception):
    """All jobs have ended, and seeds are left; what they said is on the standard error output."""


def results_of(plans: Sequence[Plan], directory: Path, kept: Path, jobs: int) -> Iterator[Result]:
    """The results in the order in which the seeds end; of failed ones all is kept."""
    waiting: Plans = _PROCESSES.Queue()
    ended: Results = _PROCESSES.Queue()
    for plan in [*plans, *[None] * jobs]:
        waiting.put(plan)
    # Whoever leaves early does not wait for somebody to take the rest.
    waiting.cancel_join_thread()
    homes = [directory / f"job-{number}" for number in range(jobs)]
    with _at_work([_PROCESSES.Process(target=_work, args=(waiting, ended, home, kept)) for home in homes]) as processes:
        for _ in plans:
            yield _next(ended, processes)


@contextmanager
def _at_work(processes: Sequence[BaseProcess]) -> Iterator[Sequence[BaseProcess]]:
    """They run meanwhile; whoever leaves early ends them, and they end what they have started."""
    try:
        for process in processes:
            process.start()
        yield processes
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.join()


def _next(ended: Results, processes: Sequence[BaseProcess]) -> Result:
    while True:
        alive = any(process.is_alive() for process in processes)
        try:
            return ended.get(timeout=1)
        except queue.Empty:
            if not alive:
                raise JobsEnded("all jobs of the chaos have ended before their time") from None


def _work(waiting: Plans, ended: Results, directory: Path, kept: Path) -> None:
    # So that all is ended that was started. Ctrl-C goes to all of us: who started us tells us then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: None)
    with closing(Servers(directory / "servers")) as servers, pattern(servers, directory / "pattern") as made:
        for plan in iter(waiting.get, None):
            ended.put(Trial(plan, Home(directory, kept, servers, made)).run())
