# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The warm server: waits at a socket, and forks a process with Ansible loaded for each run.

It has one thread and does nothing with a run but fork for it, so that it stays small and no client can hold it up: the
forked process itself reads what it is to run. The server only watches who asked for the run, and ends the run with all
that it started when they are gone.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from .caller import Caller, Different
from .processes import end_with_descendants, keep_descendants, show_as
from .wire import Broken, Line, Request, address_of

log = logging.getLogger(__name__)

#: Seconds for a client to say what it wants, and then to say go.
_PATIENCE = 10.0
_PEER = struct.Struct("3i")
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR
#: What the server handles or ignores, and a run is not to inherit.
_HANDLED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1)
#: Said by a server at its lifeline: it takes nothing on any more.
RETIRED = b"!"
#: Of a run's environment /proc shows as much as there is room for in the server's own: this first, by which runs are
#: found.
_MARK = b"AWX_ISOLATED_DATA_DIR="


class Playbooks(Protocol):
    """What is loaded, and how it is run (``playbooks.Preloaded``)."""

    def is_stale(self) -> bool: ...
    def become(self, request: Request) -> bool: ...
    def run(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Run:
    """A forked process, and the connection of whoever wants it."""

    process: int
    pidfd: int
    client: socket.socket

    def close(self) -> None:
        os.close(self.pidfd)
        self.client.close()


class Server:
    """Serves until ``lifeline`` ends, or nothing was asked for ``idle`` seconds (0: for ever), or it is out of date, or
    SIGUSR1 comes: then runs that have begun go on to their end, and another server can take its place meanwhile. It
    says so at its lifeline.

    ``lock`` is a descriptor to close then; ``tell`` hears of each run how many there were, and how many there are.
    """

    def __init__(  # noqa: PLR0913  # all but two are for who needs them
        self,
        path: Path,
        playbooks: Playbooks,
        *,
        lifeline: int | None = None,
        idle: float = 0.0,
        lock: int | None = None,
        tell: Callable[[int, int], None] = lambda _served, _running: None,
    ):
        self._playbooks = playbooks
        self._lock = lock
        self._tell = tell
        self._served = 0
        self._lifeline = lifeline
        self._idle = idle
        self._path = path
        self._runs: dict[int, Run] = {}
        self._poll = select.poll()
        self._listener = _listener(path)
        self._poll.register(self._listener, select.POLLIN)
        if lifeline is not None:
            self._poll.register(lifeline, select.POLLIN)
        self._signals, self._waker = _signals()
        self._poll.register(self._signals, select.POLLIN)
        self._ended = self._retired = False

    def serve(self) -> None:
        """Afterwards nothing listens at the path, and no run is left."""
        try:
            while not self._ended:
                self._turn()
        finally:
            for run in list(self._runs.values()):
                end_with_descendants(run.process)
            self._listener.close()
            signal.set_wakeup_fd(-1)
            self._signals.close()
            self._waker.close()

    def stop(self) -> None:
        self._ended = True

    def retire(self) -> None:
        """Take nothing on any more. First the path, then the lock: whoever has it next has made the path anew."""
        if self._retired:
            return
        self._retired = True
        self._poll.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        if self._lifeline is not None:
            with suppress(OSError):
                os.write(self._lifeline, RETIRED)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _turn(self) -> None:
        if self._retired and not self._runs:
            self.stop()
            return
        may_idle = self._idle and not self._runs
        events = self._poll.poll(self._idle * 1000 if may_idle else None)
        if not events and may_idle:
            self.retire()
        for descriptor, _event in events:
            if descriptor == self._signals.fileno():
                self._hear_signals()
            elif descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self._lifeline:
                self._live()
            else:
                self._look_at(descriptor)

    def _live(self) -> None:
        """Answer a question of whoever started the server; without them it has no reason to be."""
        assert self._lifeline is not None
        try:
            data = os.read(self._lifeline, 4096)
        except ConnectionResetError:  # it has gone without reading what we said last
            data = b""
        if not data:
            self.stop()
            return
        with suppress(OSError):
            os.write(self._lifeline, data[-1:])

    def _hear_signals(self) -> None:
        if signal.SIGUSR1 in self._signals.recv(4096):
            self.retire()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            log.warning("a connection was lost before it began: %s", error)
            return
        if not _is_ours(client):
            client.close()
        elif self._playbooks.is_stale():
            log.info("a collection or the configuration has changed: this server has had its time")
            client.close()
            self.retire()
        else:
            self._fork(client)

    def _fork(self, client: socket.socket) -> None:
        try:
            process = os.fork()
        except OSError as error:
            log.error("cannot fork: %s", error)
            client.close()
            return
        if process == 0:
            self._be_the_run(client)
        run = Run(process=process, pidfd=os.pidfd_open(process), client=client)
        self._runs[run.pidfd] = self._runs[client.fileno()] = run
        self._poll.register(run.pidfd, select.POLLIN)
        self._poll.register(client, _GONE)
        self._served += 1
        self._say()

    def _say(self) -> None:
        """To whoever looks; once retired, another server may be the one to say it."""
        if not self._retired:
            self._tell(self._served, sum(1 for descriptor, run in self._runs.items() if descriptor == run.pidfd))

    def _look_at(self, descriptor: int) -> None:
        run = self._runs.get(descriptor)
        if run is None:
            return
        if descriptor != run.pidfd:
            # Whoever asked is gone. The run may just have ended; else it ends now, and its pidfd will say so.
            self._poll.unregister(run.client)
            del self._runs[run.client.fileno()]
            end_with_descendants(run.process)
            return
        self._bury(run)

    def _bury(self, run: Run) -> None:
        _, status = os.waitpid(run.process, 0)
        self._poll.unregister(run.pidfd)
        del self._runs[run.pidfd]
        if self._runs.pop(run.client.fileno(), None):
            self._poll.unregister(run.client)
        if os.WIFSIGNALED(status):
            with suppress(Broken):
                Line(run.client).say(b"signal", b"%d" % os.WTERMSIG(status))
        run.close()
        self._say()

    def _be_the_run(self, client: socket.socket) -> NoReturn:
        """In the forked process. Whatever happens, it does not come back."""
        code = 1
        try:
            os.setsid()
            keep_descendants()
            self._close_what_is_the_servers()
            code = _run(client, self._playbooks)
        except BaseException as error:  # noqa: BLE001  # this process must not go on as a server
            with suppress(Exception):
                sys.stderr.write(f"ERROR! {type(error).__name__}: {error}\n")
        finally:
            os._exit(code)

    def _close_what_is_the_servers(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        for one in (self._listener, self._signals, self._waker):
            one.close()
        for descriptor in (self._lifeline, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        for run in set(self._runs.values()):
            run.close()


def _run(client: socket.socket, playbooks: Playbooks) -> int:
    client.settimeout(_PATIENCE)
    line = Line(client)
    request = Request.of(line.hear())
    if not playbooks.become(request):
        line.say(b"refused", b"the server was started with other settings")
        return 1
    caller = Caller(_peer(client)[0])
    try:
        caller.become_like()
    except Different as error:
        line.say(b"refused", str(error).encode())
        return 1
    show_as([b"ansible-playbook", *request.arguments], request.environment, _MARK)
    line.say(b"ready", b"%d" % os.getpid())
    word, fds = line.hear_with_fds()
    if word != [b"go"]:
        raise Broken("it did not say go")
    client.settimeout(None)
    _take_streams(fds)
    caller.lend_terminal()
    caller.take_signals()
    code = playbooks.run()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with suppress(Broken):
        line.say(b"exit", b"%d" % code)
    return code


def _take_streams(fds: tuple[int, ...]) -> None:
    for number, descriptor in enumerate(fds):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def _listener(path: Path) -> socket.socket:
    """Listens at the path, for this user alone. One that was there before is replaced, in one step."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made = path.with_name(f"{path.name}.{os.getpid()}")
    umask = os.umask(0o177)
    try:
        address, descriptor = address_of(str(made))
        listener.bind(address)
        os.close(descriptor)
    finally:
        os.umask(umask)
    listener.listen(128)
    made.replace(path)
    return listener


def _is_ours(client: socket.socket) -> bool:
    process, user, _group = _peer(client)
    return process > 0 and user == os.getuid()


def _peer(client: socket.socket) -> tuple[int, int, int]:
    """Process, user and group of who is at the other end; no process where it is in a namespace that we cannot see."""
    process, user, group = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return process, user, group


def _signals() -> tuple[socket.socket, socket.socket]:
    """The first is readable when a signal has come, so that it is dealt with between turns and never within one."""
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.settimeout(0)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    return ours, theirs
