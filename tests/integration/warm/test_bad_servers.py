# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that is dead, hangs or talks rubbish costs a run its speed, and nothing else."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner_service.warm import keeper as keepers
from runner_service.warm import shim
from runner_service.warm.keeper import Keeper, write_shim
from runner_service.warm.wire import Line, Request
from tests.integration.warm.conftest import Warm
from tests.waiting import wait_until

ORDINARY = '#!/bin/sh\necho "ordinary: $*"\nexit 3\n'


@contextmanager
def answering(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A server that treats its first client so."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            answer(client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        listener.close()


def shimmed(directory: Path, path: Path) -> subprocess.CompletedProcess[str]:
    ordinary = directory / "ordinary"
    ordinary.write_text(ORDINARY)
    ordinary.chmod(0o700)
    command = write_shim(directory, path, str(ordinary))
    return subprocess.run([str(command), "play.yml"], capture_output=True, text=True, timeout=30, check=False)


def says(*parts: bytes) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        assert Request.of(Line(client).hear()).arguments == [b"play.yml"]
        client.sendall(b"".join(parts))

    return answer


def word(text: bytes) -> bytes:
    return b"%08x" % len(text) + text


@pytest.mark.parametrize(
    "answer",
    [
        lambda _client: None,
        says(),
        says(b"rubbish, and more of it"),
        says(b"ffffffff"),
        says(b"00000000"),
        says(word(b"hello")),
        says(word(b"ready\0me")),
        says(word(b"ready\0001")),
        says(word(b"ready\0-1")),
        says(word(b"refused\0not today")),
    ],
)
def test_before_anything_runs_it_runs_the_ordinary_way(tmp_path: Path, answer: Callable[[socket.socket], None]) -> None:
    with answering(tmp_path / "socket", answer):
        done = shimmed(tmp_path, tmp_path / "socket")
    assert (done.returncode, done.stdout, done.stderr) == (3, "ordinary: play.yml\n", "")


@pytest.mark.parametrize(
    "last", [b"", b"rubbish, and more", word(b"exit"), word(b"exit\0many"), word(b"exit\0001\0002")]
)
def test_a_run_that_nobody_saw_end_is_no_success(tmp_path: Path, last: bytes) -> None:
    """It is not run again here, as it may have changed something: the exit code says so, and who asked decides."""
    playbook = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)

    def answer(client: socket.socket) -> None:
        says(word(b"ready\0%d" % playbook.pid))(client)
        go, fds = Line(client).hear_with_fds()
        assert go == [b"go"]
        for descriptor in fds:
            os.close(descriptor)
        client.sendall(last)

    with answering(tmp_path / "socket", answer):
        done = shimmed(tmp_path, tmp_path / "socket")
    assert done.returncode == shim.BROKEN_OFF
    assert "broken off" in done.stderr
    assert done.stdout == ""
    playbook.communicate()
    assert playbook.returncode == -signal.SIGKILL, "it does not go on unseen"


@pytest.mark.slow
def test_a_server_that_hangs_is_replaced_and_meanwhile_nothing_waits_for_long(warm: Warm) -> None:
    stopped = warm.keeper.pid
    os.kill(stopped, signal.SIGSTOP)
    warm.write("play.yml", "- hosts: localhost\n  gather_facts: false\n  tasks: []\n")
    done = warm.run("play.yml")
    assert done.returncode == 0
    assert "not warm" in done.stderr
    os.kill(stopped, signal.SIGCONT)
    assert warm.run("play.yml").stdout == done.stdout


@pytest.mark.slow
def test_whoever_says_no_go_runs_nothing(warm: Warm) -> None:
    """A shim that has lost its patience runs the playbook itself: the server must not do so, too."""
    made = warm.directory / "made"
    warm.write(
        "play.yml",
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n  - ansible.builtin.file: {path: made, state: touch}\n",
    )
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(warm.keeper.socket))
    line = Line(client)
    environment = [f"{name}={value}".encode() for name, value in warm.environment.items()]
    request = Request(
        arguments=[b"play.yml"], environment=environment, directory=os.fsencode(warm.directory), umask=0o22
    )
    line.say(*request.word())
    ready, process = line.hear()
    assert ready == b"ready"
    client.close()
    wait_until(lambda: not Path(f"/proc/{int(process)}").exists(), 20, "it has gone, too")
    assert not made.exists()


def test_servers_that_end_before_they_have_served_are_started_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, started = 100.0, []

    def command(*_arguments: str) -> list[str]:
        started.append(now)
        return ["false"]

    monkeypatch.setattr(keepers, "command", command)
    monkeypatch.setattr(keepers.time, "monotonic", lambda: now)
    keeper = Keeper(tmp_path / "warm", {})
    for _ in range(300):
        keeper._server.process.wait()
        keeper.alive()
        now += 1.0
    keeper.close()
    pauses = [later - earlier for earlier, later in itertools.pairwise(started)]
    assert pauses == [0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_that_no_process_can_be_made_costs_runs_their_speed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = iter([["false"], ["/nowhere/python"], ["/nowhere/python"], ["sleep", "60"]])
    monkeypatch.setattr(keepers, "command", lambda *_: next(commands))
    keeper = Keeper(tmp_path / "warm", {})
    gone = keeper.pid
    keeper._server.process.wait()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        keeper.alive()
        assert keeper.pid == gone
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    keeper.alive()
    assert keeper.pid != gone, "there is room for one again"
    keeper.close()
