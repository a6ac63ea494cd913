# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a partition is handed over, and how long its requests are held up for that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner_service.core.leaving import PATIENCE, REST, Leaving, Move


def test_a_partition_of_which_nothing_runs_is_left_at_once() -> None:
    assert Leaving(PATIENCE).after(0.0, idle=True)[1] is Move.GO
    assert Leaving(PATIENCE, paused=False).after(0.0, idle=True)[1] is Move.GO


def test_a_pause_that_was_too_short_is_followed_by_work_and_a_longer_pause() -> None:
    leaving = Leaving(PATIENCE)
    moves = []
    for now in range(0, 400, 10):
        leaving, move = leaving.after(float(now), idle=False)
        if move is not Move.STAY:
            moves.append((now, move))
    assert moves == [(30, Move.RESUME), (150, Move.PAUSE), (210, Move.RESUME)]


@given(st.floats(1.0, 100_000.0))
def test_it_is_left_in_the_end_however_long_runs_take_and_work_is_held_up_a_fifth_of_the_time(longest: float) -> None:
    """The worst that can be: work goes on with a run of full length that begins as the pause does."""
    leaving, now, paused = Leaving(PATIENCE), 0.0, 0.0
    pause_began: float | None = 0.0
    while pause_began is None or leaving.until < pause_began + longest:
        now = leaving.until
        leaving, move = leaving.after(now, idle=False)
        if pause_began is not None:
            paused += now - pause_began
        pause_began = now if move is Move.PAUSE else None
    left_at = pause_began + longest
    assert leaving.after(left_at, idle=True)[1] is Move.GO
    assert left_at <= max(PATIENCE, (2 * (REST + 1) + 1) * longest)
    assert paused * (REST + 1) <= pause_began + 1e-6
