# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that broke runners off are carried out alone, each in a process of its own.

A runner that dies tells nobody why. A process that dies while the runner lives was brought down by its one request:
that is what is counted. When the runner is killed, its solitary process ends with it, and nothing is counted.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from .contract.messages import TaskRequest
from .ports import Errand, NotStarted

log = logging.getLogger(__name__)

#: Seconds between two looks at the process, and at whether it is still wanted.
_POLL = 0.2
_CANCEL, _BEGUN = b"cancel\n", b"begun\n"


def encode(errand: Errand) -> bytes:
    """Two lines."""
    head = json.dumps({"attempt": errand.attempt, "sequence": errand.sequence}).encode()
    return head + b"\n" + errand.request.encode() + b"\n"


def read(stream: IO[bytes]) -> Errand:
    """What the process is to do."""
    head = json.loads(stream.readline())
    request = TaskRequest.decode(stream.readline())
    return Errand(request=request, attempt=head["attempt"], sequence=head["sequence"])


class SolitaryProcess:
    """Runs ``millwright runner alone`` for one request at a time. The orchestrator's Solitary."""

    def __init__(self, command: tuple[str, ...] = ()):
        self._command = command or (sys.executable, "-m", "runner_service.alone")

    def carry_out(self, errand: Errand, stopped: Callable[[], bool], cancelled: Callable[[], bool]) -> bool:
        """Whether the process brought the request to its end. False: it broke off, or was stopped.

        Raises NotStarted."""
        try:
            process = subprocess.Popen(  # noqa: S603  # our own command
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise NotStarted(f"{self._command[0]}: {error.strerror}") from error
        ended = self._carry_out(process, errand, stopped, cancelled)
        has_begun = _has_begun(process)
        if not (ended or stopped() or has_begun):
            raise NotStarted(f"it ended with {process.returncode} before it had read the request; see its lines above")
        return ended

    def _carry_out(
        self,
        process: subprocess.Popen[bytes],
        errand: Errand,
        stopped: Callable[[], bool],
        cancelled: Callable[[], bool],
    ) -> bool:
        assert process.stdin is not None
        try:
            process.stdin.write(encode(errand))
            process.stdin.flush()
            self._wait(process, process.stdin, stopped, cancelled)
        except BrokenPipeError:
            log.warning("request %s: its process is gone", errand.request.id)
        finally:
            if process.poll() is None and stopped():
                process.kill()
            with suppress(BrokenPipeError):  # what was written and not read goes with it
                process.stdin.close()
        return process.wait() == 0

    @staticmethod
    def _wait(
        process: subprocess.Popen[bytes], stdin: IO[bytes], stopped: Callable[[], bool], cancelled: Callable[[], bool]
    ) -> None:
        told = False
        while not stopped():
            if cancelled() and not told:
                stdin.write(_CANCEL)
                stdin.flush()
                told = True
            try:
                process.wait(_POLL)
            except subprocess.TimeoutExpired:
                continue
            return


def say_begun() -> None:
    """In the process: all that it needs is loaded, and what brings it down from now on is its request. Nobody reads
    more than this word there: what is printed from now on goes where its log goes, and fills no pipe."""
    os.write(1, _BEGUN)
    os.dup2(2, 1)


def _has_begun(process: subprocess.Popen[bytes]) -> bool:
    """Of one that has ended. What it has started may still have its output open, so there may be no end to read."""
    assert process.stdout is not None
    with process.stdout as said:
        os.set_blocking(said.fileno(), False)
        return bool(said.read(len(_BEGUN)))


def watch_parent(stream: IO[bytes], cancel: Callable[[], None]) -> None:
    """In the process: pass the wish to cancel on, and end at once when the runner has."""

    def watch() -> None:
        for line in stream:
            if line == _CANCEL:
                cancel()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
