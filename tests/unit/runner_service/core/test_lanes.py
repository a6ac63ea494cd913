# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes: sessions are bounded, turns are taken, undoing goes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner_service.core.lanes import Lanes, Ticket


def ticket(name: str) -> Ticket:
    return Ticket("request", name)


def lanes_with(sessions: dict[str, int], waiting: list[tuple[str, str]], max_runs: int = 100) -> Lanes:
    lanes = Lanes(max_runs)
    for hypervisor, bound in sessions.items():
        lanes.open(hypervisor, bound)
    for hypervisor, job in waiting:
        lanes.offer(hypervisor, ticket(job), urgent=job.startswith("undo"))
    return lanes


def take_all(lanes: Lanes) -> list[str]:
    taken = []
    while (found := lanes.take()) is not None:
        taken.append(found.job_id)
    return taken


def test_a_lane_starts_no_more_than_its_sessions() -> None:
    lanes = lanes_with({"h": 2}, [("h", "a"), ("h", "b"), ("h", "c")])
    assert take_all(lanes) == ["a", "b"]
    lanes.release("h")
    assert take_all(lanes) == ["c"]


def test_undoing_goes_before_new_work() -> None:
    lanes = lanes_with({"h": 1}, [("h", "a"), ("h", "b"), ("h", "undo")])
    assert take_all(lanes) == ["undo"]


def test_lanes_take_turns_when_the_runner_is_full() -> None:
    lanes = lanes_with({"h": 9, "g": 9}, [("h", "h1"), ("h", "h2"), ("h", "h3"), ("g", "g1")], max_runs=2)
    assert take_all(lanes) == ["h1", "g1"]


def test_one_lane_does_not_wait_for_another() -> None:
    lanes = lanes_with({"h": 1, "g": 1}, [("h", "h1"), ("h", "h2"), ("g", "g1")])
    assert take_all(lanes) == ["h1", "g1"]


def test_a_withdrawn_job_does_not_start() -> None:
    lanes = lanes_with({"h": 1}, [("h", "a"), ("h", "b")])
    lanes.withdraw(ticket("a"))
    lanes.withdraw(ticket("a"))
    assert take_all(lanes) == ["b"]


def test_a_bound_that_changes_holds_from_then_on() -> None:
    lanes = lanes_with({"h": 2}, [("h", name) for name in "abcd"])
    assert take_all(lanes) == ["a", "b"]
    lanes.open("h", 1)
    lanes.release("h")
    assert take_all(lanes) == []
    lanes.release("h")
    assert take_all(lanes) == ["c"]


def test_a_waiting_job_has_a_place() -> None:
    lanes = lanes_with({"h": 1}, [("h", "a"), ("h", "b"), ("h", "undo")])
    assert [lanes.place(ticket(name)) for name in ("undo", "a", "b")] == [1, 2, 3]
    take_all(lanes)
    assert lanes.place(ticket("undo")) is None


def test_a_lane_is_there_while_a_request_has_work_for_it_even_if_that_work_waits_elsewhere() -> None:
    lanes = lanes_with({"h": 1}, [])
    lanes.open("h", 1)
    lanes.close("h")
    lanes.offer("h", ticket("tried again"), urgent=False)
    assert take_all(lanes) == ["tried again"]
    lanes.release("h")
    lanes.close("h")
    with pytest.raises(KeyError):
        lanes.offer("h", ticket("nobody's"), urgent=False)


@given(st.lists(st.sampled_from(["offer h", "offer g", "take", "release", "withdraw"]), max_size=60))
def test_bounds_hold_and_no_job_is_lost_or_started_twice(script: list[str]) -> None:
    lanes = lanes_with({"h": 2, "g": 1}, [], max_runs=2)
    home: dict[Ticket, str] = {}
    waiting: list[Ticket] = []
    running: list[Ticket] = []
    for number, act in enumerate(script):
        if act.startswith("offer"):
            job = ticket(str(number))
            home[job] = act[-1]
            lanes.offer(act[-1], job, urgent=number % 3 == 0)
            waiting.append(job)
        elif act == "take" and (taken := lanes.take()) is not None:
            waiting.remove(taken)
            running.append(taken)
        elif act == "release" and running:
            lanes.release(home[running.pop(0)])
        elif act == "withdraw" and waiting:
            lanes.withdraw(waiting.pop())
        in_use = [home[job] for job in running]
        assert (in_use.count("h") <= 2, in_use.count("g") <= 1, len(running) <= 2) == (True, True, True)
        assert len(running) == lanes.running
    while running or waiting:
        while (taken := lanes.take()) is not None:
            waiting.remove(taken)
            running.append(taken)
        lanes.release(home[running.pop()])
