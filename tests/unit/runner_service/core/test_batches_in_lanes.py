# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that share a run share its sessions: one has it after the other, and the bound holds for them together."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner_service.contract.messages import Hypervisor
from runner_service.contract.operations import Operation
from runner_service.core.lanes import Lanes, Priority, Ticket
from runner_service.core.pace import BATCH_SECONDS, GUESSED, MAX_BATCH, MAX_BATCH_SECONDS, Kind, Pace, kind_of
from tests.requests import definition, job


def lanes_with(jobs: Iterable[str], sessions: int = 1, request: str = "r", **options: object) -> Lanes:
    lanes = Lanes(max_runs=100)
    lanes.open("h", sessions)
    for name in jobs:
        lanes.offer("h", Ticket(request, name), priority=Priority.ORDINARY)
    return lanes


def anything(_ticket: Ticket) -> bool:
    return True


def test_followers_get_the_session_one_after_the_other_and_the_lane_gets_it_back() -> None:
    lanes = lanes_with("abcd")
    leader = lanes.take()
    assert leader == ("r", "a")
    followers = [lanes.follow([leader], anything) for _ in range(2)]
    assert followers == [("r", "b"), ("r", "c")]
    for ticket in (leader, *followers):
        assert lanes.take() is None
        (view,) = lanes.overview()
        assert (view.in_use, view.waiting) == (1, 1)
        assert ticket is not None
        lanes.release(ticket)
    assert lanes.take() == ("r", "d")


def test_it_does_not_matter_in_which_order_they_end() -> None:
    lanes = lanes_with("abc")
    leader = lanes.take()
    assert leader is not None
    second, third = (lanes.follow([leader], anything) for _ in range(2))
    assert second is not None
    assert third is not None
    for ticket in (third, leader, second):
        assert lanes.running == 1
        lanes.release(ticket)
    assert (lanes.running, lanes.overview()) == (0, [])


def test_sessions_come_back_when_fewer_jobs_are_left_than_the_batch_has_of_them() -> None:
    lanes = lanes_with("abcxy", sessions=2)
    one, two = lanes.take(), lanes.take()
    assert one is not None
    assert two is not None
    three = lanes.follow([one, two], anything)
    lanes.release(two)
    assert lanes.take() is None, "c has it now"
    lanes.release(one)
    assert lanes.take() == ("r", "x")
    assert three is not None
    lanes.release(three)
    assert lanes.take() == ("r", "y")


def test_the_tenants_requests_take_turns_in_a_batch_too_and_only_what_fits_follows() -> None:
    lanes = lanes_with("ab")
    lanes.offer("h", Ticket("other", "x"), priority=Priority.ORDINARY)
    lanes.offer("h", Ticket("strange", "y"), priority=Priority.ORDINARY, tenant="t")
    leader = lanes.take()
    assert leader == ("r", "a")
    assert lanes.follow([leader], lambda _ticket: False) is None
    assert lanes.follow([leader], anything) == ("other", "x")
    assert lanes.follow([leader], anything) == ("r", "b")
    assert lanes.follow([leader], anything) is None, "another tenant's session is its own"
    assert lanes.place(Ticket("strange", "y")) == 1


def test_jobs_of_another_priority_do_not_follow() -> None:
    lanes = lanes_with("a")
    leader = lanes.take()
    lanes.offer("h", Ticket("r", "undo"), priority=Priority.URGENT)
    assert leader is not None
    assert lanes.follow([leader], anything) is None


def test_a_job_that_has_ended_can_wait_again_while_its_batch_goes_on() -> None:
    lanes = lanes_with("abc")
    leader = lanes.take()
    assert leader is not None
    lanes.follow([leader], anything)
    lanes.release(leader)
    lanes.offer("h", leader, priority=Priority.ORDINARY)
    lanes.release(Ticket("r", "b"))
    assert lanes.take() == ("r", "c")


def test_the_tenants_bound_holds_for_its_batches() -> None:
    lanes = Lanes(max_runs=100)
    lanes.open("h", 3)
    for name in "abc":
        lanes.offer("h", Ticket("r", name), priority=Priority.ORDINARY, tenant="t", tenant_sessions=1)
    leader = lanes.take()
    assert leader is not None
    assert lanes.follow([leader], anything) == ("r", "b")
    lanes.release(leader)
    assert lanes.take() is None, "b has the tenant's only session"
    lanes.release(Ticket("r", "b"))
    assert lanes.take() == ("r", "c")


@given(st.data())
def test_whatever_ends_when_the_bound_holds_and_nothing_is_lost(data: st.DataObject) -> None:
    sessions = data.draw(st.integers(1, 3))
    jobs = [Ticket(f"r{number % 3}", str(number)) for number in range(12)]
    lanes = Lanes(max_runs=100)
    lanes.open("h", sessions)
    for ticket in jobs:
        lanes.offer("h", ticket, priority=Priority.ORDINARY, tenant=ticket.request_id)
    running: list[Ticket] = []
    ended: list[Ticket] = []
    while len(ended) < len(jobs):
        while (leader := lanes.take()) is not None:
            running.append(leader)
            for _ in range(data.draw(st.integers(0, 3))):
                if (follower := lanes.follow([leader], anything)) is not None:
                    running.append(follower)
        assert 0 < lanes.running <= min(sessions, len(running))
        ticket = running.pop(data.draw(st.integers(0, len(running) - 1)))
        lanes.release(ticket)
        ended.append(ticket)
    assert sorted(ended) == sorted(jobs)
    assert (lanes.running, lanes.overview()) == (0, [])


def test_what_runs_beside_a_job_is_of_its_lane() -> None:
    lanes = lanes_with("ab", sessions=3)
    lanes.open("g", 1)
    lanes.offer("g", Ticket("r", "x"), priority=Priority.ORDINARY)
    first = lanes.take()
    assert first == ("r", "a")
    assert (lanes.take_beside(first), lanes.take_beside(first)) == (("r", "b"), None)
    lanes.offer("h", Ticket("r", "c"), priority=Priority.ORDINARY)
    assert lanes.take() == ("r", "x"), "it is the other lane's turn"
    assert lanes.take_beside(first) == ("r", "c")
    lanes.offer("h", Ticket("r", "d"), priority=Priority.ORDINARY)
    assert lanes.take_beside(first) is None, "all sessions are in use"


def test_who_follows_is_found_at_once_however_many_wait() -> None:
    """Counted in looks at waiting jobs, as time would depend on the machine."""
    lanes = Lanes(max_runs=10)
    lanes.open("h", 1)
    for number in range(2_000):
        lanes.offer("h", Ticket(f"r{number}", "j"), priority=Priority.ORDINARY)
    leader = lanes.take()
    assert leader is not None
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        assert lanes.follow([leader], anything) == ("r1", "j")
    finally:
        sys.setprofile(None)
    assert calls < 50


HYPERVISOR = Hypervisor(id="h", type="fake", url="fake:///x")
KIND = Kind("fake", "h", Operation.CONFIGURE, check=False)


def test_nobody_is_put_together_before_it_is_known_how_long_it_takes() -> None:
    assert Pace().batch(KIND, 2) == 1


@pytest.mark.parametrize(
    ("seconds", "sessions", "jobs"),
    [
        (0.1, 1, 10),
        (0.1, 2, 20),
        (0.001, 2, MAX_BATCH),
        (0.0, 1, MAX_BATCH),
        (0.5, 2, 4),
        (0.6, 1, 1),
        (1.0, 2, 1),
        (60, 8, 1),
    ],
)
def test_a_batch_takes_about_a_second_or_is_none(seconds: float, sessions: int, jobs: int) -> None:
    pace = Pace()
    pace.took(KIND, seconds)
    assert pace.batch(KIND, sessions) == jobs
    assert pace.batch(KIND._replace(check=True), sessions) == 1, "each kind has a pace of its own"
    if jobs not in (1, MAX_BATCH):
        assert jobs * seconds / sessions == pytest.approx(BATCH_SECONDS)


def test_of_short_jobs_the_usual_one_counts() -> None:
    """The first one of a run takes longer than those that follow it."""
    pace = Pace()
    for seconds in (0.2, 0.02, 0.02, 0.02, 0.3):
        pace.took(KIND, seconds)
    assert pace.batch(KIND, 1) == 50


def test_one_that_took_longer_than_a_batch_should_counts_at_once() -> None:
    pace = Pace()
    for seconds in (*[0.01] * 20, 5.0):
        pace.took(KIND, seconds)
    assert pace.batch(KIND, 2) == 1
    for _ in range(5):
        pace.took(KIND, 0.05)
    assert pace.batch(KIND, 2) == 40


def test_what_is_copied_makes_another_kind() -> None:
    def kind(**disk: object) -> Kind:
        made = definition("web", disks=[{"name": "a", **disk}])
        return kind_of(HYPERVISOR, job("web", "configure", definition=made), check=False)

    small, large, copied = kind(size_mib=8), kind(size_mib=800_000), kind(template="/t.qcow2", clone="full")
    assert len({small, large, copied}) == 3
    assert kind(size_mib=8) == small
    asked = job("web", "configure", definition=definition("web", disks=[{"name": "a", "size_mib": 800_000}]))
    assert kind_of(HYPERVISOR, asked, check=True) == Kind("fake", "h", Operation.CONFIGURE, check=True), (
        "to look copies nothing"
    )


def test_of_a_hypervisor_that_nobody_knows_yet_a_few_jobs_go_together_as_others_of_its_type_say() -> None:
    pace = Pace()
    pace.took(KIND, 0.02)
    other = KIND._replace(hypervisor_id="other")
    assert (pace.batch(KIND, 2), pace.batch(other, 2)) == (MAX_BATCH, 2 * GUESSED)
    assert pace.batch(other._replace(hypervisor_type="vsphere"), 2) == 1
    pace.took(other, 3.0)
    assert (pace.batch(KIND, 2), pace.batch(other, 2)) == (MAX_BATCH, 1), "its own pace counts once it is known"
    assert pace.batch(KIND._replace(hypervisor_id="third"), 2) == 1, "the slowest of its type was just now"


def test_where_runs_take_long_to_start_batches_take_longer() -> None:
    pace = Pace()
    pace.took(KIND, 0.5)
    assert (pace.batch_seconds, pace.batch(KIND, 2)) == (BATCH_SECONDS, 4)
    pace.started(0.3)
    assert (pace.batch_seconds, pace.batch(KIND, 2)) == (3.0, 12)
    for seconds in (0.3, 20.0, 20.0):
        pace.started(seconds)
    assert (pace.batch_seconds, pace.batch(KIND, 2)) == (MAX_BATCH_SECONDS, 20)
    for _ in range(21):
        pace.started(0.05)
    assert pace.batch_seconds == BATCH_SECONDS, "the machine has time again"


def test_it_does_not_grow_with_all_it_has_ever_seen() -> None:
    pace = Pace()
    for number in range(10_500):
        pace.took(Kind("fake", str(number), Operation.RESET, check=False), 0.1)
    assert pace.batch(Kind("fake", "10499", Operation.RESET, check=False), 1) == 10
    forgotten = Kind("fake", "0", Operation.RESET, check=False)
    assert pace.batch(forgotten, 1) == GUESSED, "like one that was never seen"
