# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a connection to libvirt: quietly, with credentials, and never waiting longer than was said."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from ..base import Connection
from ..errors import AuthenticationFailed, InvalidUrl, Unreachable
from .faults import is_mistyped, translated
from .sdk import libvirt

#: A connection that says nothing for this many seconds is dead; libvirt then fails every call on it.
KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 5, 4

_ASKED_FOR_NAME = (libvirt.VIR_CRED_USERNAME, libvirt.VIR_CRED_AUTHNAME)
_ASKED_FOR_SECRET = (libvirt.VIR_CRED_PASSPHRASE, libvirt.VIR_CRED_NOECHOPROMPT)


def is_test(url: str) -> bool:
    """Whether the hypervisor is libvirt's own mock of one."""
    return urlsplit(url).scheme.partition("+")[0] == "test"


def is_local(url: str) -> bool:
    """Whether the hypervisor's files are the files of this host."""
    return not urlsplit(url).hostname and not is_test(url)


def shown(url: str) -> str:
    """The URL without a password, for messages."""
    parts = urlsplit(url)
    user, colon, _password = parts.netloc.rpartition("@")[0].partition(":")
    if not colon:
        return url
    return _url(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))


def target(connection: Connection) -> str:
    """The URL that libvirt is given: with the user's name, and with what makes it neither ask nor trust blindly."""
    parts = urlsplit(connection.url)
    transport = parts.scheme.partition("+")[2]
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if transport == "ssh":
        # A prompt on a terminal would hang a service.
        query.setdefault("no_tty", "1")
    if not connection.validate_certs and parts.hostname:
        query.setdefault("no_verify", "1")
    if connection.ca_path and parts.hostname:
        query.setdefault("pkipath", connection.ca_path)
    host = parts.netloc
    if transport and connection.username and parts.hostname and "@" not in host:
        host = f"{quote(connection.username, safe='')}@{host}"
    return _url(parts._replace(netloc=host, query=urlencode(query, safe="/")))


def _url(parts: SplitResult) -> str:
    """Unlike urlunsplit, keeps the empty host of ``qemu:///system`` for every scheme."""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}"


def open_connection(connection: Connection) -> libvirt.virConnect:
    """A connection that answered. Raises Unreachable within ``connect_timeout``, InvalidUrl, AuthenticationFailed."""
    _be_quiet()
    if not is_test(connection.url):
        _start_event_loop()
    attempt = _Attempt(connection)
    thread = threading.Thread(target=attempt.run, daemon=True, name="libvirt-open")
    thread.start()
    thread.join(connection.connect_timeout)
    return attempt.outcome()


@dataclass
class _Attempt:
    """libvirt cannot be told how long to wait, so a thread waits for it; one that hangs is left to itself."""

    connection: Connection
    opened: libvirt.virConnect | None = None
    error: libvirt.libvirtError | None = None
    given_up: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        opened = error = None
        try:
            opened = _open(self.connection)
        except libvirt.libvirtError as failure:
            error = failure
        with self.lock:
            self.opened, self.error = opened, error
            if opened is not None and self.given_up:
                opened.close()

    def outcome(self) -> libvirt.virConnect:
        tried = f"connecting to {shown(self.connection.url)}"
        with self.lock:
            if self.opened is not None:
                return self.opened
            self.given_up = True
        if self.error is None:
            seconds = self.connection.connect_timeout
            raise Unreachable(f"{tried} failed", detail=f"no answer within {seconds} seconds", here=True)
        ours = translated(tried, self.error)
        if isinstance(ours, AuthenticationFailed):
            raise ours from self.error
        # Whatever else libvirt says, it could not make a connection of this URL.
        kind = InvalidUrl if is_mistyped(self.error) else Unreachable
        raise kind(ours.message, detail=ours.detail, here=True) from self.error


def _open(connection: Connection) -> libvirt.virConnect:
    answers = [list(_ASKED_FOR_NAME + _ASKED_FOR_SECRET), _answer, connection]
    opened = libvirt.openAuth(target(connection), answers, 0)
    if not is_test(connection.url):
        _keep_alive(opened)
    return opened


def _keep_alive(opened: libvirt.virConnect) -> None:
    """Where the transport has keepalive, a peer that died ends in an error and not in a hang."""
    try:
        opened.setKeepAlive(KEEPALIVE_INTERVAL, KEEPALIVE_COUNT)
    except libvirt.libvirtError:
        return


def _answer(asked: list[list[Any]], connection: Connection) -> int:
    """libvirt's callback: fill in what it asks for, or refuse, so that nobody is asked on a terminal."""
    for question in asked:
        known = connection.username if question[0] in _ASKED_FOR_NAME else connection.password
        if known is None:
            return -1
        question[4] = known
    return 0


@cache
def _be_quiet() -> None:
    """libvirt writes every error to stderr unless told otherwise; ours carry its words."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)


@cache
def _start_event_loop() -> None:
    """Keepalive and the embedded hypervisor need somebody to run libvirt's event loop."""
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run_event_loop, daemon=True, name="libvirt-events").start()


def _run_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
