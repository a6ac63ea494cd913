# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tools.chaos.coroner import Coroner, Journal


@pytest.fixture
def coroner(tmp_path: Path) -> Iterator[Coroner]:
    coroner = Coroner([tmp_path])
    coroner.start()
    yield coroner
    coroner.close()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


def _write(directory: Path, **entry: object) -> None:
    with (directory / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({"event": "start", "at": time.time(), **entry}) + "\n")


def test_an_operation_ends_when_its_process_was_last_seen_alive(coroner, sleeper, tmp_path: Path):
    _write(tmp_path, id="a", pid=sleeper.pid)
    wait_until(lambda: coroner._operation_of, 10, "the operation to be watched")
    sleeper.kill()
    killed_at = time.time()
    wait_until(lambda: coroner.deaths, 10, "the death to be seen")
    assert coroner.deaths["a"] <= killed_at + 0.5


def test_an_operation_that_has_ended_is_no_death_even_if_its_process_dies(coroner, sleeper, tmp_path: Path):
    _write(tmp_path, id="a", pid=sleeper.pid)
    wait_until(lambda: coroner._operation_of, 10, "the operation to be watched")
    _write(tmp_path, id="a", event="end")
    wait_until(lambda: not coroner._operation_of, 10, "its end to be read")
    sleeper.kill()
    sleeper.wait()
    assert coroner.deaths == {}


def test_a_process_that_nobody_saw_alive_had_no_time_for_its_operation(coroner, tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _write(tmp_path, id="a", pid=dead.pid, at=5.0)
    assert wait_until(lambda: coroner.deaths, 10, "the death to be seen") == {"a": 5.0}


def test_descriptors_are_closed(sleeper, tmp_path: Path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    coroner = Coroner([tmp_path])
    coroner.start()
    _write(tmp_path, id="a", pid=sleeper.pid)
    wait_until(lambda: coroner._operation_of, 10, "the operation to be watched")
    coroner.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_line_is_read_once_and_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    assert list(journal.news()) == []
    path.write_text('{"a": 1}\n{"b":')
    assert list(journal.news()) == [{"a": 1}]
    with path.open("a") as more:
        more.write(" 2}\n")
    assert list(journal.news()) == [{"b": 2}]
