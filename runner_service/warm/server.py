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
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from .processes import end_with_descendants, keep_descendants, show_as
from .wire import Broken, Line, Request, address_of

log = logging.getLogger(__name__)

#: Seconds for a client to say what it wants, and then to say go.
_PATIENCE = 10.0
_PEER = struct.Struct("3i")
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR
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
    """Serves until ``lifeline`` ends, or nothing was asked for ``idle`` seconds (0: for ever), or it is out of date."""

    def __init__(self, path: Path, playbooks: Playbooks, *, lifeline: int | None = None, idle: float = 0.0):
        self._playbooks = playbooks
        self._lifeline = lifeline
        self._idle = idle
        self._path = path
        self._runs: dict[int, Run] = {}
        self._poll = select.poll()
        self._listener = _listener(path)
        self._poll.register(self._listener, select.POLLIN)
        if lifeline is not None:
            self._poll.register(lifeline, select.POLLIN)
        self._ended = False

    def serve(self) -> None:
        """Afterwards nothing listens at the path, and no run is left."""
        try:
            while not self._ended:
                self._turn()
        finally:
            for run in list(self._runs.values()):
                end_with_descendants(run.process)
            self._listener.close()

    def stop(self) -> None:
        self._ended = True

    def _turn(self) -> None:
        may_idle = self._idle and not self._runs
        events = self._poll.poll(self._idle * 1000 if may_idle else None)
        if not events and may_idle:
            self.stop()
        for descriptor, _event in events:
            if descriptor == self._listener.fileno():
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

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            log.warning("a connection was lost before it began: %s", error)
            return
        if not _is_ours(client):
            client.close()
        elif self._playbooks.is_stale():
            log.info("a collection has changed: this server has had its time")
            client.close()
            if not self._runs:
                self.stop()
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
        self._listener.close()
        if self._lifeline is not None:
            os.close(self._lifeline)
        for run in set(self._runs.values()):
            run.close()


def _run(client: socket.socket, playbooks: Playbooks) -> int:
    client.settimeout(_PATIENCE)
    line = Line(client)
    request = Request.of(line.hear())
    if not playbooks.become(request):
        line.say(b"refused", b"the server was started with other settings")
        return 1
    show_as([b"ansible-playbook", *request.arguments], request.environment, _MARK)
    line.say(b"ready", b"%d" % os.getpid())
    word, fds = line.hear_with_fds()
    if word != [b"go"]:
        raise Broken("it did not say go")
    client.settimeout(None)
    _take_streams(fds)
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
    _pid, uid, _gid = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return bool(uid == os.getuid())
