# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process beside the runner that ends the runner's runs when the runner cannot do so any more.

A playbook outlives the runner that started it. While it changes a hypervisor, another runner may have been given the
same work. So the guardian, in a session of its own, holds a pipe to the runner: when the pipe ends, the runner has, and
when no sign of life came for ``LIFE`` seconds, the runner is suspended or cut off and its work may be somebody else's.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from .. import logs
from .run_directories import end_processes_of

log = logging.getLogger(__name__)

#: Seconds without a sign of life after which the runs are ended.
LIFE = 10.0
#: Seconds between two looks at a silent runner's runs.
_PAUSE = 0.2
#: Seconds for which the guardian outlives its runner: what was just being started shows itself only after a moment.
_AFTERLIFE = 2.0
#: A sign of life: when it was given, by ``_now``. Written whole or not at all (pipe(7): PIPE_BUF).
_SIGN = struct.Struct("d")
#: Bytes that the pipe holds, some minutes of signs: a guardian that has not read for longer hangs.
_PIPE = 4096
#: Whoever ends a service sends these to all of its processes. The guardian ends when the runner has, and not before.
_NOT_MEANT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ROOT = Path(__file__).parents[2]


def _now() -> float:
    """Seconds by a clock that all processes share and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Guardian:
    """The runner's end: starts the guardian of the runs below a directory, and keeps it content. For one thread."""

    def __init__(self, directory: Path, *, life: float = LIFE, log_format: str = "text"):
        code = f"from {__name__} import main; main()"
        # -P -S: neither the place where the runner was started nor site-packages add anything; it starts in no time.
        self._command = (
            sys.executable, "-P", "-S", "-c", code, str(directory), str(life), log_format, str(os.getpid()),
        )  # fmt: skip
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> None:
        """Give a sign of life. Returns at once; a guardian that is dead, or does not listen, is replaced."""
        if self._sign():
            return
        log.error("the guardian of the runs is gone or hangs; starting another one")
        self._end(patience=0)
        try:
            self._start()
        except OSError as error:
            log.error("no guardian can be started; trying again: %s", error)

    def close(self) -> None:
        """Nothing is left to guard: call it when the directory is gone, or what is in it is to be ended and removed."""
        self._end(patience=2 * _AFTERLIFE)

    def _start(self) -> None:
        # It inherits what is blocked. Its environment is whole: neither secrets nor the mark by which runs are found.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_MEANT)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                self._command, env={"PYTHONPATH": str(_ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                bufsize=0, pipesize=_PIPE, start_new_session=True,
            )  # fmt: skip
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        os.set_blocking(self._pipe.fileno(), False)

    def _sign(self) -> bool:
        """Whether there was somebody to write to, and room: a guardian that hangs does not read."""
        try:
            return self._pipe.write(_SIGN.pack(_now())) is not None
        except (BrokenPipeError, ValueError):  # gone; or the last one could not be started, and the pipe is closed
            return False

    def _end(self, patience: float) -> None:
        self._pipe.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """The guardian's end; its arguments are the directory, the life, the form of the log, and the runner's pid."""
    directory, life, form, runner = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    logs.begin("INFO", form)
    _watch(sys.stdin.fileno(), directory, life, runner)
    _clear(directory)


def _watch(pipe: int, directory: Path, life: float, runner: int) -> None:
    """Until the runner is gone: end what runs while it gives no sign of life."""
    sign, was_silent = _now(), False
    # The parent is looked at, too, because a child that the runner was just forking may hold the pipe for a while.
    while os.getppid() == runner:
        if select.select([pipe], [], [], _PAUSE)[0]:
            signs = os.read(pipe, _PIPE)
            if not signs:
                return
            (sign,) = _SIGN.unpack(signs[-_SIGN.size :])
        silent = _now() - sign > life
        if silent and not was_silent:
            log.warning("no sign of life of the runner for %g s: its runs are ended", life)
        if silent:
            end_processes_of(directory)
        was_silent = silent


def _clear(directory: Path) -> None:
    """End and remove what a runner that is gone has left. One that stopped in order has left nothing."""
    if not directory.exists() and not end_processes_of(directory):
        return
    log.warning("the runner is gone: its runs are ended, and %s is removed", directory)
    until = _now() + _AFTERLIFE
    while end_processes_of(directory) or _now() < until:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(_PAUSE)
    shutil.rmtree(directory, ignore_errors=True)
