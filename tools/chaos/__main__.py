# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tools.chaos --seeds 100``: kill processes while VMs are deployed and undeployed, and look what is left.

Prints a line for every seed and a table at the end, writes build/chaos.json after every seed, and ends with 1 if any
promise was broken. Of a seed that broke one, logs and hypervisors are kept in build/chaos; ``--seed N`` repeats it.
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.chaos.jobs import results_of
from tools.chaos.plan import Plan, plan_of
from tools.chaos.report import Report, line, table
from tools.chaos.sizes import REAL, SIZES, size_of
from tools.stack import ROOT

DIRECTORY = ROOT / ".run" / "chaos"
BUILD = ROOT / "build"


def main() -> None:
    chosen = _arguments()
    # So that all is ended that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with _alone(chosen.directory):
        report = run(_plans(chosen), chosen.directory, chosen.jobs, Report(chosen.into))
    print(table(report.results))
    sys.exit(report.broken)


def _plans(chosen: argparse.Namespace) -> list[Plan]:
    seeds = [chosen.seed] if chosen.seed is not None else range(chosen.first, chosen.first + chosen.seeds)
    sizes = {seed: SIZES[chosen.form] if chosen.form else size_of(seed) for seed in seeds}
    # Those with real guests come last: they share the machine's libvirt with whoever else uses it.
    return [plan_of(seed, sizes[seed]) for seed in sorted(seeds, key=lambda seed: sizes[seed] is REAL)]


def run(plans: list[Plan], directory: Path, jobs: int, report: Report) -> Report:
    """Carry the plans out, so many at once; each is told, and reported, when it has ended."""
    for result in results_of(plans, directory, report.kept, min(jobs, len(plans))):
        report.add(result)
        print(line(result), flush=True)
    return report


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another chaos test runs in {directory}")
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--form", choices=SIZES, help="of all seeds; else every tenth is big, and every tenth real")
    parser.add_argument("--jobs", type=int, default=1, help="how many seeds at once")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="for servers and what runs")
    parser.add_argument("--into", type=Path, default=BUILD, help="for chaos.json and what is kept of failed seeds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
