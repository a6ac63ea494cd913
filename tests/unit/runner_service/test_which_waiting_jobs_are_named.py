# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A status names a bounded number of the jobs that wait; none is left out while there is room for it."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest

from runner_service import reporting
from runner_service.contract.operations import Priority
from runner_service.core.lanes import Lanes, Ticket
from runner_service.reporting import View, waiting_jobs


def waiting_in(lengths: dict[str, int]) -> View:
    """Lanes of one session each, in which so many jobs wait."""
    lanes = Lanes(10_000)
    for lane, waiting in lengths.items():
        lanes.open(lane, 1)
        for number in range(waiting + 1):
            name = f"{lane}.{number}"
            lanes.offer(lane, Ticket(name, name), priority=Priority.ORDINARY, tenant="A")
    while lanes.take():
        pass
    return View(requests=cast(Any, []), lanes=lanes, claims=cast(Any, None), membership=cast(Any, None))


def named(view: View) -> Counter[str]:
    return Counter(job.job_id.split(".")[0] for job in waiting_jobs(view))


def test_a_long_lane_has_what_short_ones_do_not_need():
    lengths = {"long": 333} | {f"h{number}": 1 for number in range(79)}
    assert named(waiting_in(lengths)) == lengths


def test_long_lanes_share_what_there_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reporting, "MAX_WAITING_NAMED", 20)
    assert named(waiting_in({"a": 100, "b": 3, "c": 100})) == {"a": 8, "b": 3, "c": 9}
    monkeypatch.setattr(reporting, "MAX_WAITING_NAMED", 2)
    assert named(waiting_in({"a": 5, "b": 5, "c": 5})) == {"a": 1, "b": 1, "c": 1}
