# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guardian: what a runner's runs are worth once the runner is dead, suspended or cut off. With real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner_service.workers.guardian import Guardian
from runner_service.workers.run_directories import MARK, end_processes_of
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
#: Gives signs of life until it is told something; says its guardian's pid.
RUNNER = """
import sys, time
from pathlib import Path
from runner_service.workers.guardian import Guardian
guardian = Guardian(Path(sys.argv[1]), life=float(sys.argv[2]))
print(guardian.pid, flush=True)
while True:
    time.sleep(0.1)
    guardian.alive()
"""
#: A run that forks all the time: whoever kills what a list of processes says comes too late for the newest.
FORKING = "while :; do setsid sleep 60 & sleep 0.01; done"


@dataclass
class Runner:
    """A process with a guardian, and runs that it does not know of but that are marked as its own."""

    process: subprocess.Popen[bytes]
    directory: Path
    guardian: int
    runs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def begin(self, *command: str) -> subprocess.Popen[bytes]:
        """A run, in a session of its own as Ansible's workers are."""
        run = self.directory / "run-1"
        run.mkdir(exist_ok=True)
        (run / "credentials.json").touch()
        mark = {MARK: str(run / "artifacts"), "PATH": os.environ["PATH"]}
        self.runs.append(subprocess.Popen(command, env=mark, start_new_session=True))
        return self.runs[-1]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "millwright-runner-x"
    directory.mkdir()
    yield directory
    end_processes_of(directory)


def start(directory: Path, life: float = 30) -> Runner:
    command = [sys.executable, "-c", RUNNER, str(directory), str(life)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    return Runner(process, directory, int(process.stdout.readline()))


def end(runner: Runner) -> None:
    runner.process.kill()
    runner.process.communicate()
    wait_until(lambda: not is_there(runner.guardian), 10, "the guardian's end")
    for run in runner.runs:
        run.wait(10)
    assert marked(runner.directory) == []
    assert not runner.directory.exists()


def runs_on(run: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def is_there(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def marked(directory: Path) -> list[str]:
    """The processes of runs below the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={directory}".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_a_killed_runners_runs_are_ended_at_once_with_their_files(directory: Path) -> None:
    runner = start(directory)
    runs = [runner.begin("sleep", "60") for _ in range(3)]
    runner.process.kill()
    begun = time.monotonic()
    for run in runs:
        assert run.wait(10) == -signal.SIGKILL
    assert time.monotonic() - begun < 2
    wait_until(lambda: not directory.exists(), 2, "the removal of the files")
    end(runner)


def test_a_run_that_forks_all_the_time_does_not_get_away(directory: Path) -> None:
    runner = start(directory)
    run = runner.begin("sh", "-c", FORKING)
    wait_until(lambda: len(marked(directory)) > 10, 10, "some children")
    runner.process.kill()
    run.wait(10)
    end(runner)


def test_signals_for_the_service_and_the_runners_group_do_not_end_the_guardian(directory: Path) -> None:
    runner = start(directory)
    run = runner.begin("sleep", "60")
    os.kill(runner.guardian, signal.SIGTERM)
    os.killpg(runner.process.pid, signal.SIGKILL)
    assert run.wait(10) == -signal.SIGKILL
    end(runner)


def test_a_suspended_runners_runs_are_ended_and_later_ones_are_guarded_again(directory: Path) -> None:
    runner = start(directory, life=2)
    run = runner.begin("sleep", "60")
    assert runs_on(run, 2.5), "signs of life keep a run alive"
    runner.process.send_signal(signal.SIGSTOP)
    assert run.wait(10) == -signal.SIGKILL
    assert directory.exists(), "the runner may come back"
    assert runner.begin("sleep", "60").wait(10) == -signal.SIGKILL, "while it is silent nothing runs"
    runner.process.send_signal(signal.SIGCONT)
    assert wait_until(lambda: runs_on(runner.begin("sleep", "60"), 0.5), 10, "a run that is left alone again")
    end(runner)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_guardian_that_is_dead_or_hangs_is_replaced(directory: Path, number: signal.Signals) -> None:
    guardian = Guardian(directory)
    first = guardian.pid
    os.kill(first, number)
    wait_until(lambda: not is_there(first) or "T (" in Path(f"/proc/{first}/status").read_text(), 10, "the signal")
    for _ in range(10_000):
        guardian.alive()
    assert guardian.pid != first
    assert not is_there(first)
    guardian.close()


def test_a_guardian_of_nothing_ends_soon_and_quietly(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guardian = Guardian(directory)
    guardian.alive()
    directory.rmdir()
    begun = time.monotonic()
    guardian.close()
    assert time.monotonic() - begun < 2
    assert capfd.readouterr().err == ""
