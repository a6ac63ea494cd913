# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options with which every module says which hypervisor it means, and the way from them to an open driver."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import env_fallback
from ansible.module_utils.common.warnings import warn

from .drivers.base import Capability, Connection, VmDriver
from .drivers.errors import AuthenticationFailed, DriverError, deciding
from .drivers.registry import DRIVERS, open_driver
from .sessions import alone_with, is_free, keep_session, read_session
from .stopping import stopping_in_order
from .vm.schema import InvalidData


def _option(name: str, kind: str = "str", **rest: Any) -> dict[str, Any]:
    """An option that people may also give by environment, as MILLWRIGHT_<NAME>."""
    return {"type": kind, "fallback": (env_fallback, [f"MILLWRIGHT_{name.upper()}"]), **rest}


#: Options for AnsibleModule; the doc fragment ``hypervisor`` says the same.
CONNECTION: dict[str, dict[str, Any]] = {
    "hypervisor_type": _option("hypervisor_type", aliases=["type"], choices=sorted(DRIVERS), required=True),
    "url": _option("url", required=True),
    "username": _option("username"),
    "password": _option("password", no_log=True),
    "credentials_file": _option("credentials_file", "path"),
    "validate_certs": _option("validate_certs", "bool", default=True),
    "ca_path": _option("ca_path", "path"),
    "connect_timeout": _option("connect_timeout", "int", default=10),
    "session_file": _option("session_file", "path"),
    "keep_session": _option("keep_session", "bool", default=False),
}
#: Options that say where something is, and nothing about the connection itself.
_PLACES = ("credentials_file", "session_file", "keep_session")
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH


def connection_of(params: dict[str, Any]) -> Connection:
    """The connection that a module's parameters describe, with the session that is kept for it, if there is one.

    Raises AuthenticationFailed if the credentials file cannot be used."""
    chosen = {name: params[name] for name in CONNECTION if name not in _PLACES}
    if params["credentials_file"] is not None:
        chosen |= _credentials(params["credentials_file"])
        _warn_if_exposed(params["credentials_file"])
    connection = Connection(**chosen)
    return replace(connection, session=read_session(params["session_file"], connection))


def _warn_if_exposed(path: str) -> None:
    """A file with a password is for its owner alone."""
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    if mode & _OTHERS_READ:
        warn(f"the credentials file {path} can be read by others of this host (mode {mode:04o}); chmod 600 {path}")


def _credentials(path: str) -> dict[str, str]:
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
        return {"username": raw["username"], "password": raw["password"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        # Not the error's text: it may quote the file.
        reason = (
            error.strerror if isinstance(error, OSError) else 'it must be JSON: {"username": "...", "password": "..."}'
        )
        raise AuthenticationFailed(f"the credentials file {Path(path).absolute()} cannot be used: {reason}") from None


@contextmanager
def open_hypervisor(params: dict[str, Any], hidden: set[str]) -> Iterator[VmDriver]:
    """A driver for the hypervisor that a module's parameters describe. A kept session that has ended is not used.
    With ``keep_session`` the session is left for others, if nobody was faster; else it ends with the driver.

    What must not be shown is added to ``hidden``, for ``failure``. Raises DriverError.
    """
    with ExitStack() as stack:
        with deciding():
            connection = connection_of(params)
            hidden |= connection.secrets
            driver, logged_in = _opened(stack, connection)
            if logged_in and params["keep_session"] and params["session_file"] is not None:
                _share(stack, driver, params["session_file"], connection, hidden)
        if Capability.SESSIONS in driver.capabilities:
            # Else the session would stay, and what it has begun would go on.
            stack.enter_context(stopping_in_order())
        yield driver


def _opened(stack: ExitStack, connection: Connection) -> tuple[VmDriver, bool]:
    """The driver, and whether it had to log in."""
    try:
        return stack.enter_context(open_driver(connection)), connection.session is None
    except AuthenticationFailed:
        if connection.session is None:
            raise
        return stack.enter_context(open_driver(replace(connection, session=None))), True


def _share(stack: ExitStack, driver: VmDriver, path: str, connection: Connection, hidden: set[str]) -> None:
    """At once and not at the end, so that those who begin meanwhile need no login. One that cannot be written down is
    no failure of what the module is for; it is ended, because nobody could find it again."""
    if Capability.SESSIONS not in driver.capabilities:
        return
    try:
        with alone_with(path):
            if is_free(path, connection):
                session = driver.session()
                hidden |= {session} if session else set()
                keep_session(path, connection, session)
    except DriverError:
        stack.callback(_end, driver)


def _end(driver: VmDriver) -> None:
    with suppress(DriverError):
        driver.logout()


def failure(error: Exception, hidden: set[str]) -> dict[str, Any]:
    """What a module hands to fail_json. An error that nobody foresaw fails with the code of DriverError.

    Only texts are freed of what is ``hidden``: Ansible's own masking (``no_log_values``) would also strike the values
    that programs read, if a password is a part of one."""
    told = _told(error)
    return told | {key: _without(hidden, told[key]) for key in ("msg", "detail")}


def _without(hidden: set[str], text: str) -> str:
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "********")
    return text


def _told(error: Exception) -> dict[str, Any]:
    if isinstance(error, DriverError):
        return error.to_dict()
    if isinstance(error, InvalidData):
        problems = [{"path": problem.path, "rule": problem.rule} for problem in error.problems]
        return {**DriverError(str(error)).to_dict(), "code": error.code, "begun": False, "problems": problems}
    return DriverError(f"unexpected {type(error).__name__}", detail=str(error), here=True).to_dict()
