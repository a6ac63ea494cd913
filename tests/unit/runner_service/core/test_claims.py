# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims: one request at a time for each VM, in the order of arrival; others pass."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner_service.core.claims import Claims
from runner_service.core.frozen_sequence import FrozenSequence


def test_requests_for_different_vms_do_not_wait_for_each_other() -> None:
    claims = Claims()
    assert claims.claim("a", frozenset({"web"}))
    assert claims.claim("b", frozenset({"db"}))


def test_a_request_waits_for_every_earlier_one_with_a_vm_of_its_own() -> None:
    claims = Claims()
    claims.claim("a", frozenset({"web"}))
    claims.claim("b", frozenset({"db"}))
    assert not claims.claim("c", frozenset({"web", "db"}))
    assert not claims.claim("d", frozenset({"db"})), "it came after c, which waits for db"
    assert claims.holder("c") == "b"
    assert claims.release("a") == []
    assert claims.release("b") == ["c"]
    assert claims.release("c") == ["d"]


def test_a_request_that_gives_up_waiting_holds_nobody_up() -> None:
    claims = Claims()
    claims.claim("a", frozenset({"web"}))
    claims.claim("b", frozenset({"web", "db"}))
    claims.claim("c", frozenset({"db"}))
    assert claims.release("b") == ["c"]
    assert claims.release("a") == []


def test_a_request_without_vms_waits_for_nobody() -> None:
    claims = Claims()
    assert claims.claim("discover", frozenset())
    assert claims.release("discover") == []


@given(st.lists(st.frozensets(st.sampled_from("abcd"), max_size=3), max_size=12), st.data())
def test_no_vm_is_held_twice_and_everybody_has_a_turn(wanted: list[frozenset[str]], data: st.DataObject) -> None:
    claims = Claims()
    holding = [str(number) for number, vms in enumerate(wanted) if claims.claim(str(number), vms)]
    served = set()
    while holding:
        held = [vm for request in holding for vm in wanted[int(request)]]
        assert len(held) == len(set(held))
        leaving = holding.pop(data.draw(st.integers(0, len(holding) - 1)))
        served.add(leaving)
        holding += claims.release(leaving)
    assert served == {str(number) for number in range(len(wanted))}


@given(st.lists(st.integers(), min_size=1, max_size=300), st.data())
def test_a_frozen_sequence_is_a_list_that_is_never_changed(items: list[int], data: st.DataObject) -> None:
    before = FrozenSequence.of(items)
    place = data.draw(st.integers(0, len(items) - 1))
    after = before.replaced(place, 7)
    assert list(before) == items
    assert list(after) == [*items[:place], 7, *items[place + 1 :]]
    assert after[place] == 7
