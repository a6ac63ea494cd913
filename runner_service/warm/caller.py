# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run takes from whoever asked for it, although the server forked it: limits, priority, its terminal.

All of it is read from the asking process, which cannot say anything else than what is so.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

#: A run of other rights is another run. Of these nothing can be taken over.
_RIGHTS = (
    "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
)  # fmt: skip
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_LIMITS = sorted(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
#: ioprio_get(2) and ioprio_set(2), which have no wrapper, by machine.
_IO_PRIORITY = {"x86_64": (252, 251), "aarch64": (31, 30)}
_OF_PROCESS = 1
#: What bounds a control group.
_BOUNDS = ("memory.max", "memory.high", "cpu.max", "pids.max")
_GROUPS = Path("/sys/fs/cgroup")
#: Fields of /proc/PID/stat behind the name: the group, the terminal, and the group in front of it (proc_pid_stat(5)).
_GROUP, _TERMINAL, _IN_FRONT = 2, 4, 5
#: Major numbers of pseudo terminals.
_PTS = range(136, 144)
_PAUSE = 0.1


class Different(Exception):
    """The caller has what this process cannot have."""


class Caller:
    """The process that asks for a run; it waits for the run's end."""

    def __init__(self, process: int):
        self.process = process
        self._directory = Path(f"/proc/{process}")

    def become_like(self) -> None:
        """Raises Different."""
        try:
            self._have_the_same_rights()
            self._join_the_group()
            self._take_limits()
            self._take_priorities()
        except OSError as error:
            raise Different(f"what the caller may use cannot be taken over: {error}") from None

    def take_signals(self) -> None:
        """What the caller was started to ignore (nohup, a shell's background), the run ignores, too."""
        ignored = int(_status(self._directory)["SigIgn"], 16)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            if ignored >> (number - 1) & 1:
                signal.signal(number, signal.SIG_IGN)

    def lend_terminal(self) -> None:
        """For who asks for passwords, or whether it is in front: this process is in a session of its own."""
        getpass_module: Any = getpass
        getpass_module.os = _Terminal(self._terminal, self._wait_for_turn)
        os_module: Any = os
        really = os.tcgetpgrp

        def in_front(descriptor: int) -> int:
            try:
                return really(descriptor)
            except OSError:
                if not os.isatty(descriptor):
                    raise
                return os.getpgrp() if self._is_in_front() else 0

        os_module.tcgetpgrp = in_front

    def _have_the_same_rights(self) -> None:
        theirs, ours = _status(self._directory), _status(Path("/proc/self"))
        for name in _RIGHTS:
            if theirs.get(name) != ours.get(name):
                raise Different(f"the server has other rights ({name})")
        for name in _NAMESPACES:
            if (self._directory / "ns" / name).readlink() != Path("/proc/self/ns", name).readlink():
                raise Different(f"the server is in another namespace ({name})")

    def _join_the_group(self) -> None:
        """If this may not be done, it only matters if the caller's group is bounded."""
        theirs = (self._directory / "cgroup").read_text()
        if theirs == Path("/proc/self/cgroup").read_text() or not theirs.startswith("0::/"):
            return
        group = _GROUPS / theirs.strip().removeprefix("0::/")
        try:
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            if any(_is_bounded(group / name) for name in _BOUNDS):
                raise

    def _take_limits(self) -> None:
        for limit in _LIMITS:
            wanted = resource.prlimit(self.process, limit)
            if wanted != resource.getrlimit(limit):
                try:
                    resource.setrlimit(limit, wanted)
                except ValueError as error:
                    raise Different(f"the server has lower limits: {error}") from None
        ours, theirs = Path("/proc/self/oom_score_adj"), self._directory / "oom_score_adj"
        if (wanted_score := theirs.read_text()) != ours.read_text():
            with suppress(PermissionError):  # to be killed rather than others is no harm
                ours.write_text(wanted_score)

    def _take_priorities(self) -> None:
        policy, parameters = os.sched_getscheduler(self.process), os.sched_getparam(self.process)
        if policy != os.sched_getscheduler(0):
            os.sched_setscheduler(0, policy, parameters)
        nice = os.getpriority(os.PRIO_PROCESS, self.process)
        if nice != os.getpriority(os.PRIO_PROCESS, 0):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        processors = os.sched_getaffinity(self.process)
        if processors != os.sched_getaffinity(0):
            os.sched_setaffinity(0, processors)
        _take_io_priority(self.process)

    def _terminal(self) -> str:
        """The caller's. Raises OSError where it has none, as opening /dev/tty does."""
        number = int(self._stat()[_TERMINAL])
        if number and os.major(number) in _PTS:
            return f"/dev/pts/{os.minor(number) + 256 * (os.major(number) - _PTS.start)}"
        if number:
            return str(Path(f"/dev/char/{os.major(number)}:{os.minor(number)}").resolve(strict=True))
        return "/dev/tty"

    def _is_in_front(self) -> bool:
        stat = self._stat()
        return stat[_GROUP] == stat[_IN_FRONT]

    def _wait_for_turn(self) -> None:
        """As the kernel does with who reads from a terminal in the background: the caller stops, until in front."""
        while int(self._stat()[_TERMINAL]) and not self._is_in_front():
            os.kill(self.process, signal.SIGTTIN)
            time.sleep(_PAUSE)

    def _stat(self) -> list[str]:
        return (self._directory / "stat").read_text().rpartition(")")[2].split()


class _Terminal:
    """The module os for getpass, but that /dev/tty is the caller's terminal."""

    def __init__(self, terminal: Callable[[], str], wait: Callable[[], None]):
        self._terminal, self._wait = terminal, wait

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int) -> int:
        self._wait()
        return os.open(self._terminal() if path == "/dev/tty" else path, flags)


def _status(process: Path) -> dict[str, str]:
    lines = (process / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _is_bounded(bound: Path) -> bool:
    try:
        return not bound.read_text().startswith("max")
    except OSError:
        return False


def _take_io_priority(process: int) -> None:
    if numbers := _IO_PRIORITY.get(os.uname().machine):
        get, put = numbers
        libc = ctypes.CDLL(None, use_errno=True)
        wanted = libc.syscall(get, _OF_PROCESS, process)
        if wanted not in (-1, libc.syscall(get, _OF_PROCESS, 0)) and libc.syscall(put, _OF_PROCESS, 0, wanted):
            raise OSError(ctypes.get_errno(), "priority of input and output")
