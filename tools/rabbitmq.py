# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One private RabbitMQ node with an Erlang port mapper of its own: DIR/rabbitmq holds its data."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from tools.private_files import write_private
from tools.processes import Background
from tools.waiting import wait_until

READY_TIMEOUT = 180

#: Not the one in /usr/sbin, which insists on another user.
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"

# A request stays unacknowledged until its task has ended, which may take hours: the broker must not lose patience.
CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
default_user = millwright
default_pass = {password}
consumer_timeout = 86400000
disk_free_limit.absolute = 50MB
"""


def start(place: Path, ports: dict[str, int], password: str) -> None:
    """Start the node; ``wait_ready`` says when it answers."""
    home = place / "rabbitmq"
    home.mkdir(parents=True, exist_ok=True)
    write_private(home / "rabbitmq.conf", CONFIGURATION.format(password=password, **ports))
    (home / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (home / "rabbitmq-env.conf").touch()
    environment = _environment(home, ports)
    # Started by us, and in the foreground, so that it can be stopped; Erlang would leave it behind.
    _mapper(place).start(["epmd"], environment)
    _node(place).start([SERVER], environment)


def wait_ready(place: Path, ports: dict[str, int], password: str) -> None:
    """Wait until the broker takes connections and its HTTP API answers."""
    node = _node(place)
    url = f"http://127.0.0.1:{ports['management']}/api/aliveness-test/%2F"

    def answers() -> bool:
        node.require()
        try:
            return httpx.get(url, auth=("millwright", password), trust_env=False, timeout=10).is_success
        except httpx.TransportError:
            return False

    wait_until(answers, READY_TIMEOUT, f"RabbitMQ in {place}, see {node.log}", every=0.2)


def stop(place: Path) -> None:
    _node(place).stop()
    _mapper(place).stop()


def runs(place: Path) -> bool:
    return _node(place).pid() is not None


def mapper_runs(place: Path) -> bool:
    return _mapper(place).pid() is not None


def _node(place: Path) -> Background:
    return Background(place, "rabbitmq")


def _mapper(place: Path) -> Background:
    return Background(place, "epmd")


def _environment(home: Path, ports: dict[str, int]) -> dict[str, str]:
    """Nothing of the caller's environment or of /etc/rabbitmq counts."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        # The script then becomes the node, so that the process we know is the one to stop.
        "RUNNING_UNDER_SYSTEMD": "true",
        # The same whatever the ports are: what the node has kept is kept under this name.
        "RABBITMQ_NODENAME": "millwright@localhost",
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_DIST_PORT": str(ports["distribution"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
