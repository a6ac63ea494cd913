# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A partition is given back by the connection that it was asked of, and by no later one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from runner_service.contract.topology import Topology
from runner_service.queue_manager.connection import Amqp
from runner_service.queue_manager.consumer import Consumer


@dataclass
class Line:
    """What a consumer needs of a session and of its connection."""

    released: list[int] = field(default_factory=list)
    subscribed: list[frozenset[int]] = field(default_factory=list)

    @property
    def connection(self) -> Line:
        return self

    def add_callback_threadsafe(self, call: Callable[[], None]) -> None:
        call()

    def release(self, partition: int) -> None:
        self.released.append(partition)

    def subscribe(self, wanted: frozenset[int]) -> None:
        self.subscribed.append(wanted)


@pytest.fixture
def consumer() -> Any:
    return Consumer(Amqp("amqp://localhost"), Topology("dc-1"), prefetch=1, reception=None)  # type: ignore[arg-type]


def test_the_connection_that_was_asked_gives_the_partition_back_and_says_so(consumer: Any) -> None:
    consumer._session, said = Line(), []
    consumer.giving_back(3, lambda: said.append(3))()
    assert (consumer._session.released, said) == ([3], [3])


def test_a_later_connection_keeps_it(consumer: Any) -> None:
    consumer._session, said = Line(), []
    give_back = consumer.giving_back(3, lambda: said.append(3))
    consumer._session = Line()
    give_back()
    assert (consumer._session.released, said) == ([], [])
