# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests go out next, so that nobody's wait behind all that others have asked for.

A queue of the broker is first come, first served, and a runner sees no more of it than it has taken. So a queue is
given no more than a *window* of requests that have not ended: a runner takes them at once, and its lanes arrange them.
Who may add to them is decided by what is *out*: of the queue, of the **line** (a tenant's requests of one priority) and
of the **seat** (those of a line that are for one hypervisor). A request may go out while

    queue + line + seat < window.

So one line alone fills half of the window at most, and with one hypervisor a third; the next one half of what is left,
and so on: of lines that come one after another, k leave 1 part in 2^k of the window free. A line that has nothing out
goes out at once while a place is free. Else it has one of the next that become free: lines with less out go first, and
of those with as much out the more urgent. So it waits until as many requests of its queue have ended as there are lines
without anything out, itself included (those that end the last of another line, which may come before it again, left
out). A hypervisor that hangs holds a third of the window at most, and nothing of what
the line asks of others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple


class Line(NamedTuple):
    """Requests that wait for each other, in order."""

    queue: str
    tenant: str
    priority: int


class Seat(NamedTuple):
    """The part of a line that is for one hypervisor."""

    line: Line
    hypervisor_id: str


class First(NamedTuple):
    """One of the first of a line."""

    number: int
    seat: Seat


class Out:
    """What is out, counted; and what that leaves room for."""

    def __init__(self, seats: Mapping[Seat, int], window: int):
        self._window = window
        self._seats: Counter[Seat] = Counter()
        self._lines: Counter[Line] = Counter()
        self._queues: Counter[str] = Counter()
        for seat, number in seats.items():
            self.add(seat, number)

    def add(self, seat: Seat, number: int = 1) -> None:
        self._seats[seat] += number
        self._lines[seat.line] += number
        self._queues[seat.line.queue] += number

    def of(self, line: Line) -> int:
        return self._lines[line]

    def has_room(self, line: Line) -> bool:
        """For a hypervisor of which the line has nothing out."""
        return self._queues[line.queue] + self._lines[line] < self._window

    def is_full(self, seat: Seat) -> bool:
        return self._queues[seat.line.queue] + self._lines[seat.line] + self._seats[seat] >= self._window

    def full_hypervisors(self, line: Line) -> list[str]:
        """Those of which the line may have nothing more out."""
        return [seat.hypervisor_id for seat in self._seats if seat.line == line and self.is_full(seat)]


def in_turn(lines: Iterable[Line], out: Out) -> list[Line]:
    """Lines that may have more out, the one whose turn it is first."""
    return sorted((line for line in lines if out.has_room(line)), key=lambda line: (out.of(line), line.priority, line))


def choose(firsts: Mapping[Line, Sequence[First]], out: Out, most: int) -> list[int]:
    """Numbers of the requests that go out now, of those that lines begin with; ``out`` counts them from now on."""
    turns = [_turn(line, out, list(reversed(first))) for line, first in firsts.items()]
    chosen: list[int] = []
    heapify(turns)
    while turns and len(chosen) < most:
        *_, line, rest = heappop(turns)
        if (first := _next(rest, out)) is not None:
            out.add(first.seat)
            chosen.append(first.number)
            heappush(turns, _turn(line, out, rest))
    return chosen


def _turn(line: Line, out: Out, rest: list[First]) -> tuple[int, int, Line, list[First]]:
    return out.of(line), line.priority, line, rest


def _next(rest: list[First], out: Out) -> First | None:
    """Room only shrinks meanwhile, so what has none now is passed over for good."""
    while rest:
        first = rest.pop()
        if not out.is_full(first.seat):
            return first
    return None
