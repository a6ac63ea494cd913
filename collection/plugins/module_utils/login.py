# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log in to a hypervisor for later modules, and log out again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from .connection import connection_of, open_hypervisor
from .drivers.base import Capability, Connection, VmDriver
from .drivers.errors import AuthenticationFailed
from .drivers.registry import open_driver
from .sessions import drop_session, keep_session


def log_in(params: dict[str, Any], hidden: set[str], *, dry_run: bool) -> dict[str, bool]:
    """Afterwards the session file holds a session that the hypervisor accepts, if the hypervisor has sessions and a
    file is given. Raises DriverError: the connection or the credentials do not serve."""
    path = params["session_file"]
    with open_hypervisor({**params, "keep_session": False}, hidden) as driver:
        if path is None or Capability.SESSIONS not in driver.capabilities:
            return {"changed": False, "session": False}
        connection, session = connection_of(params), driver.session()
        changed = session is not None and session != connection.session
        if changed:
            _keep_or_end(driver, path, connection, dry_run=dry_run)
        return {"changed": changed, "session": session is not None}


def _keep_or_end(driver: VmDriver, path: str, connection: Connection, *, dry_run: bool) -> None:
    """No session that nobody can find again stays at the hypervisor."""
    kept = False
    try:
        if not dry_run:
            keep_session(path, connection, driver.session())
            kept = True
    finally:
        if not kept:
            driver.logout()


def log_out(params: dict[str, Any], hidden: set[str], *, dry_run: bool) -> dict[str, bool]:
    """Afterwards the session that the file kept for this login is ended, and the file is gone. Raises DriverError."""
    connection = connection_of(params)
    hidden |= connection.secrets
    if connection.session is not None and not dry_run:
        # One that the hypervisor has ended by itself needs no ending.
        with suppress(AuthenticationFailed), open_driver(connection) as driver:
            driver.logout()
        drop_session(params["session_file"])
    return {"changed": connection.session is not None}
