# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from collections import Counter

import pytest

from tools.chaos.plan import LONG, MOST_STRIKES, REAL, SHORT, How, Plan, Size, plan_of


@pytest.fixture(params=[SHORT, LONG], ids=["short", "long"])
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
    blows = [(blow.victim.partition("-")[0], blow.how) for plan in _plans(LONG) for blow in plan.blows]
    assert set(blows) == {
        *((victim, How.KILL) for victim in ("runner", "api", "relay", "rabbitmq", "mariadb")),
        ("runner", How.TERM),
        ("runner", How.STOP),
    }


def test_real_guests_do_nothing_wrong_by_plan_and_their_libvirtd_is_killed():
    plans = [plan_of(seed, REAL) for seed in range(50)]
    assert all(plan.real and not plan.failures and not plan.hosts[0].dark for plan in plans)
    assert "libvirtd" in {blow.victim for plan in plans for blow in plan.blows}


def test_only_runners_that_there_are_are_struck():
    for plan in _plans(LONG):
        runners = {blow.victim for blow in plan.blows if blow.victim.startswith("runner")}
        assert runners <= {f"runner-{number}" for number in range(plan.runners)}
