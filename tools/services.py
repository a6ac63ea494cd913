# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private MariaDB and RabbitMQ in a directory of their own, beside whatever the machine runs already.

``python -m tools.services start|stop|remove DIR``. They listen on loopback only, on ports that DIR remembers, with
passwords that were made for DIR. DIR/env (readable by its owner only) tells how to reach them.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import random
import secrets
import shutil
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import mariadb, rabbitmq
from tools.private_files import write_private
from tools.waiting import wait_until

#: Every port, and whether the one process of ours that listens on it runs.
OWNERS: dict[str, Callable[[Path], bool]] = {
    "mariadb": mariadb.runs,
    "amqp": rabbitmq.runs,
    "management": rabbitmq.runs,
    "distribution": rabbitmq.runs,
    "epmd": rabbitmq.mapper_runs,
}
#: Below the range that the kernel gives to outgoing connections, so that nobody takes our ports while we are stopped.
PORT_RANGE = range(20_000, 32_000)


@dataclass(frozen=True)
class Services:
    """How to reach the private services."""

    database_url: str
    amqp_url: str
    #: RabbitMQ's HTTP API, with user and password; makes and removes virtual hosts.
    management_url: str


def start(directory: str | Path) -> Services:
    """Start what does not run yet, and wait until both answer. What was kept by an earlier start is there again."""
    place = _place(directory)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(place):
        password = _password(place)
        ports = _ports(place)
        rabbitmq.start(place, ports, password)
        mariadb.start(place, ports["mariadb"], password)
        rabbitmq.wait_ready(place, ports, password)
        services = known(place)
        _write_env(place, services)
    return services


def known(directory: str | Path) -> Services:
    """How to reach the services of a directory in which they were started before."""
    place = _place(directory)
    password, ports = _password(place), _ports(place)
    return Services(
        database_url=f"mysql+pymysql://millwright:{password}@127.0.0.1:{ports['mariadb']}/millwright?charset=utf8mb4",
        amqp_url=f"amqp://millwright:{password}@127.0.0.1:{ports['amqp']}/%2F",
        management_url=f"http://millwright:{password}@127.0.0.1:{ports['management']}",
    )


def stop(directory: str | Path) -> None:
    """Stop what was started in the directory; its data stay."""
    place = _place(directory)
    if place.is_dir():
        with _alone(place):
            mariadb.stop(place)
            rabbitmq.stop(place)


def remove(directory: str | Path) -> None:
    """Stop what was started in the directory, and remove the directory with all data."""
    stop(directory)
    shutil.rmtree(_place(directory), ignore_errors=True)


def _place(directory: str | Path) -> Path:
    return Path(directory).absolute()


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Nobody else starts or stops services in this directory meanwhile."""
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _password(place: Path) -> str:
    path = place / "password"
    if not path.exists():
        write_private(path, secrets.token_hex(16))
    return path.read_text()


def _ports(place: Path) -> dict[str, int]:
    """The ports of this directory; a new one for each that was never chosen, or that somebody else has taken."""
    path = place / "ports.json"
    known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    ports = {name: port for name, port in known.items() if OWNERS[name](place) or _becomes_free(port)}
    for name in OWNERS:
        if name not in ports:
            ports[name] = free_port(taken=ports.values())
    path.write_text(json.dumps(ports))
    return ports


def free_port(*, preferred: int | None = None, taken: Collection[int] = ()) -> int:
    """A port of the loopback that nobody listens on: the preferred one if possible."""
    candidates = [*([preferred] if preferred else []), *random.sample(PORT_RANGE, len(PORT_RANGE))]
    return next(port for port in candidates if port not in taken and _is_free(port))


def _becomes_free(port: int) -> bool:
    """Whether nobody else has it. A server that was killed a moment ago may still hold it."""
    try:
        return wait_until(lambda: _is_free(port), 5, f"port {port} to be free")
    except TimeoutError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _write_env(place: Path, services: Services) -> None:
    lines = [
        f"DATABASE_URL='{services.database_url}'",
        f"AMQP_URL='{services.amqp_url}'",
        f"AMQP_MANAGEMENT_URL='{services.management_url}'",
    ]
    write_private(place / "env", "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop", "remove"])
    parser.add_argument("directory", help="where their data, logs and process ids are kept")
    chosen = parser.parse_args()
    {"start": start, "stop": stop, "remove": remove}[chosen.action](chosen.directory)
    if chosen.action == "start":
        print(f"MariaDB and RabbitMQ answer; {chosen.directory}/env says where.")


if __name__ == "__main__":
    main()
