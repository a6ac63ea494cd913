# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What signals do to a runner: the first lets runs end, the next and the end of the grace time end them."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from runner_service.bootstrap import stop_on_signals
from tests.waiting import wait_until


@dataclass
class Told:
    """An orchestrator that remembers what it was told."""

    words: list[str] = field(default_factory=list)

    def stop(self) -> None:
        self.words.append("stop")

    def cancel_runs(self) -> None:
        self.words.append("end what runs")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _told(grace: float) -> Any:
    told = Told()
    stop_on_signals(told, grace)  # type: ignore[arg-type]
    return told


def test_the_first_signal_lets_runs_end_and_the_second_ends_them() -> None:
    told = _told(grace=600)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert told.words == ["stop", "end what runs"]


def test_what_is_left_of_the_grace_time_is_known_and_a_second_signal_takes_it() -> None:
    left = stop_on_signals(Told(), 600)  # type: ignore[arg-type]
    assert left() == math.inf
    os.kill(os.getpid(), signal.SIGTERM)
    assert 500 < left() <= 600
    os.kill(os.getpid(), signal.SIGTERM)
    assert left() == 0


def test_a_signal_after_the_grace_time_is_no_error() -> None:
    told = _told(grace=0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    wait_until(lambda: len(told.words) == 2, 10, "the end of the grace time")
    os.kill(os.getpid(), signal.SIGTERM)
    assert told.words == ["stop", "end what runs", "end what runs"]
