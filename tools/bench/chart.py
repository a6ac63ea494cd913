# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts of cost against size, as SVG, without a library for it: both axes are logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 500, 320
#: On the right there is room for the names of the lines.
LEFT, RIGHT, TOP, BOTTOM = 60, 70, 40, 50
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
    """The charts side by side, with the same scale upwards, so that they can be compared."""
    up = _decades([value for chart in charts for value in (chart.target, *(y for _, y in _points(chart)))])
    parts = [
        f'<g transform="translate({number * WIDTH},0)">{_chart(chart, up)}</g>' for number, chart in enumerate(charts)
    ]
    return document(WIDTH * len(charts), HEIGHT, parts)


def document(width: float, height: float, parts: Sequence[str]) -> str:
    """A whole picture of this size."""
    size = f'width="{width:g}" height="{height:g}"'
    style = "<style>text{font:12px sans-serif}</style><rect width='100%' height='100%' fill='white'/>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(parts)}</svg>\n'


def _points(chart: Chart) -> list[tuple[float, float]]:
    return [point for line in chart.lines.values() for point in line]


class _Axes:
    """Where a point of the chart lies in the picture. Upwards whole powers of ten are at the ends; across it ends with
    the points, and the powers of ten between are marked."""

    def __init__(self, chart: Chart, up: range):
        sizes = [math.log10(x) for x, _ in _points(chart)]
        self._low, self._high = min(sizes), max(max(sizes), min(sizes) + 1)
        self.across = range(math.ceil(self._low), math.floor(self._high) + 1)
        self.up = up

    def x(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (math.log10(value) - self.up[0]) / (self.up[-1] - self.up[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _decades(values: Sequence[float]) -> range:
    low = math.floor(math.log10(min(values)))
    return range(low, max(low + 1, math.ceil(math.log10(max(values)))) + 1)


def _chart(chart: Chart, up: range) -> str:
    axes = _Axes(chart, up)
    return "".join([*_frame(chart), *_grid(axes), *_target(axes, chart.target), *_lines(axes, chart.lines)])


def _frame(chart: Chart) -> Iterator[str]:
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield text(middle, 20, chart.title, "middle")
    yield text(middle, HEIGHT - 12, chart.across, "middle")
    yield f'<g transform="translate(14,{HEIGHT / 2}) rotate(-90)">{text(0, 0, chart.up, "middle")}</g>'


def _grid(axes: _Axes) -> Iterator[str]:
    for decade in axes.across:
        x = axes.x(10.0**decade)
        yield line((x, TOP), (x, HEIGHT - BOTTOM), GRID)
        yield text(x, HEIGHT - BOTTOM + 16, _number(decade), "middle")
    for decade in axes.up:
        y = axes.y(10.0**decade)
        yield line((LEFT, y), (WIDTH - RIGHT, y), GRID)
        yield text(LEFT - 6, y + 4, _number(decade), "end")


def _target(axes: _Axes, target: float) -> Iterator[str]:
    y = axes.y(target)
    yield line((LEFT, y), (WIDTH - RIGHT, y), 'stroke="#208020" stroke-dasharray="5,4"')
    yield text(WIDTH - RIGHT + 8, y + 4, "target", "start", "#208020")


def _lines(axes: _Axes, lines: Mapping[str, Points]) -> Iterator[str]:
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        places = [(axes.x(x), axes.y(y)) for x, y in points]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
        yield text(places[-1][0] + 8, places[-1][1] + 4, name, "start", colour)


def _number(decade: int) -> str:
    return f"{10**decade:,}" if decade >= 0 else f"{10.0**decade:g}"


def line(start: tuple[float, float], end: tuple[float, float], stroke: str) -> str:
    return f'<path d="M{start[0]:.1f},{start[1]:.1f} L{end[0]:.1f},{end[1]:.1f}" {stroke}/>'


def text(x: float, y: float, words: str, anchor: str, colour: str = "black") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
