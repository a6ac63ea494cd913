# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench-core``: how fast the pure core decides, how that grows with what waits, and what remembering it takes.

Times are processor time of the measuring thread, so that a busy machine makes figures worse (caches, clock) but not
wrong. Prints a table; writes ``bench-core.json`` and ``bench-core.svg``, and, if the core misses its target, where its
time goes: ``bench-core-profile.txt``.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from tools.bench.decisions import measure_decisions, picture
from tools.bench.figures import SIZES, Figure, Sizes
from tools.bench.memory import measure_memory
from tools.bench.transitions import measure_core, profile_of_core

ROOT = Path(__file__).resolve().parents[1]


HEAD = f"{'case':<52} {'size':>8} {'value':>12} {'unit':<4} {'target':>8}"
VERDICTS = {None: "", True: "ok", False: "MISSED"}


def row(figure: Figure) -> str:
    target = "" if figure.target is None else f"{figure.target:,.0f}"
    value = f"{figure.value:,.1f}"
    verdict = VERDICTS[figure.ok]
    return f"{figure.case:<52} {figure.size:>8,} {value:>12} {figure.unit:<4} {target:>8} {verdict}".rstrip()


def shown(figures: Iterable[Figure]) -> Iterator[Figure]:
    """Print the table row by row, as it is measured: that takes minutes."""
    print(HEAD)
    for figure in figures:
        print(row(figure), flush=True)
        yield figure


def measure(sizes: Sizes) -> Iterator[Figure]:
    # Memory first: its processes must not compete with a large one of ours.
    for part in (measure_memory, measure_core, measure_decisions):
        yield from part(sizes)
        gc.collect()


def bench(sizes: Sizes, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    figures = list(shown(measure(sizes)))
    rows = [asdict(figure) for figure in figures]
    (into / "bench-core.json").write_text(json.dumps(rows, indent=1) + "\n")
    (into / "bench-core.svg").write_text(picture(figures))
    profile = into / "bench-core-profile.txt"
    profile.unlink(missing_ok=True)
    if any(figure.ok is False and figure.unit == "1/s" for figure in figures):
        profile_of_core(max(sizes.appliances), profile)
        print(f"where the core's time goes: {profile}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the runner's core.")
    parser.add_argument("--sizes", choices=SIZES, default="full")
    parser.add_argument("--into", type=Path, default=ROOT / "build", help="the directory to write to")
    chosen = parser.parse_args()
    bench(SIZES[chosen.sizes], chosen.into)


if __name__ == "__main__":
    main()
