# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MariaDB and the RabbitMQ of the chaos: started once, empty for every seed, killed and brought back."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pymysql

from tools import services
from tools.fresh import fresh_database, fresh_vhost
from tools.processes import Background, ProcessEnded
from tools.services import Services
from tools.waiting import wait_until

NAMES = ("rabbitmq", "mariadb")
#: What starting one says that is killed meanwhile.
DIED_AGAIN = (ProcessEnded, TimeoutError, pymysql.Error)


class Server(Protocol):
    """Something outside the platform that it lives on, and that keeps what it has while it is dead."""

    def kill(self) -> None:
        """As if its machine had lost its power."""

    def start(self) -> None:
        """Afterwards it answers where it did before, with what it had."""


@dataclass(frozen=True)
class One:
    """One of the servers."""

    servers: Servers
    name: str

    def kill(self) -> None:
        self.servers.kill(self.name)

    def start(self) -> None:
        self.servers.start()


class Servers:
    """Private servers in a directory, which keeps their data while they are dead."""

    def __init__(self, directory: Path):
        self._directory = directory
        #: The keeper starts what is dead, and so does who wants everything to run: each server once.
        self._starting = threading.Lock()
        self._known = services.start(directory)

    @contextmanager
    def fresh(self) -> Iterator[Services]:
        """An empty database and an empty virtual host, removed afterwards."""
        with ExitStack() as stack:
            database_url = stack.enter_context(fresh_database(self._known.database_url))
            amqp_url = stack.enter_context(fresh_vhost(self._known.amqp_url, self._known.management_url))
            # What was killed last must answer before it can remove them.
            stack.callback(self.start)
            yield replace(self._known, database_url=database_url, amqp_url=amqp_url)

    def each(self) -> dict[str, Server]:
        return {name: One(self, name) for name in NAMES}

    def start(self) -> None:
        """Afterwards both answer, at the ports that they had."""
        with self._starting:
            if services.start(self._directory) != self._known:
                raise RuntimeError(f"somebody took a port of the servers in {self._directory}")

    def kill(self, name: str) -> None:
        process = Background(self._directory, name)
        if (pid := process.pid()) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        # Not by stop(): it would forget the process, which somebody else may have started again meanwhile.
        wait_until(lambda: process.pid() != pid, 30, f"the end of {name} ({pid})")

    def logs(self) -> list[Path]:
        """What they have printed, over all seeds."""
        return [Background(self._directory, name).log for name in NAMES]

    def close(self) -> None:
        """Stop them; what they have stays."""
        services.stop(self._directory)
