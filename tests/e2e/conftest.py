# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole platform for tests: API and relay once, and for each test a site of its own with its own runner."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.sites import Site
from tests.services import Broker, fresh_database
from tools.guest.build import guest_image
from tools.guest.pool import GuestPool
from tools.services import Services, free_port
from tools.stack import Stack
from webapi.cli.client import Client


@pytest.fixture(scope="session")
def house(mariadb_url: str, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """API and relay on a fresh database and a fresh virtual host."""
    with fresh_database(mariadb_url) as database_url, broker.fresh_vhost() as amqp_url:
        services = Services(database_url, amqp_url, broker.management_url)
        house = Stack(tmp_path_factory.mktemp("house"), services, f"127.0.0.1:{free_port()}")
        try:
            house.migrate()
            house.start_api()
            house.start_relay()
            yield house
        finally:
            house.stop()


@pytest.fixture
def client(house: Stack) -> Iterator[Client]:
    with Client(house.api_url, house.token("tests")) as client:
        yield client


@pytest.fixture
def site(house: Stack, client: Client, tmp_path: Path) -> Iterator[Site]:
    site = Site(house, client, tmp_path)
    site.start_runner()
    try:
        yield site
    finally:
        site.house.runner.stop()


@pytest.fixture
def guest_pool(libvirt_host: None) -> Iterator[GuestPool]:
    """A storage pool of real libvirt with the guest's template; removed afterwards with its guests and all disks."""
    pool = GuestPool(f"millwright-test-{secrets.token_hex(4)}")
    pool.prepare(guest_image())
    try:
        yield pool
    finally:
        pool.remove()
