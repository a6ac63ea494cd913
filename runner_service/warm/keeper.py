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
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .places import command, roomy

log = logging.getLogger(__name__)

#: Seconds for a server to load Ansible, and then between question and answer, before it is thought to hang.
_STARTS_WITHIN = 60.0
_ANSWERS_WITHIN = 10.0
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


class Keeper:
    """Keeps a warm server for the runs below ``directory``; for one thread. Settings are those of ``environment``."""

    def __init__(self, directory: Path, environment: Mapping[str, str], *, log_format: str = "text"):
        self.directory = directory
        self._environment = roomy(environment)
        self._log_format = log_format
        directory.mkdir(mode=0o700, exist_ok=True)
        self.socket = directory / "socket"
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> None:
        """Ask the server for a sign of life; one that is gone, or gives none, is replaced. Returns at once."""
        ended, silence = self._process.poll() is not None, time.monotonic() - self._heard_at
        if ended or (self._asked and silence > self._patience):
            log.warning("the warm Ansible %s; starting another one", "is gone" if ended else "hangs")
            self._end(patience=0)  # one that hangs does not end by itself
            self._start()
        self._ask()

    def close(self) -> None:
        """No server is left, and no run of its."""
        self._end(patience=0.5)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command("runners", str(self.socket), str(theirs.fileno()), self._log_format),
                env=self._environment, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),), start_new_session=True,
            )  # fmt: skip
        self._lifeline = ours
        ours.settimeout(0)
        self._heard_at, self._asked, self._patience = time.monotonic(), False, _STARTS_WITHIN

    def _ask(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            if self._lifeline.recv(4096):
                self._asked, self._patience = False, _ANSWERS_WITHIN
        with suppress(BlockingIOError, ConnectionError):
            self._lifeline.send(b"?")
            if not self._asked:
                self._heard_at, self._asked = time.monotonic(), True

    def _end(self, patience: float) -> None:
        self._lifeline.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.socket.unlink(missing_ok=True)
