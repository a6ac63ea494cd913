# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`millwright warm`: a person's own servers, at a person's terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from runner_service.warm import own
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

MILLWRIGHT = str(Path(sys.executable).with_name("millwright"))
EMPTY = "- hosts: localhost\n  gather_facts: false\n  tasks: []\n"
LIMITS = """
  - ansible.builtin.command: {cmd: "sh -c 'nice; ulimit -c; cat /proc/self/oom_score_adj'"}
    register: said
  - ansible.builtin.debug: {var: said.stdout_lines}"""
PROMPTS = """
- hosts: localhost
  gather_facts: false
  vars_prompt: [{name: word, prompt: Word, private: true}]
  tasks:
  - ansible.builtin.pause: {prompt: More}
    register: more
  - ansible.builtin.debug: {msg: "told {{ word | length }} and {{ more.user_input }}"}
"""


@dataclass(frozen=True)
class Person:
    home: Path
    environment: dict[str, str]

    def millwright(self, *arguments: str) -> str:
        done = subprocess.run(
            [MILLWRIGHT, "warm", *arguments], cwd=self.home, env=self.environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self) -> str:
        return f"{self.millwright('path').strip()}/ansible-playbook"

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [command, *arguments], cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def is_warm(self, *start: str) -> bool:
        _out, err = self.start(*start).communicate(timeout=120)
        return "not warm" not in err

    def servers(self) -> list[int]:
        return [facts.process for _place, facts in own.all_of(str(self.home / "run" / "millwright"))]

    def get_warm(self) -> str:
        (self.home / "play.yml").write_text(EMPTY)
        command = self.command()
        assert not self.is_warm(command, "play.yml"), "the first one is ordinary"
        wait_until(lambda: self.is_warm(command, "play.yml"), 120, "the next ones are warm")
        return command


@pytest.fixture
def person(tmp_path: Path, environment: dict[str, str]) -> Iterator[Person]:
    (tmp_path / "run").mkdir(mode=0o700)
    told = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "MILLWRIGHT_WARM_TELL": "1", "TERM": "xterm"}
    one = Person(tmp_path, {**environment, **told})
    yield one
    one.millwright("stop", "--now")


def test_a_server_comes_is_shown_and_goes(person: Person) -> None:
    command = person.get_warm()
    shown = person.millwright("status")
    assert re.search(r"0 running, [1-9]\d* served, since \d{4}-", shown)
    assert "configuration  none" in shown
    assert "Stopped 1" in person.millwright("stop")
    assert "No server" in person.millwright("status")
    assert not person.is_warm(command, "play.yml")


def test_two_first_runs_leave_one_server(person: Person) -> None:
    (person.home / "play.yml").write_text(EMPTY)
    command = person.command()
    for run in [person.start(command, "play.yml") for _ in range(4)]:
        run.communicate(timeout=120)
    wait_until(lambda: person.is_warm(command, "play.yml"), 120, "it is warm")
    assert len(person.servers()) == 1
    ours = [one for one in Path("/proc").glob("[0-9]*") if _belongs_to(one, str(person.home / "run"))]
    assert len(ours) == 1


def _belongs_to(process: Path, directory: str) -> bool:
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{directory}/millwright".encode() in command


def test_a_changed_configuration_is_another_server(person: Person) -> None:
    file = person.home / "ansible.cfg"
    file.write_text("[defaults]\nnocows = true\n")
    command = person.get_warm()
    before = person.servers()
    file.write_text("[defaults]\nnocows = false\n")
    assert not person.is_warm(command, "play.yml")
    wait_until(lambda: person.is_warm(command, "play.yml"), 120, "it is warm again")
    assert person.servers() != before


def test_what_the_caller_may_use_is_what_the_run_may_use(person: Person) -> None:
    command = person.get_warm()
    (person.home / "play.yml").write_text(EMPTY.replace("[]", LIMITS))
    line = f"echo 300 >/proc/self/oom_score_adj; exec {command} play.yml"
    done = subprocess.run(
        ["sh", "-c", line], cwd=person.home, env=person.environment, capture_output=True, text=True, check=False
    )
    assert "not warm" not in done.stderr
    assert re.findall(r'"(-?\w+)"', done.stdout)[-1] == "300"
    nicer = subprocess.run(
        ["nice", "-n", "5", command, "play.yml"], cwd=person.home, env=person.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert re.findall(r'"(-?\w+)"', nicer.stdout)[0] == "5"


class Terminal:
    """A program in a session with a terminal of its own."""

    def __init__(self, person: Person, command: list[str]):
        self.process, self._master = pty.fork()
        if self.process == 0:
            os.chdir(person.home)
            os.execve(command[0], command, person.environment)
        self.said = ""

    def read_until(self, text: str) -> None:
        assert self.has_said(text, 60), self.said

    def type_until(self, typed: str, text: str) -> None:
        """Again, if nothing comes of it: who asks throws away what was typed before it was ready to read."""
        for _ in range(20):
            self.type(typed)
            if self.has_said(text, 3):
                return
        raise AssertionError(self.said)

    def has_said(self, text: str, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while text not in self.said:
            if time.monotonic() > until:
                return False
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self._master, 4096).decode()
                except OSError:
                    return text in self.said
        return True

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        try:
            while True:
                data = os.read(self._master, 4096)
                self.said += data.decode()
        except OSError:
            pass
        _, status = os.waitpid(self.process, 0)
        os.close(self._master)
        return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("redirected", [False, True])
def test_passwords_are_asked_at_the_terminal(person: Person, redirected: bool) -> None:
    command = person.get_warm()
    (person.home / "play.yml").write_text(PROMPTS if not redirected else EMPTY)
    line = [command, "play.yml"]
    if redirected:  # the terminal is asked, whatever standard input is
        line = ["/bin/sh", "-c", f"{command} --ask-vault-password play.yml </dev/null"]
    terminal = Terminal(person, line)
    terminal.read_until("assword: " if redirected else "Word: ")
    terminal.type("secret\n")
    if not redirected:
        terminal.read_until("More")
        terminal.type_until("please\r", "told 6 and")
    code = terminal.end()
    assert code == 0, terminal.said
    assert "not warm" not in terminal.said
    assert "secret" not in terminal.said
    if not redirected:
        assert "told 6 and please" in terminal.said


def test_interrupt_at_the_terminal_ends_the_run(person: Person) -> None:
    command = person.get_warm()
    (person.home / "play.yml").write_text(EMPTY.replace("[]", "[{ansible.builtin.command: sleep 4218}]"))
    terminal = Terminal(person, [command, "play.yml"])
    terminal.read_until("TASK [")
    terminal.type("\x03")
    assert terminal.end() in (99, 130, -signal.SIGINT)
    assert "User interrupted execution" in terminal.said


PLACE = """
  - ansible.builtin.command: {cmd: "sh -c 'nproc; ionice -p $$'"}
    register: said
  - ansible.builtin.debug: {var: said.stdout_lines}"""


def test_a_run_has_its_callers_processors_and_priority_of_input_and_output(person: Person) -> None:
    command = person.get_warm()
    (person.home / "play.yml").write_text(EMPTY.replace("[]", PLACE))
    line = f"exec taskset -c 0 ionice -c 2 -n 7 {command} play.yml"
    done = subprocess.run(
        ["sh", "-c", line], cwd=person.home, env=person.environment, capture_output=True, text=True, check=False
    )
    assert "not warm" not in done.stderr
    assert re.findall(r'"([^"]+)",?\n', done.stdout)[-2:] == ["1", "best-effort: prio 7"]


def test_a_server_that_nobody_needs_ends(person: Person) -> None:
    idle = replace(person, environment=person.environment | {"MILLWRIGHT_WARM_IDLE": "0.02"})
    command = idle.get_warm()
    wait_until(lambda: not idle.servers(), 60, "the idle server to end")
    assert not idle.is_warm(command, "play.yml")


def test_a_run_can_be_put_aside_and_taken_up_again(person: Person) -> None:
    """Ctrl-Z stops who waits at the terminal, and fg goes on: the shell gets its prompt meanwhile."""
    command = person.get_warm()
    (person.home / "play.yml").write_text(EMPTY.replace("[]", "[{ansible.builtin.command: sleep 3}]"))
    terminal = Terminal(person, ["/bin/bash", "--norc", "--noediting", "-i"])
    terminal.type(f"{command} play.yml\n")
    terminal.read_until("TASK [")
    terminal.type("\x1a")
    terminal.read_until("Stopped")
    terminal.type("echo free $((1 + 1))\n")
    terminal.read_until("free 2")
    assert "PLAY RECAP" not in terminal.said.rpartition("free 2")[2]
    terminal.type("fg\n")
    terminal.read_until("PLAY RECAP")
    # What is typed before the shell has its terminal back may be thrown away.
    terminal.type_until("echo back $((2 + 2))\n", "back 4")
    terminal.type("exit\n")
    assert terminal.end() == 0, terminal.said
