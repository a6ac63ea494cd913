# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has come to, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tools.bench_all.bars import picture
from tools.bench_all.rows import HEAD, Row, line_of
from tools.bench_all.targets import verdicts


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table, and what of the targets is met."""
    yield HEAD
    yield from map(line_of, rows)
    yield ""
    yield from verdicts(rows)


def write(rows: Sequence[Row], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    (into / "bench.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    (into / "bench.svg").write_text(picture(rows))
