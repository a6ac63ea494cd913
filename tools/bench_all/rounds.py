# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contestants alternate: in each round every one has a turn, in an order that turns round with each round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tools.bench_all.rows import Reading

#: One turn: does the work, checks that it was done, and takes it back outside of the measured time.
Turn = Callable[[], Iterable[Reading]]


def alternate(turns: Sequence[Turn], rounds: int) -> Iterator[Reading]:
    for number in range(rounds):
        for turn in turns if number % 2 == 0 else reversed(turns):
            yield from turn()
