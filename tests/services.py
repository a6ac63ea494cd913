# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real services for tests: one MariaDB and one RabbitMQ a session, a database and a virtual host of its own a test."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import pymysql

from tools import libvirtd, services
from tools.services import Services

ROOT = Path(__file__).parent.parent
DIRECTORY = ROOT / ".run" / "test"


@contextmanager
def shared_services() -> Iterator[Services]:
    """The services of .run/test, shared by test sessions that run at once; the last one to leave stops them."""
    with _shared("services", lambda: services.stop(DIRECTORY)):
        yield services.start(DIRECTORY)


@contextmanager
def shared_libvirt() -> Iterator[None]:
    """libvirt answers on qemu:///system. Daemons that had to be started stop when the last session has left."""
    with _shared("libvirt", lambda: libvirtd.stop(DIRECTORY)):
        with (DIRECTORY / "libvirt.starting").open("w") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            libvirtd.ensure(DIRECTORY)
        yield


@contextmanager
def _shared(name: str, stop: Callable[[], None]) -> Iterator[None]:
    """While it is entered, nobody stops it; the last one to leave does."""
    DIRECTORY.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (DIRECTORY / f"{name}.sessions").open("w") as sessions:
        fcntl.flock(sessions, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(sessions, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stop()


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of an empty database on the server, which is dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    _run(server_url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield with_path(server_url, name)
    finally:
        _run(server_url, f"DROP DATABASE {name}")


def with_path(url: str, path: str) -> str:
    """The same URL with another database or virtual host."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def _run(server_url: str, statement: str) -> None:
    where = urlsplit(server_url)
    connection = pymysql.connect(
        host=where.hostname, port=where.port or 3306, user=where.username, password=where.password or ""
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)


@dataclass(frozen=True)
class Broker:
    """A RabbitMQ server whose HTTP API makes virtual hosts."""

    amqp_url: str
    management_url: str

    @contextmanager
    def fresh_vhost(self) -> Iterator[str]:
        """The AMQP URL of an empty virtual host, which is removed afterwards with all that is in it."""
        name = f"test-{secrets.token_hex(6)}"
        user = urlsplit(self.amqp_url).username
        self._ask("PUT", f"vhosts/{name}")
        self._ask("PUT", f"permissions/{name}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
        try:
            yield with_path(self.amqp_url, name)
        finally:
            self._ask("DELETE", f"vhosts/{name}")

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> None:
        answer = httpx.request(method, f"{self.management_url}/api/{path}", json=body, trust_env=False, timeout=60)
        answer.raise_for_status()
