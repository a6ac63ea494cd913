# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that runs share: which session file a run has, and when what is kept in it is ended.

Modules make and use the files (their options ``session_file`` and ``keep_session``). A hypervisor without sessions
never gets one, and then there is nothing to end.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..contract.messages import Hypervisor
from ..credentials import Credentials

log = logging.getLogger(__name__)

#: Seconds that logging out of hypervisors may take, of all together; then it is left to them. Less than the guardian's
#: LIFE: a runner that stops in order gives it no sign of life meanwhile.
LOGOUT = 8.0


@dataclass(frozen=True, kw_only=True)
class Login:
    """A way into a hypervisor that runs use. Credentials stay sealed here; who logs out opens them once more."""

    hypervisor: Hypervisor
    session_file: Path
    #: How many runs use it now.
    users: int = 0
    #: When the last run ended, by the monotonic clock.
    idle_since: float = 0.0


def name_of(key: bytes, hypervisor: Hypervisor, credentials: Credentials) -> str:
    """The same for those, and only those, whose session may be the same: it stands for all that authenticates. Nobody
    without the key can tell from it whether a password is right."""
    login = [
        hypervisor.type, hypervisor.url, hypervisor.validate_certs, hypervisor.ca_certificates, credentials.username,
        credentials.password,
    ]  # fmt: skip
    return hmac.digest(key, json.dumps(login).encode(), "sha256").hex()


def due(logins: Iterable[Login], now: float, idle: float) -> list[Login]:
    """Those that nobody has used for ``idle`` seconds."""
    return [login for login in logins if not login.users and now - login.idle_since >= idle]


def pause(logins: Iterable[Login], now: float, idle: float) -> float | None:
    """Seconds until one may be due; None: not before somebody has used one."""
    return min((max(0.0, login.idle_since + idle - now) for login in logins if not login.users), default=None)


class Logins:
    """The session files of a runner, in a directory of their own. For several threads."""

    def __init__(self, directory: Path):
        directory.mkdir(mode=0o700)
        self._directory = directory
        self._key = secrets.token_bytes()
        self._logins: dict[str, Login] = {}
        #: Notified when a run ends.
        self.changed = threading.Condition()

    @contextmanager
    def using(self, hypervisor: Hypervisor, credentials: Credentials) -> Iterator[Path]:
        """The session file of a run; meanwhile what is kept there is not ended by us."""
        name = name_of(self._key, hypervisor, credentials)
        with self.changed:
            login = self._logins.get(name) or Login(hypervisor=hypervisor, session_file=self._directory / name)
            self._logins[name] = replace(login, users=login.users + 1)
        try:
            yield login.session_file
        finally:
            self._leave(name)

    def _leave(self, name: str) -> None:
        with self.changed:
            login = self._logins[name]
            login = self._logins[name] = replace(login, users=login.users - 1, idle_since=time.monotonic())
            if not login.users and not login.session_file.exists():
                del self._logins[name]
            self.changed.notify_all()

    def pause(self, idle: float) -> float | None:
        """See above; with ``changed`` held."""
        return pause(self._logins.values(), time.monotonic(), idle)

    def take(self, idle: float) -> list[Login]:
        """Those that are due, each with a file of another name: a run that begins now logs in for itself, and not with
        a session that is just being ended."""
        with self.changed:
            return [self._take(login) for login in due(list(self._logins.values()), time.monotonic(), idle)]

    def _take(self, login: Login) -> Login:
        del self._logins[login.session_file.name]
        away = self._directory / f"ending-{secrets.token_hex(8)}"
        with suppress(FileNotFoundError):  # it was there when the last run ended; then there is nothing to end
            login.session_file.rename(away)
        return replace(login, session_file=away)


#: Ends what is kept, within so many seconds; afterwards the files are gone, whatever became of the sessions.
LogOut = Callable[[Sequence[Login], float], None]


class Ender:
    """Ends logins that have been idle, on a thread of its own.

    Not within a lane: no run uses the login, and ending its session opens none. So there are fewer sessions at the
    hypervisor afterwards, and never more."""

    def __init__(self, logins: Logins, log_out: LogOut, idle: float):
        self._logins = logins
        self._log_out = log_out
        self._idle = idle
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="logins", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """When nothing runs any more: end all that is kept, within so many seconds."""
        until = time.monotonic() + seconds
        with self._logins.changed:
            self._stopped = True
            self._logins.changed.notify_all()
        self._thread.join(seconds)
        self._end(0.0, until - time.monotonic())

    def _work(self) -> None:
        while self._wait():
            try:
                self._end(self._idle, LOGOUT)
            except Exception:  # the outermost loop: logins that are not ended are no reason to end none any more
                log.exception("logins cannot be ended")

    def _wait(self) -> bool:
        """Until one is due; False if we are to stop."""
        with self._logins.changed:
            while not self._stopped:
                pause = self._logins.pause(self._idle)
                if pause is not None and pause <= 0:
                    return True
                self._logins.changed.wait(pause)
        return False

    def _end(self, idle: float, seconds: float) -> None:
        kept = self._logins.take(idle) if seconds > 0 else []
        if kept:
            self._log_out(kept, seconds)
