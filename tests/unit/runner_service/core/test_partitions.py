# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who consumes which partitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner_service.core.partitions import GONE_AFTER, HEARD_MEANWHILE, Peers, partitions_of

runner_sets = st.sets(st.uuids().map(str), min_size=1, max_size=8)


@given(runner_sets, st.integers(1, 64))
def test_every_partition_has_one_runner_and_the_load_is_even(runners: set[str], partitions: int) -> None:
    shares = [partitions_of(runner, runners, partitions) for runner in runners]
    assert sorted(number for share in shares for number in share) == list(range(partitions))
    assert max(map(len, shares)) <= -(-partitions // len(runners))


@given(runner_sets, st.integers(1, 64))
def test_the_order_in_which_runners_were_heard_of_does_not_matter(runners: set[str], partitions: int) -> None:
    for runner in runners:
        assert partitions_of(runner, sorted(runners), partitions) == partitions_of(
            runner, sorted(runners, reverse=True), partitions
        )


def test_few_partitions_move_when_a_runner_comes() -> None:
    moved = 0
    for number in range(50):
        runners = [f"{number}-{name}" for name in "abc"]
        before = {runner: partitions_of(runner, runners, 12) for runner in runners}
        after = {runner: partitions_of(runner, [*runners, f"{number}-d"], 12) for runner in runners}
        moved += sum(len(after[runner] - before[runner]) for runner in runners)
    assert moved / 50 < 3, "beside the three that the new one gets"


def test_a_runner_that_is_silent_or_stops_gets_no_work() -> None:
    peers = heard("a", "b", at=0.0)
    assert peers.heard("b", sequence=2, stopping=True, now=4.0).at_work == ("a",)
    for second in range(1, int(GONE_AFTER) + 1):
        peers = peers.heard_ourselves(second).heard("b", sequence=second + 1, stopping=False, now=second)
        assert peers.without_silent(second).at_work == (("a", "b") if second < GONE_AFTER else ("b",))


def test_who_hears_not_even_itself_calls_nobody_silent() -> None:
    assert heard("a", at=0.0).without_silent(100.0).at_work == ("a",), "the broker is away, or slow"


def test_heartbeats_that_come_all_at_once_after_a_broker_hung_count_as_one() -> None:
    back = heard("a", at=0.0)
    for number in range(10):
        back = back.heard_ourselves(100.0 + number / 100)
    assert back.without_silent(101.0).at_work == ("a",)


def test_after_a_break_others_have_their_time_to_be_heard_of() -> None:
    back = heard("a", at=0.0).heard_ourselves(1.0).listening_anew()
    for second in range(100, 100 + HEARD_MEANWHILE):
        assert back.without_silent(float(second)).at_work == ("a",)
        back = back.heard_ourselves(float(second))
    assert back.without_silent(104.0).at_work == ()


def heard(*names: str, at: float) -> Peers:
    peers = Peers().heard_ourselves(at)
    for name in names:
        peers = peers.heard(name, sequence=1, stopping=False, now=at)
    return peers


def test_a_status_that_was_overtaken_changes_nothing() -> None:
    peers = Peers().heard("a", sequence=2, stopping=True, now=1.0)
    assert peers.heard("a", sequence=1, stopping=False, now=2.0) is peers
