# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes: sessions are bounded, turns are taken, undoing goes first."""

from __future__ import annotations

import pytest

from runner_service.contract.operations import OPERATIONS, Operation
from runner_service.core.lane import MAX_PASSED
from runner_service.core.lanes import Lanes, LaneView, Priority, Ticket, priority_of

URGENT, ORDINARY, LONG = Priority


def ticket(name: str) -> Ticket:
    """``a`` is a job of a request of that name, ``r.a`` one of the request r, ``t/r.a`` one of the tenant t."""
    request, _, job = name.rpartition("/")[2].rpartition(".")
    return Ticket(request or job, name)


def offer(lanes: Lanes, hypervisor: str, *names: str, priority: Priority = ORDINARY, bound: int | None = None) -> None:
    for name in names:
        tenant = name.rpartition("/")[0]
        lanes.offer(hypervisor, ticket(name), priority=priority, tenant=tenant, tenant_sessions=bound)


def lanes_with(sessions: dict[str, int], waiting: dict[str, str] | None = None, max_runs: int = 100) -> Lanes:
    lanes = Lanes(max_runs)
    for hypervisor, bound in sessions.items():
        lanes.open(hypervisor, bound)
    for hypervisor, names in (waiting or {}).items():
        offer(lanes, hypervisor, *names.split())
    return lanes


def take_all(lanes: Lanes) -> str:
    """What starts now."""
    taken = []
    while (found := lanes.take()) is not None:
        taken.append(found.job_id)
    return " ".join(taken)


def run_all(lanes: Lanes) -> str:
    """What starts, in order, if each run ends before the next one starts."""
    started = []
    while (found := lanes.take()) is not None:
        started.append(found.job_id)
        lanes.release(found)
    return " ".join(started)


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_a_lane_starts_no_more_than_its_sessions() -> None:
    lanes = lanes_with({"h": 2}, {"h": "a b c"})
    assert take_all(lanes) == "a b"
    lanes.release(ticket("a"))
    assert take_all(lanes) == "c"


def test_one_lane_does_not_wait_for_another() -> None:
    lanes = lanes_with({"h": 1, "g": 1}, {"h": "h1 h2", "g": "g1"})
    assert take_all(lanes) == "h1 g1"


def test_lanes_take_turns_when_the_runner_is_full() -> None:
    lanes = lanes_with({"h": 9, "g": 9}, {"h": "h1 h2 h3", "g": "g1"}, max_runs=2)
    assert take_all(lanes) == "h1 g1"


def test_a_bound_that_is_lowered_lets_what_runs_end_and_starts_nothing_for_it() -> None:
    lanes = lanes_with({"h": 2}, {"h": "a b c d"})
    assert take_all(lanes) == "a b"
    lanes.set_sessions("h", 1)
    lanes.release(ticket("a"))
    assert take_all(lanes) == ""
    lanes.release(ticket("b"))
    assert take_all(lanes) == "c"


def test_a_bound_that_is_raised_holds_at_once() -> None:
    lanes = lanes_with({"h": 1}, {"h": "a b c"})
    assert take_all(lanes) == "a"
    lanes.set_sessions("h", 2)
    assert take_all(lanes) == "b"
    lanes.open("h", 3)
    assert take_all(lanes) == "c"


def test_the_bound_of_a_lane_that_is_not_open_is_nobodys_business() -> None:
    lanes = lanes_with({})
    lanes.set_sessions("h", 5)
    lanes.open("h", 1)
    offer(lanes, "h", "a", "b")
    assert take_all(lanes) == "a"


def test_a_tenant_at_its_bound_is_passed_over_and_blocks_nobody() -> None:
    lanes = lanes_with({"h": 3})
    offer(lanes, "h", "t/a", "t/b", bound=1)
    offer(lanes, "h", "u/c")
    assert take_all(lanes) == "t/a u/c"
    lanes.release(ticket("t/a"))
    assert take_all(lanes) == "t/b"


def test_a_tenants_bound_is_per_hypervisor_and_over_all_priorities() -> None:
    lanes = lanes_with({"h": 3, "g": 3})
    offer(lanes, "h", "t/a", bound=1)
    offer(lanes, "h", "t/urgent", bound=1, priority=URGENT)
    offer(lanes, "g", "t/b", bound=1)
    assert take_all(lanes) == "t/urgent t/b"


def test_the_latest_offer_says_a_tenants_bound() -> None:
    lanes = lanes_with({"h": 3})
    offer(lanes, "h", "t/a", "t/b", bound=1)
    assert take_all(lanes) == "t/a"
    offer(lanes, "h", "t/c", bound=2)
    assert take_all(lanes) == "t/b"
    offer(lanes, "h", "t/d")
    assert take_all(lanes) == "t/c"


# -- power operations past the bound ----------------------------------------------------------------------------------


def test_urgent_jobs_keep_to_the_bound_unless_they_are_let_past_it() -> None:
    lanes = lanes_with({"h": 1}, {"h": "a"})
    assert take_all(lanes) == "a"
    offer(lanes, "h", "power", priority=URGENT)
    assert take_all(lanes) == ""
    lanes.open("h", 1, power_passes=True)
    assert take_all(lanes) == "power"
    assert lanes.overview() == [LaneView("h", sessions=1, in_use=1, waiting=0)]
    assert lanes.running == 2


def test_what_runs_past_the_bound_frees_no_session_when_it_ends() -> None:
    lanes = lanes_with({})
    lanes.open("h", 1, power_passes=True)
    offer(lanes, "h", "a", "b")
    assert take_all(lanes) == "a"
    offer(lanes, "h", "power", priority=URGENT)
    assert take_all(lanes) == "power"
    lanes.release(ticket("power"))
    assert take_all(lanes) == ""


def test_power_passes_a_tenants_bound_as_well() -> None:
    lanes = lanes_with({})
    lanes.open("h", 5, power_passes=True)
    offer(lanes, "h", "t/a", bound=1)
    offer(lanes, "h", "t/power", bound=1, priority=URGENT)
    assert take_all(lanes) == "t/power"
    offer(lanes, "h", "t/power again", bound=1, priority=URGENT)
    assert take_all(lanes) == "t/power again"
    lanes.set_sessions("h", 5, power_passes=False)
    offer(lanes, "h", "t/power at last", bound=1, priority=URGENT)
    assert take_all(lanes) == ""


def test_power_that_passes_holds_to_the_runners_own_bound() -> None:
    lanes = Lanes(max_runs=1)
    lanes.open("h", 1, power_passes=True)
    offer(lanes, "h", "a", "b", priority=URGENT)
    assert take_all(lanes) == "a"


# -- turns ------------------------------------------------------------------------------------------------------------


def test_undoing_and_power_go_first_then_ordinary_work_then_long_copies() -> None:
    lanes = lanes_with({"h": 1})
    for name, priority in (("long", LONG), ("ordinary", ORDINARY), ("urgent", URGENT)):
        offer(lanes, "h", name, priority=priority)
    assert run_all(lanes) == "urgent ordinary long"


@pytest.mark.parametrize("lower", [ORDINARY, LONG])
def test_who_was_passed_over_often_enough_has_a_turn(lower: Priority) -> None:
    lanes = lanes_with({"h": 1})
    offer(lanes, "h", "x", "y", priority=lower)
    offer(lanes, "h", *"abcdefghi", priority=URGENT)
    assert MAX_PASSED == 4
    assert run_all(lanes) == "a b c d x e f g h y i"


def test_tenants_take_turns() -> None:
    lanes = lanes_with({"h": 1}, {"h": "t/a t/b t/c u/d u/e v/f"})
    assert run_all(lanes) == "t/a u/d v/f t/b u/e t/c"


def test_requests_of_a_tenant_take_turns_and_a_requests_jobs_do_not() -> None:
    lanes = lanes_with({"h": 1}, {"h": "t/r.1 t/r.2 t/r.3 t/s.4 t/s.5"})
    assert run_all(lanes) == "t/r.1 t/s.4 t/r.2 t/s.5 t/r.3"


def test_a_large_deploy_does_not_starve_another_tenants_power_on() -> None:
    lanes = lanes_with({"h": 2})
    for number in range(500):
        offer(lanes, "h", f"big/deploy.configure {number}")
        offer(lanes, "h", f"big/deploy.power {number}", priority=URGENT)
    assert take_all(lanes) == "big/deploy.power 0 big/deploy.power 1"
    offer(lanes, "h", "small/power", priority=URGENT)
    lanes.release(ticket("big/deploy.power 0"))
    lanes.release(ticket("big/deploy.power 1"))
    assert take_all(lanes) == "big/deploy.power 2 small/power"


# -- coming and going -------------------------------------------------------------------------------------------------


def test_a_withdrawn_job_does_not_start() -> None:
    lanes = lanes_with({"h": 1}, {"h": "a b"})
    lanes.withdraw(ticket("a"))
    lanes.withdraw(ticket("a"))
    assert take_all(lanes) == "b"


def test_a_job_that_is_offered_twice_waits_once() -> None:
    lanes = lanes_with({"h": 1}, {"h": "a b a"})
    assert run_all(lanes) == "a b"


def test_a_lane_is_there_while_a_request_has_work_for_it_even_if_that_work_waits_elsewhere() -> None:
    lanes = lanes_with({"h": 1})
    lanes.open("h", 1)
    lanes.close("h")
    offer(lanes, "h", "tried again")
    assert run_all(lanes) == "tried again"
    lanes.close("h")
    with pytest.raises(KeyError):
        offer(lanes, "h", "nobody's")


def test_a_lane_that_is_closed_while_something_runs_still_counts_it() -> None:
    lanes = lanes_with({"h": 1}, {"h": "cut-off"})
    assert take_all(lanes) == "cut-off"
    lanes.close("h")
    lanes.open("h", 1)
    offer(lanes, "h", "again")
    assert take_all(lanes) == ""
    lanes.release(ticket("cut-off"))
    assert take_all(lanes) == "again"


# -- for people -------------------------------------------------------------------------------------------------------


def test_a_waiting_job_has_a_place() -> None:
    lanes = lanes_with({"h": 1}, {"h": "a b"})
    offer(lanes, "h", "undo", priority=URGENT)
    assert [lanes.place(ticket(name)) for name in ("undo", "a", "b")] == [1, 2, 3]
    take_all(lanes)
    assert lanes.place(ticket("undo")) is None


def test_the_order_names_as_many_as_are_asked_for() -> None:
    lanes = lanes_with({"h": 1}, {"h": "t/a t/b u/c"})
    assert [waiting.job_id for waiting in lanes.order("h", 2)] == ["t/a", "u/c"]
    assert lanes.order("nowhere", 2) == []


def test_the_overview_shows_the_lanes_in_which_something_runs_or_waits() -> None:
    lanes = lanes_with({"h": 1, "idle": 7}, {"h": "a b c"})
    take_all(lanes)
    assert lanes.overview() == [LaneView("h", sessions=1, in_use=1, waiting=2)]


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", Operation)
def test_what_changes_power_is_urgent_and_so_is_undoing(operation: Operation) -> None:
    changes_power = operation.startswith("power") or operation in ("shutdown", "reset", "pause", "resume")
    assert (priority_of(operation, undo=False) is URGENT) is changes_power
    assert priority_of(operation, undo=False) is OPERATIONS[operation].priority
    assert priority_of(operation, undo=True) is URGENT


def test_a_tenants_bound_that_is_told_holds_in_every_lane_whatever_offers_say() -> None:
    lanes = lanes_with({"h": 9, "g": 9})
    offer(lanes, "h", "t/a", "t/b", "t/c", "u/d", bound=1)
    offer(lanes, "g", "t/e", "t/f", bound=1)
    assert sorted(take_all(lanes).split()) == ["t/a", "t/e", "u/d"]
    lanes.set_tenant_sessions("t", 2)
    assert sorted(take_all(lanes).split()) == ["t/b", "t/f"]
    offer(lanes, "g", "t/g", bound=1)
    assert take_all(lanes) == ""
    lanes.set_tenant_sessions("t", None)
    assert sorted(take_all(lanes).split()) == ["t/c", "t/g"]


def test_an_urgent_job_has_a_place_though_copies_elsewhere_have_all_that_they_may_have() -> None:
    lanes = lanes_with({"h": 20, "g": 2}, {"h": " ".join(f"h{number}" for number in range(20))}, max_runs=16)
    running = [ticket for _ in range(20) if (ticket := lanes.take()) is not None]
    assert (len(running), lanes.take_beside(running[0])) == (14, None), "an eighth is kept free"
    lanes.offer("g", Ticket("r", "on"), priority=Priority.URGENT)
    lanes.offer("g", Ticket("r", "copy"), priority=Priority.LONG)
    assert (lanes.take(), lanes.take()) == (("r", "on"), None)


def test_urgent_jobs_of_other_lanes_pass_a_lane_over_a_few_times_and_no_more() -> None:
    lanes = lanes_with({"h": 9, "g": 9}, {"h": "h1 h2"}, max_runs=9)
    for number in range(9):
        lanes.offer("g", Ticket("r", f"on{number}"), priority=Priority.URGENT)
    order = [lanes.take() for _ in range(6)]
    assert [ticket.job_id for ticket in order if ticket] == ["on0", "on1", "on2", "on3", "h1", "on4"]
