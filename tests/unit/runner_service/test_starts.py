# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many runs are at their start at once."""

from __future__ import annotations

import pytest

from runner_service import starts
from runner_service.starts import Starts


def test_as_many_as_may_be_and_one_for_each_that_has_ended() -> None:
    under_way = Starts(2)
    first, second = under_way.begin(), under_way.begin()
    assert not under_way.is_free
    under_way.end(first)
    under_way.end(first)
    assert under_way.is_free
    under_way.begin()
    assert not under_way.is_free
    under_way.end(second)
    assert under_way.is_free


def test_one_that_takes_too_long_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(starts.time, "monotonic", lambda: now)
    under_way = Starts(1, patience=5.0)
    hanging = under_way.begin()
    now += 4.9
    assert not under_way.is_free
    now += 0.1
    assert under_way.is_free
    under_way.begin()
    under_way.end(hanging)
    assert not under_way.is_free, "its late end is not that of another one"
