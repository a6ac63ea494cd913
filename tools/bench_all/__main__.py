# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries the cases out one after another: one that breaks off is told, and takes nothing from the others."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType

from tools.bench_all.cases import CASES, Sizes
from tools.bench_all.place import BUILD, RUN
from tools.bench_all.report import lines, write
from tools.bench_all.rows import Reading, Row, rows_of
from tools.chaos.servers import Servers


def measure(chosen: Sequence[str], sizes: Sizes, broken: list[str]) -> list[Row]:
    """The rows of all cases; what breaks off is added to ``broken``."""
    rows: list[Row] = []
    with closing(Servers(RUN / "servers")) as servers:
        for case in chosen:
            rows += rows_of(case, list(_readings(case, sizes, servers, broken)))
    return rows


def _readings(case: str, sizes: Sizes, servers: Servers, broken: list[str]) -> Iterator[Reading]:
    print(f"{case} ...", flush=True)
    try:
        for reading in CASES[case](sizes, servers):
            print(f"  {time.strftime('%H:%M:%S')} {reading.contestant}: {reading.value:.3f} {reading.unit}", flush=True)
            yield reading
    except Exception:  # noqa: BLE001  # an hour of measuring is not lost because one case cannot be carried out
        broken.append(case)
        traceback.print_exc()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Millwright beside what others use.")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be given more than once")
    parser.add_argument("--rounds", type=int, default=Sizes.rounds)
    parser.add_argument("--vms", type=int, help="VMs of a contestant; of a hypervisor where there are many")
    parser.add_argument("--hypervisors", type=int, default=Sizes.hypervisors, help="how many are many")
    parser.add_argument("--repeats", type=int, default=Sizes.repeats, help="single VMs in a round")
    parser.add_argument("--jobs", type=int, default=Sizes.jobs, help="jobs over which memory must not grow")
    parser.add_argument("--into", type=Path, default=BUILD, help="the directory to write to")
    return parser.parse_args(arguments)


def main() -> None:
    chosen = parse(sys.argv[1:])
    # What was started is stopped also when somebody ends us.
    signal.signal(signal.SIGTERM, _leave)
    broken: list[str] = []
    told = {name: getattr(chosen, name) for name in ("rounds", "vms", "repeats", "hypervisors", "jobs")}
    rows = measure(chosen.case or list(CASES), Sizes(**told), broken)
    print("\n".join(["", *lines(rows)]))
    write(rows, chosen.into)
    if broken:
        sys.exit(f"broke off: {', '.join(broken)}")


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)


if __name__ == "__main__":
    main()
