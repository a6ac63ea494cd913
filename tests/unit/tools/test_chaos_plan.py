# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from collections import Counter
from itertools import pairwise

import pytest

from tools.chaos.plan import MOST_STRIKES, RUNNERS, Blow, How, Plan, Verb, plan_of
from tools.chaos.sizes import BIG, REAL, SMALL, Size, size_of


@pytest.fixture(params=[SMALL, BIG], ids=["small", "big"])
def size(request: pytest.FixtureRequest) -> Size:
    return request.param


def _plans(size: Size) -> list[Plan]:
    return [plan_of(seed, size) for seed in range(50)]


def test_a_seed_gives_one_plan_and_another_seed_another(size: Size):
    assert plan_of(7, size) == plan_of(7, size)
    assert plan_of(7, size) != plan_of(8, size)


def test_no_name_comes_twice(size: Size):
    for plan in _plans(size):
        assert max(Counter(plan.vms).values()) == 1


def test_errors_that_pass_strike_fewer_times_than_a_job_is_tried(size: Size):
    for plan in _plans(size):
        struck = Counter()
        for failure in plan.failures:
            if not failure.final:
                struck[failure.vm, failure.operation] += failure.times
        assert not struck or max(struck.values()) <= MOST_STRIKES


def test_all_happens_in_the_order_of_time_before_the_chaos_ends(size: Size):
    for plan in _plans(size):
        for events in (plan.wishes, plan.blows):
            assert list(events) == sorted(events, key=lambda event: event.at)
            assert events[-1].at <= plan.seconds


def test_every_victim_is_struck_in_every_way_that_there_is():
    blows = [(blow.victim.partition("-")[0], blow.how) for plan in _plans(BIG) for blow in plan.blows]
    assert set(blows) == {
        *((victim, How.KILL) for victim in ("runner", "api", "relay", "rabbitmq", "mariadb")),
        *((victim, how) for victim in ("runner", "relay") for how in (How.TERM, How.STOP)),
        (RUNNERS, How.TERM),
    }


def test_of_ten_seeds_in_a_row_one_is_big_and_one_is_real():
    forms = Counter(size_of(seed).form for seed in range(101, 111))
    assert forms == {"small": 8, "big": 1, "real": 1}


def test_while_the_broker_is_away_at_the_beginning_only_deploys_are_asked_for(size: Size):
    outages = [plan for plan in _plans(size) if plan.outage]
    assert outages
    for plan in outages:
        assert plan.blows[0] == Blow(at=0, victim="rabbitmq", how=How.KILL, down=plan.outage)
        assert 12 <= plan.outage <= 30
        events = [*plan.blows[1:], *plan.changes, *(wish for wish in plan.wishes if wish.verb is not Verb.DEPLOY)]
        assert min(event.at for event in events) > plan.outage


def test_a_bound_that_changes_goes_up_and_down_and_is_never_what_it_was_before(size: Size):
    changed = [plan for plan in _plans(size) if plan.changes]
    assert changed
    for plan in changed:
        (host,) = {change.host for change in plan.changes}
        bounds = [plan.hosts[host].sessions, *(change.sessions for change in plan.changes)]
        assert all(before != after for before, after in pairwise(bounds))


def test_where_bounds_change_some_seeds_strike_nobody_whom_that_would_delay(size: Size):
    victims = [{blow.victim for blow in plan.blows if blow.at} for plan in _plans(size) if plan.changes]
    assert {"api"} in victims
    assert any(each - {"api"} for each in victims)


def test_all_runners_are_restarted_only_where_there_are_several(size: Size):
    rolling = [plan for plan in _plans(size) if RUNNERS in {blow.victim for blow in plan.blows}]
    assert rolling
    assert all(plan.runners > 1 for plan in rolling)


def test_some_tenants_have_a_bound_of_their_own(size: Size):
    assert {plan.vdcs[1] for plan in _plans(size)} == {None, 1, 2}


def test_real_guests_do_nothing_wrong_by_plan_and_their_libvirtd_is_killed():
    plans = [plan_of(seed, REAL) for seed in range(50)]
    assert all(plan.real and not plan.failures and not plan.hosts[0].dark for plan in plans)
    assert "libvirtd" in {blow.victim for plan in plans for blow in plan.blows}


def test_only_runners_that_there_are_are_struck():
    for plan in _plans(BIG):
        runners = {blow.victim for blow in plan.blows if blow.victim.startswith("runner-")}
        assert runners <= {f"runner-{number}" for number in range(plan.runners)}
