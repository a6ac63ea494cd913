# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that every test may ask for. Asking for a service marks the test with ``services``."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.services import Broker, fresh_database, shared_libvirt, shared_services
from tools.services import Services

# Whoever starts the tests in the background has them ignore interrupts, and with them all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines are shared: how long an example takes says nothing.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

#: Fixtures that need the private MariaDB or RabbitMQ.
SERVICE_FIXTURES = frozenset({"mariadb_url", "database_url", "amqp_url", "amqp_vhost_url"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SERVICE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("services")


@pytest.fixture(scope="session")
def private_services() -> Iterator[Services]:
    """The private services. Only for the fixtures below: they leave them alone if the environment names others."""
    with shared_services() as services:
        yield services


@pytest.fixture(scope="session")
def mariadb_url(request: pytest.FixtureRequest) -> str:
    """A database of a real MariaDB server, as an SQLAlchemy URL, whose user may make and drop databases."""
    given = os.environ.get("MILLWRIGHT_TEST_DATABASE_URL")
    return given or request.getfixturevalue("private_services").database_url


@pytest.fixture
def database_url(mariadb_url: str) -> Iterator[str]:
    """A fresh, empty database, dropped after the test."""
    with fresh_database(mariadb_url) as url:
        yield url


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    """A real RabbitMQ; MILLWRIGHT_TEST_AMQP_URL goes with MILLWRIGHT_TEST_AMQP_MANAGEMENT_URL."""
    if given := os.environ.get("MILLWRIGHT_TEST_AMQP_URL"):
        return Broker(given, os.environ["MILLWRIGHT_TEST_AMQP_MANAGEMENT_URL"])
    private = request.getfixturevalue("private_services")
    return Broker(private.amqp_url, private.management_url)


@pytest.fixture(scope="session")
def amqp_url(broker: Broker) -> str:
    """The default virtual host of a real RabbitMQ. Others use it too."""
    return broker.amqp_url


@pytest.fixture
def amqp_vhost_url(broker: Broker) -> Iterator[str]:
    """A fresh virtual host, removed after the test."""
    with broker.fresh_vhost() as url:
        yield url


@pytest.fixture(scope="session")
def libvirt_host() -> Iterator[None]:
    """libvirt answers on qemu:///system."""
    with shared_libvirt():
        yield


@pytest.fixture(autouse=True)
def libvirt_for_guests(request: pytest.FixtureRequest) -> None:
    """A test that starts real guests needs libvirt; where it cannot be had, the test fails."""
    if request.node.get_closest_marker("qemu"):
        request.getfixturevalue("libvirt_host")
