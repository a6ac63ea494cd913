# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose requests go out next: pure, with a model of a queue that takes and ends them."""

from __future__ import annotations

from collections import Counter
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from webapi.services.turns import First, Line, Out, Seat, choose, in_turn

WINDOW = 64


class Queue:
    """Requests that wait, go out in turn, and end."""

    def __init__(self, window: int = WINDOW):
        self.window = window
        self._numbers = count(1)
        self.waiting: dict[Line, list[First]] = {}
        self.out: Counter[Seat] = Counter()

    def ask(self, tenant: str, times: int = 1, *, host: str = "h", priority: int = 1) -> None:
        line = Line("q", tenant, priority)
        for _ in range(times):
            self.waiting.setdefault(line, []).append(First(next(self._numbers), Seat(line, host)))

    def publish(self, most: int = 10_000) -> list[Seat]:
        """What goes out, in order."""
        out = Out(self.out, self.window)
        lines = in_turn([line for line, waiting in self.waiting.items() if waiting], out)
        numbers = choose({line: self.waiting[line] for line in lines}, out, most)
        seats = {first.number: first.seat for waiting in self.waiting.values() for first in waiting}
        for line, waiting in self.waiting.items():
            self.waiting[line] = [first for first in waiting if first.number not in numbers]
        gone = [seats[number] for number in numbers]
        self.out.update(gone)
        return gone

    def of(self, tenant: str) -> int:
        return sum(number for seat, number in self.out.items() if seat.line.tenant == tenant)

    def end(self, tenant: str, host: str = "h", priority: int = 1) -> None:
        self.out[Seat(Line("q", tenant, priority), host)] -= 1

    def end_one(self, data: st.DataObject) -> None:
        """Any but the last of a line."""
        lines = Counter(seat.line for seat in self.out.elements())
        several = sorted(seat for seat in +self.out if lines[seat.line] > 1)
        if several:
            self.out[data.draw(st.sampled_from(several))] -= 1


def test_one_line_leaves_half_of_the_window_and_with_one_hypervisor_two_thirds():
    queue = Queue()
    queue.ask("a", 5_000)
    queue.publish()
    assert queue.of("a") == 22
    for number in range(5_000):
        queue.ask("a", host=f"h{number}")
    queue.publish()
    assert queue.of("a") == WINDOW // 2


def test_who_comes_behind_thousands_goes_out_at_once():
    queue = Queue()
    queue.ask("a", 5_000)
    queue.publish()
    queue.ask("b")
    queue.ask("a", priority=0)
    assert [seat.line.tenant for seat in queue.publish()] == ["a", "b"]


def test_of_those_with_as_much_out_the_more_urgent_goes_first_and_then_they_take_turns():
    queue = Queue()
    for tenant in "ab":
        queue.ask(tenant, 9)
    queue.ask("c", 9, priority=0)
    assert [seat.line.tenant for seat in queue.publish(6)] == list("cabcab")


def test_within_a_line_order_is_kept():
    queue = Queue()
    for number in range(6):
        queue.ask("a", host=f"h{number}")
    assert [seat.hypervisor_id for seat in queue.publish()] == [f"h{number}" for number in range(6)]


def test_a_hypervisor_that_hangs_holds_nothing_up_at_others():
    queue = Queue()
    queue.ask("a", 5_000, host="hangs")
    queue.publish()
    queue.ask("a", host="works")
    assert [seat.hypervisor_id for seat in queue.publish()] == ["works"]


def test_what_ends_makes_room_for_those_with_the_least_out():
    queue = Queue(window=8)
    for tenant in "abcdefg":
        queue.ask(tenant, 3)
        queue.publish()
    late = [tenant for tenant in "abcdefg" if not queue.of(tenant)]
    assert late == ["f", "g"]
    for tenant in late:
        queue.end("a")
        assert [seat.line.tenant for seat in queue.publish()] == [tenant]


@given(st.data(), st.integers(26, 60))
def test_never_more_than_the_window_is_out_and_a_newcomer_waits_for_one_end_of_each_line_before_it(
    data: st.DataObject, window: int
):
    queue = Queue(window)
    for _ in range(data.draw(st.integers(1, 12))):
        tenant, priority = data.draw(st.sampled_from("abcdefgh")), data.draw(st.integers(0, 2))
        queue.ask(tenant, data.draw(st.integers(1, 50)), host=data.draw(st.sampled_from("xyz")), priority=priority)
        queue.publish(data.draw(st.integers(1, 60)))
        assert queue.out.total() <= window
    queue.publish()
    queue.ask("newcomer")
    for _ in range(len(_with_nothing_out(queue))):
        queue.end_one(data)
        queue.publish()
    assert queue.of("newcomer") == 1 and queue.out.total() <= window


def _with_nothing_out(queue: Queue) -> set[Line]:
    waiting = {line for line, first in queue.waiting.items() if first}
    return waiting - {seat.line for seat in +queue.out}


def test_another_queue_is_another_matter():
    line, other = Line("q", "a", 1), Line("p", "a", 1)
    out = Out({Seat(line, "h"): WINDOW}, WINDOW)
    assert in_turn([line, other], out) == [other]
