# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database and a virtual host of one's own on servers that others use too; both go with what is in them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import httpx
import pymysql
from pymysql.connections import Connection


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of an empty database on the server, which is dropped afterwards."""
    name = f"fresh_{secrets.token_hex(6)}"
    _run(server_url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield with_path(server_url, name)
    finally:
        _run(server_url, f"DROP DATABASE {name}")


@contextmanager
def fresh_vhost(amqp_url: str, management_url: str) -> Iterator[str]:
    """The AMQP URL of an empty virtual host, which is removed afterwards; the HTTP API's URL has user and password."""
    name = f"fresh-{secrets.token_hex(6)}"
    user = urlsplit(amqp_url).username
    _ask(management_url, "PUT", f"vhosts/{name}")
    _ask(management_url, "PUT", f"permissions/{name}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
    try:
        yield with_path(amqp_url, name)
    finally:
        _ask(management_url, "DELETE", f"vhosts/{name}")


def copy_database(source_url: str, target_url: str) -> None:
    """Make the tables of one database in another of the same server, with their rows: quicker than migrating it."""
    source = urlsplit(source_url).path.strip("/")
    with connected(target_url) as connection, connection.cursor() as cursor:
        # Tables come in the order of their names, and so before those that they refer to.
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute(f"SHOW TABLES FROM {source}")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SHOW CREATE TABLE {source}.`{table}`")
            cursor.execute(cursor.fetchall()[0][1])
            cursor.execute(f"INSERT INTO `{table}` SELECT * FROM {source}.`{table}`")
        connection.commit()


def connected(url: str) -> Connection:
    """A connection to a database that SQLAlchemy's URL names."""
    where = urlsplit(url)
    return pymysql.connect(
        host=where.hostname,
        port=where.port or 3306,
        user=where.username,
        password=where.password or "",
        database=where.path.strip("/") or None,
    )


def with_path(url: str, path: str) -> str:
    """The same URL with another database or virtual host."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def _run(server_url: str, statement: str) -> None:
    with connected(with_path(server_url, "")) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def _ask(management_url: str, method: str, path: str, body: dict[str, str] | None = None) -> None:
    answer = httpx.request(method, f"{management_url}/api/{path}", json=body, trust_env=False, timeout=60)
    answer.raise_for_status()
