# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Background processes that are remembered in a directory, and of which only those are ever stopped.

``DIR/NAME.pid`` holds the process id and the kernel's start time of the process, so that an id that was given to
somebody else meanwhile is never signalled; ``DIR/NAME.log`` holds what the process printed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.waiting import wait_until

STOP_TIMEOUT = 60


class ProcessEnded(Exception):
    """A background process ended although it should go on running; the message ends with the end of its log."""


@dataclass(frozen=True)
class Background:
    """One background process: its name and the directory that remembers it."""

    directory: Path
    name: str

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.directory / f"{self.name}.pid"

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Run the command in a session of its own, unless it runs already. Gives its process id."""
        if (pid := self.pid()) is not None:
            return pid
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # Not waited for here: stop() reaps it when this process is its parent, init does otherwise.
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        child.returncode = 0  # Popen would complain of a running child when it is forgotten; we mean to forget it.
        # In one step: who reads half of it would take the process for ended.
        made = self._pid_file.with_suffix(".pid.new")
        made.write_text(f"{child.pid} {_started_at(child.pid)}\n")
        made.replace(self._pid_file)
        return child.pid

    def pid(self) -> int | None:
        """Its process id while it runs."""
        try:
            pid, started_at = self._pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if _started_at(int(pid)) == started_at else None

    def require(self) -> None:
        """Raise ProcessEnded, with the end of its log, unless it runs."""
        if self.pid() is None:
            raise ProcessEnded(f"{self.name} has ended; the end of {self.log}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 20) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout: float = STOP_TIMEOUT) -> bool:
        """Afterwards it does not run. One that ignores the signal is killed after the timeout. Says if it ran."""
        pid = self.pid()
        if pid is not None:
            _signal(pid, how)
            try:
                wait_until(lambda: self.pid() is None, timeout, f"the end of {self.name} ({pid})")
            except TimeoutError:
                _signal(pid, signal.SIGKILL)
                wait_until(lambda: self.pid() is None, 10, f"the end of {self.name} ({pid})")
        self._pid_file.unlink(missing_ok=True)
        return pid is not None


def _signal(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


def _started_at(pid: int) -> str | None:
    """The process's start time in the kernel's ticks; None once it has ended, be it reaped or not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        # The name in the second field may hold spaces and brackets, so the fields are counted from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
