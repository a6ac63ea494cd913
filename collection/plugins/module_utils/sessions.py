# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions kept between modules: one private file each, which only serves the login that it was made by."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

from .drivers.base import Connection
from .drivers.errors import DriverError


def read_session(path: str | None, connection: Connection) -> str | None:
    """The session that is kept in the file for this very login; None if there is none."""
    if path is None:
        return None
    try:
        kept = json.loads(Path(path).read_text(encoding="utf-8"))
        fits = hmac.compare_digest(kept["key"], _key(connection, kept["session"]))
        return str(kept["session"]) if fits else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def keep_session(path: str, connection: Connection, session: str) -> None:
    """Write the file, whole, readable by its owner alone. Raises DriverError if it cannot be written."""
    written = Path(f"{path}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"key": _key(connection, session), "session": session}, file)
        written.replace(path)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise DriverError(f"the session cannot be kept in {path}: {error.strerror}") from error


def drop_session(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _key(connection: Connection, session: str) -> str:
    """Stands for everything that authenticates. A login with another password does not get the session."""
    login = [
        connection.hypervisor_type, connection.url, connection.username, connection.password,
        connection.validate_certs, connection.ca_path,
    ]  # fmt: skip
    return hmac.new(session.encode(), json.dumps(login).encode(), hashlib.sha256).hexdigest()
