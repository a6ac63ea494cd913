# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to a fake hypervisor: logging in, keeping a session, and carrying out one operation after another."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from ..base import Connection
from ..errors import AuthenticationFailed, Unreachable
from .behaviour import Behaviour
from .store import Store
from .work import Work, reach


class FakeConnection:
    """What FakeDriver stands on."""

    def __init__(self, store: Store, session: str | None):
        self._store = store
        self._token = session or secrets.token_urlsafe()
        #: A session that nobody keeps ends with the connection.
        self._kept = session is not None

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Raises Unreachable, AuthenticationFailed."""
        store = reach(connection)
        driver = cls(store, connection.session)
        with driver._work("open", "") as work:
            work.happens()
            if connection.session is None:
                driver._log_in(connection)
            elif _digest(connection.session) not in store.read().sessions:
                raise AuthenticationFailed(f"{connection.url} does not know this session; log in again")
        return driver

    def session(self) -> str | None:
        self._kept = True
        return self._token

    def logout(self) -> None:
        with self._work("logout", "") as work:
            work.happens()
            self._end_session()

    def close(self) -> None:
        if not self._kept:
            self._end_session()

    def _end_session(self) -> None:
        with self._store.change() as world:
            world.sessions = [kept for kept in world.sessions if kept != _digest(self._token)]

    @contextmanager
    def _work(self, operation: str, vm: str) -> Iterator[Work]:
        with self._store.journal(operation, vm):
            work = Work(self._store, operation, vm)
            if work.behaviour.unreachable:
                raise Unreachable(f"fake://{self._store.directory} did not answer", detail="behaviour.json says so")
            yield work

    def _log_in(self, connection: Connection) -> None:
        if not Behaviour(self._store.behaviour()).accepts(connection.username, connection.password):
            raise AuthenticationFailed(
                f"{connection.url} did not accept the password of {connection.username!r}", detail="wrong password"
            )
        with self._store.change() as world:
            world.logins += 1
            world.sessions.append(_digest(self._token))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
