# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real services for tests: one MariaDB and one RabbitMQ a session, a database and a virtual host of its own a test."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import libvirtd, services
from tools.fresh import fresh_database, fresh_vhost
from tools.services import Services

__all__ = ["Broker", "fresh_database", "shared_libvirt", "shared_services"]

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


@dataclass(frozen=True)
class Broker:
    """A RabbitMQ server whose HTTP API makes virtual hosts."""

    amqp_url: str
    management_url: str

    def fresh_vhost(self) -> AbstractContextManager[str]:
        """The AMQP URL of an empty virtual host, which is removed afterwards with all that is in it."""
        return fresh_vhost(self.amqp_url, self.management_url)
