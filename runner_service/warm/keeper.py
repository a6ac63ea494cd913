# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever wants warm runs starts a server here, and keeps it alive."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from .places import command, roomy
from .server import RETIRED

log = logging.getLogger(__name__)

#: Seconds for a server to load Ansible, and then between question and answer, before it is thought to hang.
_STARTS_WITHIN = 60.0
_ANSWERS_WITHIN = 10.0
#: Seconds between two starts, at most, where servers end before they have served.
_LONGEST_PAUSE = 60
_ROOT = Path(__file__).parents[2]


def ordinary_playbook() -> str | None:
    """The ansible-playbook of this interpreter's environment, else that of the PATH."""
    beside = Path(sys.executable).parent / "ansible-playbook"
    return str(beside) if beside.exists() else shutil.which("ansible-playbook")


def write_shim(directory: Path, server: Path, ordinary: str) -> Path:
    """Make ``directory/ansible-playbook``, which has the server run what it is asked to, else becomes ``ordinary``."""
    return _write(directory, f"main({str(server)!r}, {ordinary!r})")


def write_shim_for_people(directory: Path, ordinary: str) -> Path:
    """Make ``directory/ansible-playbook``, which finds or starts the caller's own server, else becomes ``ordinary``."""
    return _write(directory, f"main_for_people({ordinary!r})")


def _write(directory: Path, call: str) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    shim = directory / "ansible-playbook"
    made = shim.with_name(f"{shim.name}.{os.getpid()}")
    # -I -S: neither the environment nor site-packages add anything; it starts in no time.
    made.write_text(
        f"#!{sys.executable} -IS\n"
        f"import sys\n"
        f"sys.path.append({str(_ROOT)!r})\n"
        f"from {__package__} import shim\n"
        f"shim.{call}\n",
        encoding="utf-8",
    )
    made.chmod(stat.S_IRWXU)
    made.replace(shim)
    return shim


class _Process:
    """A server, seen by whoever has started it."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], directory: Path):
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as failed:
            failed.callback(ours.close)
            self.process = subprocess.Popen(  # noqa: S603  # our own command
                command("runners", arguments[0], str(theirs.fileno()), *arguments[1:]),
                env=dict(environment), cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip
            failed.pop_all()
        self._lifeline = ours
        ours.settimeout(0)
        self.began_at = self._heard_at = time.monotonic()
        self._asked, self._patience = False, _STARTS_WITHIN
        #: It takes nothing on any more, and ends with its last run.
        self.is_retired = False

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def hangs(self) -> bool:
        return self._asked and time.monotonic() - self._heard_at > self._patience

    @property
    def has_served(self) -> bool:
        """Whether it has ever answered: it came through its start."""
        return self._patience == _ANSWERS_WITHIN

    def ask(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            if said := self._lifeline.recv(4096):
                self._asked, self._patience = False, _ANSWERS_WITHIN
                self.is_retired = self.is_retired or RETIRED in said
        with suppress(BlockingIOError, ConnectionError):
            self._lifeline.send(b"?")
            if not self._asked:
                self._heard_at, self._asked = time.monotonic(), True

    def end(self, patience: float) -> None:
        self._lifeline.close()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Keeper:
    """Keeps a warm server for the runs below ``directory``; for one thread. Settings are those of ``environment``."""

    def __init__(self, directory: Path, environment: Mapping[str, str], *, log_format: str = "text"):
        self.directory = directory
        self._environment = roomy(environment)
        self._log_format = log_format
        directory.mkdir(mode=0o700, exist_ok=True)
        self.socket = directory / "socket"
        #: Servers that have retired and still have runs.
        self._old: list[_Process] = []
        self._failures = 0
        self._server = self._start()

    @property
    def pid(self) -> int:
        """Of the server that runs are given to; of the last one, where there is none just now."""
        return self._server.process.pid

    def alive(self) -> None:
        """Ask the server for a sign of life; one that is gone, or gives none, is replaced: at once, or after a pause if
        it never came through its start. One that has retired is replaced, too, and goes on with its runs. Returns at
        once."""
        self._bury_the_old()
        server = self._server
        try:
            if server.is_retired and not server.has_ended:
                self._server = self._start()
                self._old.append(server)
            elif server.has_ended or server.hangs:
                self._replace(server)
        except OSError as error:  # as of no more processes: runs are slower, and that is all
            log.warning("the warm Ansible cannot be started: %s", error)
        self._server.ask()

    def close(self) -> None:
        """No server is left, and no run of its."""
        for server in (self._server, *self._old):
            server.end(patience=0.5)
        self.socket.unlink(missing_ok=True)

    def _replace(self, server: _Process) -> None:
        if server.has_served or not server.has_ended:
            self._failures = 0
        elif time.monotonic() - server.began_at < self._pause:
            return
        if not server.is_retired:
            log.warning("the warm Ansible %s; starting another one", "is gone" if server.has_ended else "hangs")
        self._server = self._start()
        self._failures += not server.has_served
        server.end(patience=0)  # one that hangs does not end by itself

    @property
    def _pause(self) -> float:
        """Seconds from one start to the next where servers do not come through it."""
        return float(min(_LONGEST_PAUSE, 2**self._failures)) if self._failures else 0.0

    def _bury_the_old(self) -> None:
        for server in self._old:
            if server.has_ended:
                server.end(patience=0)
        self._old = [server for server in self._old if not server.has_ended]

    def _start(self) -> _Process:
        return _Process((str(self.socket), self._log_format), self._environment, self.directory)
