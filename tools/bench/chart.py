# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts of cost against size, as SVG, without a library for it: both axes are logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
GRID = 'stroke="#dddddd"'
COLOURS = ("#1f5fa8", "#c05020", "#808080")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart: a line per name, and a dashed one at the target."""

    title: str
    across: str
    up: str
    lines: Mapping[str, Points]
    target: float


def svg(charts: Sequence[Chart]) -> str:
    """The charts side by side."""
    parts = [f'<g transform="translate({number * WIDTH},0)">{_chart(chart)}</g>' for number, chart in enumerate(charts)]
    size = f'width="{WIDTH * len(charts)}" height="{HEIGHT}"'
    style = "<style>text{font:12px sans-serif}</style><rect width='100%' height='100%' fill='white'/>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(parts)}</svg>\n'


class _Axes:
    """Where a point of the chart lies in the picture; whole powers of ten are at the ends of the axes."""

    def __init__(self, chart: Chart):
        points = [point for line in chart.lines.values() for point in line]
        self.across = _decades([x for x, _ in points])
        self.up = _decades([chart.target, *(y for _, y in points)])

    def x(self, value: float) -> float:
        return LEFT + _share(self.across, value) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - _share(self.up, value) * (HEIGHT - TOP - BOTTOM)


def _decades(values: Sequence[float]) -> range:
    low = math.floor(math.log10(min(values)))
    return range(low, max(low + 1, math.ceil(math.log10(max(values)))) + 1)


def _share(decades: range, value: float) -> float:
    return (math.log10(value) - decades[0]) / (decades[-1] - decades[0])


def _chart(chart: Chart) -> str:
    axes = _Axes(chart)
    return "".join([*_frame(chart), *_grid(axes), *_target(axes, chart.target), *_lines(axes, chart.lines)])


def _frame(chart: Chart) -> Iterator[str]:
    yield _text(WIDTH / 2, 20, chart.title, "middle")
    yield _text(WIDTH / 2, HEIGHT - 12, chart.across, "middle")
    yield f'<g transform="translate(14,{HEIGHT / 2}) rotate(-90)">{_text(0, 0, chart.up, "middle")}</g>'


def _grid(axes: _Axes) -> Iterator[str]:
    for decade in axes.across:
        x = axes.x(10.0**decade)
        yield _line((x, TOP), (x, HEIGHT - BOTTOM), GRID)
        yield _text(x, HEIGHT - BOTTOM + 16, f"{10.0**decade:,g}", "middle")
    for decade in axes.up:
        y = axes.y(10.0**decade)
        yield _line((LEFT, y), (WIDTH - RIGHT, y), GRID)
        yield _text(LEFT - 6, y + 4, f"{10.0**decade:,g}", "end")


def _target(axes: _Axes, target: float) -> Iterator[str]:
    y = axes.y(target)
    yield _line((LEFT, y), (WIDTH - RIGHT, y), 'stroke="#208020" stroke-dasharray="5,4"')
    yield _text(WIDTH - RIGHT - 4, y - 5, "target", "end")


def _lines(axes: _Axes, lines: Mapping[str, Points]) -> Iterator[str]:
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        places = [(axes.x(x), axes.y(y)) for x, y in points]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
        yield _text(LEFT + 8, places[0][1] - 7, name, "start")


def _line(start: tuple[float, float], end: tuple[float, float], stroke: str) -> str:
    return f'<path d="M{start[0]:.1f},{start[1]:.1f} L{end[0]:.1f},{end[1]:.1f}" {stroke}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
