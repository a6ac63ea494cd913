# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured: a row for each case, contestant and unit, with the spread over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """One value of one round."""

    contestant: str
    value: float
    unit: str = "s"


@dataclass(frozen=True)
class Row:
    """All rounds of a contestant. The values have the row's unit; the names say seconds because most are."""

    case: str
    contestant: str
    median_s: float
    min_s: float
    max_s: float
    rounds: int
    unit: str


def rows_of(case: str, readings: Iterable[Reading]) -> list[Row]:
    """A row for each contestant and unit, in the order in which they came first."""
    values: dict[tuple[str, str], list[float]] = {}
    for reading in readings:
        values.setdefault((reading.contestant, reading.unit), []).append(reading.value)
    return [_row(case, contestant, unit, measured) for (contestant, unit), measured in values.items()]


def _row(case: str, contestant: str, unit: str, values: Sequence[float]) -> Row:
    median, low, high = (round(value, 4) for value in (statistics.median(values), min(values), max(values)))
    return Row(case, contestant, median, low, high, len(values), unit)


HEAD = f"{'case':<16} {'contestant':<58} {'median':>10} {'min':>10} {'max':>10} {'unit':<9} {'rounds':>6}"


def line_of(row: Row) -> str:
    values = " ".join(f"{number(value):>10}" for value in (row.median_s, row.min_s, row.max_s))
    return f"{row.case:<16} {row.contestant:<58} {values} {row.unit:<9} {row.rounds:>6}"


def number(value: float) -> str:
    """Three digits that count, and no more after the point than that takes."""
    decimals = 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:,.{decimals}f}"
