# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions kept between modules: one private file each, which only serves the login that it was made by."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .drivers.base import Connection
from .drivers.errors import DriverError


def read_session(path: str | None, connection: Connection) -> str | None:
    """The session that is kept in the file for this very login; None if there is none."""
    kept = _read(path) if path is not None else None
    return kept["session"] if kept and hmac.compare_digest(kept["key"], _key(connection, kept["session"])) else None


def is_free(path: str, connection: Connection) -> bool:
    """Whether a session of this login may be kept in the file: it holds none, or the login's own that has ended, which
    is ``connection.session``. Anything else there is of use to somebody."""
    kept = _read(path)
    return kept is None or (connection.session is not None and read_session(path, connection) == connection.session)


@contextmanager
def alone_with(path: str) -> Iterator[None]:
    """Nobody else looks whether the file is free meanwhile. Raises DriverError if its directory cannot be used."""
    try:
        descriptor = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unkeepable(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def keep_session(path: str, connection: Connection, session: str) -> None:
    """Write the file, whole, readable by its owner alone. Raises DriverError if it cannot be written."""
    written = Path(f"{path}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"key": _key(connection, session), "session": session}, file)
        written.replace(path)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise _unkeepable(path, error) from error


def drop_session(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _unkeepable(path: str, error: OSError) -> DriverError:
    return DriverError(f"the session cannot be kept in {Path(path).absolute()}: {error.strerror}")


def _read(path: str) -> dict[str, Any] | None:
    """What the file holds; None for rubbish."""
    try:
        kept = json.loads(Path(path).read_text(encoding="utf-8"))
        return kept if kept["key"].isascii() and kept["session"].encode() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _key(connection: Connection, session: str) -> str:
    """Stands for everything that authenticates. A login with another password does not get the session."""
    login = [
        connection.hypervisor_type, connection.url, connection.username, connection.password,
        connection.validate_certs, _trusted(connection.ca_path),
    ]  # fmt: skip
    return hmac.new(session.encode(), json.dumps(login).encode(), hashlib.sha256).hexdigest()


def _trusted(ca_path: str | None) -> str | None:
    """Who is trusted, wherever that is written: each run of a service may have a file of its own. A directory, and what
    cannot be read, stands for itself."""
    if ca_path is None:
        return None
    try:
        return hashlib.sha256(Path(ca_path).read_bytes()).hexdigest()
    except OSError:
        return ca_path
