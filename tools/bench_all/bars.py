# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture: a group of bars for each case and unit, each group on a scale of its own, with the spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.bench.chart import COLOURS, document, line, text
from tools.bench_all.rows import Row, number

NAMES, BARS, RIGHT = 330, 460, 110
STEP, HEAD = 22, 34


def picture(rows: Sequence[Row]) -> str:
    parts: list[str] = []
    top = 10
    for (case, unit), group in _groups(rows).items():
        parts += _group(f"{case}, {unit}", group, top)
        top += HEAD + STEP * len(group)
    return document(NAMES + BARS + RIGHT, top + 10, parts)


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, row.unit), []).append(row)
    return groups


def _group(title: str, rows: Sequence[Row], top: float) -> Iterator[str]:
    longest = max(max(row.max_s for row in rows), 1e-9)
    yield text(NAMES, top + 16, title, "start")
    for place, row in enumerate(rows):
        yield from _bar(row, top + 24 + STEP * place, BARS / longest)


def _bar(row: Row, top: float, scale: float) -> Iterator[str]:
    colour = COLOURS[0] if row.contestant.startswith("Millwright") else COLOURS[2]
    low, mid, high = (max(0.0, value) * scale for value in (row.min_s, row.median_s, row.max_s))
    yield text(NAMES - 8, top + 12, row.contestant, "end")
    yield f'<rect x="{NAMES}" y="{top:.1f}" width="{mid:.1f}" height="16" fill="{colour}"/>'
    yield line((NAMES + low, top + 8), (NAMES + high, top + 8), 'stroke="black"')
    yield text(NAMES + high + 8, top + 12, number(row.median_s), "start")
