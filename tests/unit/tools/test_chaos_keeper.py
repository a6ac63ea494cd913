# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tools.chaos.keeper import Keeper
from tools.chaos.plan import RUNNERS, Blow, How
from tools.processes import Background

NAMES = ["api", "runner-0", "runner-1"]


class Sleepers:
    """A platform whose processes do nothing."""

    def __init__(self, directory: Path):
        self._directory = directory
        self.begun: list[str] = []

    def process(self, name: str) -> Background:
        return Background(self._directory, name)

    def begin(self, name: str) -> None:
        self.begun.append(name)
        self.process(name).start(["sleep", "60"])

    def pids(self) -> dict[str, int | None]:
        return {name: self.process(name).pid() for name in NAMES}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Sleepers]:
    platform = Sleepers(tmp_path)
    yield platform
    for name in NAMES:
        platform.process(name).stop()


@pytest.fixture
def keeper(platform: Sleepers) -> Iterator[Keeper]:
    keeper = Keeper(platform, {}, NAMES)
    keeper.start()
    wait_until(lambda: all(platform.pids().values()), 10, "all processes")
    platform.begun.clear()
    yield keeper
    keeper.close()


def test_a_rolling_restart_asks_one_runner_after_the_other_to_end_and_nobody_else(keeper, platform):
    before = platform.pids()
    keeper.strike(Blow(at=0, victim=RUNNERS, how=How.TERM, down=0))
    wait_until(lambda: len(platform.begun) == 2 and all(platform.pids().values()), 20, "both runners again")
    after = platform.pids()
    assert platform.begun == ["runner-0", "runner-1"]
    assert [name for name in NAMES if before[name] != after[name]] == ["runner-0", "runner-1"]
    assert keeper.kills == {"runner_term": 2}
    assert not keeper.ended


def test_a_bound_is_heard_of_without_the_api(keeper):
    keeper.strike(Blow(at=0, victim="api", how=How.KILL, down=0))
    assert keeper.struck == []
    keeper.strike(Blow(at=0, victim="runner-0", how=How.KILL, down=2))
    assert keeper.struck[1] - keeper.struck[0] == pytest.approx(2, abs=0.1)


def test_who_ends_without_having_been_struck_is_counted_and_started_again(keeper, platform):
    platform.process("api").stop()
    wait_until(lambda: platform.begun, 10, "a new one")
    assert platform.begun == ["api"]
    assert keeper.ended == {"api": 1}
