# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private services as the fixtures hand them out."""

import os
import signal
import stat
from pathlib import Path

import pika
import pymysql

from tests.services import DIRECTORY
from tests.waiting import wait_until
from tools import services
from tools.processes import Background


def _connect(url: str) -> pymysql.Connection:
    from sqlalchemy import make_url

    where = make_url(url)
    return pymysql.connect(
        host=where.host, port=where.port, user=where.username, password=where.password, database=where.database
    )


def test_a_test_gets_an_empty_database_of_its_own(database_url: str):
    with _connect(database_url) as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW TABLES") == 0
        cursor.execute("CREATE TABLE t (name VARCHAR(10)) ENGINE=InnoDB")
        cursor.execute("INSERT INTO t VALUES ('🜚')")
        cursor.execute("SELECT name FROM t FOR UPDATE SKIP LOCKED")
        assert cursor.fetchone() == ("🜚",)


def test_a_test_gets_a_virtual_host_with_quorum_queues(amqp_vhost_url: str):
    with pika.BlockingConnection(pika.URLParameters(amqp_vhost_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True}
        channel.queue_declare("q", durable=True, arguments=arguments)
        channel.basic_publish("", "q", b"hello", mandatory=True)
        assert next(channel.consume("q", auto_ack=True))[2] == b"hello"


def test_starting_again_changes_neither_ports_nor_processes(private_services: services.Services):
    before = {path: path.read_text() for path in DIRECTORY.glob("*.pid")}
    assert services.start(DIRECTORY) == private_services
    assert before == {path: path.read_text() for path in DIRECTORY.glob("*.pid")}


def test_only_the_owner_can_read_what_holds_the_password(private_services: services.Services):
    for path in (DIRECTORY / "env", DIRECTORY / "password", DIRECTORY / "rabbitmq" / "rabbitmq.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def is_written_down(place: Path, queue: bytes) -> bool:
    """Whether the queue is in a file of the broker's own database."""
    files = [file for kind in ("LOG", "DCL", "DCD") for file in (place / "rabbitmq/data").rglob(f"*.{kind}")]
    assert files
    return any(queue in file.read_bytes() for file in files)


def test_servers_that_were_killed_come_back_where_they_were_with_what_they_kept(tmp_path: Path):
    place = tmp_path / "services"
    first = services.start(place)
    try:
        with pika.BlockingConnection(pika.URLParameters(first.amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("kept", durable=True)
            channel.basic_publish("", "kept", b"still here", pika.BasicProperties(delivery_mode=2), mandatory=True)
        # The broker confirms a message, not that it has written down which queues there are.
        wait_until(lambda: is_written_down(place, b"kept"), 60, "the queue to be among those that outlive the broker")
        for name in ("mariadb", "rabbitmq"):
            os.kill(Background(place, name).pid(), signal.SIGKILL)
            wait_until(lambda name=name: Background(place, name).pid() is None, 30, f"the end of {name}")
        assert services.start(place) == first
        # A queue answers a little later than its broker; a consumer waits for it.
        with pika.BlockingConnection(pika.URLParameters(first.amqp_url)) as connection:
            assert next(connection.channel().consume("kept", auto_ack=True, inactivity_timeout=60))[2] == b"still here"
    finally:
        services.remove(place)
    assert not place.exists()
