# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One private MariaDB server: DIR/mysql holds its data."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from pathlib import Path

import pymysql

from tools.processes import Background
from tools.waiting import wait_until

READY_TIMEOUT = 120

SERVER = "/usr/sbin/mariadbd"
INSTALL = "mariadb-install-db"


class CannotStart(Exception):
    """The server could not be set up or started; the message says why."""


def start(place: Path, port: int, password: str) -> None:
    """Afterwards the server answers and has the user and the database ``millwright``."""
    data = place / "mysql"
    if not (data / "mysql").is_dir():
        _install(data, _own_tmp(place))
    server = _server(place)
    server.start([
        SERVER, "--no-defaults", *_as_user(), f"--datadir={data}", f"--tmpdir={_own_tmp(place)}",
        f"--port={port}", f"--socket={_socket(place)}",
        "--bind-address=127.0.0.1", "--skip-name-resolve", "--character-set-server=utf8mb4",
        "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M",
        # A crash of the server loses nothing, a crash of the machine a second: enough for a demo and for tests.
        "--innodb-flush-log-at-trx-commit=2", "--pid-file=mariadbd.pid",
    ])  # fmt: skip
    wait_until(lambda: _prepare(place, server, password), READY_TIMEOUT, f"MariaDB in {place}, see {server.log}")


def stop(place: Path) -> None:
    _server(place).stop()


def runs(place: Path) -> bool:
    return _server(place).pid() is not None


def _server(place: Path) -> Background:
    return Background(place, "mariadb")


def _socket(place: Path) -> str:
    """A path of at most 107 bytes, which is all that a socket's name can have, however deep ``place`` is."""
    path = place / "mysql.sock"
    if len(os.fsencode(path)) <= 107:
        return str(path)
    return f"/tmp/millwright-{os.getuid()}-{place.stat().st_ino}.sock"


def _as_user() -> list[str]:
    """As root the server wants to be told that it shall stay root: the directory may be closed to others."""
    return ["--user=root"] if os.getuid() == 0 else []


def _own_tmp(place: Path) -> Path:
    """A server that starts removes what it takes for another's left-overs in its directory for temporary tables."""
    directory = place / "tmp"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _install(data: Path, tmp: Path) -> None:
    """New system tables; the unix user who runs the server is its administrator, by its socket alone."""
    command = [
        INSTALL, "--no-defaults", *_as_user(), f"--datadir={data}", f"--tmpdir={tmp}", "--skip-test-db",
        "--auth-root-authentication-method=socket", f"--auth-root-socket-user={getpass.getuser()}",
    ]  # fmt: skip
    data.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotStart(f"{INSTALL} failed:\n{done.stdout}{done.stderr}")


def _prepare(place: Path, server: Background, password: str) -> bool:
    """Make user and database as soon as the server answers."""
    server.require()
    if not _listens(_socket(place)):
        return False
    with pymysql.connect(unix_socket=_socket(place), user=getpass.getuser()) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE USER IF NOT EXISTS millwright@`%%` IDENTIFIED BY %s", (password,))
        cursor.execute("GRANT ALL ON *.* TO millwright@`%`")
        cursor.execute("CREATE DATABASE IF NOT EXISTS millwright CHARACTER SET utf8mb4")
    return True


def _listens(path: str) -> bool:
    """Asked before the client is, because a client that cannot connect leaves its socket open."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
