# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the servers of a person are: sockets, locks and logs in a directory that is theirs alone.

As ``shim``, it only imports what costs no time.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys

from . import configuration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes that a server has left of arguments and environment for what its runs show in /proc.
ROOM_FOR_ARGUMENTS, ROOM_FOR_ENVIRONMENT = 512, 4096
#: Minutes after its last run.
IDLE = 30.0
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
_WRITE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Unwanted(Exception):
    """No server would run this as it should be run."""


class Unsafe(Unwanted):
    """The directory for sockets belongs to somebody else, or others may enter it."""


def command(module: str, *arguments: str) -> list[str]:
    """Starts ``main`` of a module of this package, with room for the arguments that its runs will show."""
    # Not by PYTHONPATH: the runs would have to have the same.
    code = f"import sys; sys.path.append({_ROOT!r}); from {__package__}.{module} import main; main()"
    return [sys.executable, "-P", "-c", code, *arguments, " " * ROOM_FOR_ARGUMENTS]


def roomy(environment: Mapping[str, str]) -> dict[str, str]:
    """With room for the environment that a server's runs will show."""
    return {**environment, "MILLWRIGHT_WARM_ROOM": " " * ROOM_FOR_ENVIRONMENT}


class Place:
    """What there is of one server, or could be."""

    def __init__(self, directory: str, key: str):
        self.directory, self.key = directory, key
        self.socket = f"{directory}/warm-{key}.socket"
        #: Who holds a lock on it is the server; it says there what it is.
        self.lock = f"{directory}/warm-{key}.lock"
        self.log = f"{directory}/warm-{key}.log"

    def server(self, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """The command of a server that is this one, and its environment."""
        idle = str(idle_minutes(environment) * 60)
        return command("own", self.directory, self.key, idle), roomy(configuration.kept(environment))

    def open_log(self) -> int:
        return os.open(self.log, _WRITE | os.O_APPEND, 0o600)

    def take(self) -> int | None:
        """The descriptor of the lock, held until it is closed; None: somebody has it."""
        descriptor = os.open(self.lock, _WRITE, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def is_free(self) -> bool:
        descriptor = self.take()
        if descriptor is None:
            return False
        os.close(descriptor)
        return True


def here(program: str, environment: Mapping[str, str]) -> Place:
    """Of the server that runs what this process would run here by ``program``. Raises Unwanted, OSError."""
    if configuration.is_passed_over():
        raise Unwanted("anybody may write into this directory, so Ansible warns of its ansible.cfg")
    return Place(directory(environment), configuration.key(program, environment))


def idle_minutes(environment: Mapping[str, str]) -> float:
    """How long a server stays when nothing is asked of it."""
    try:
        return max(float(environment.get("MILLWRIGHT_WARM_IDLE", IDLE)), 0.01)
    except ValueError:
        return IDLE


def directory(environment: Mapping[str, str]) -> str:
    """Made where it is missing. Raises Unsafe, OSError."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    path = f"{runtime}/millwright" if runtime and os.path.isabs(runtime) else f"/tmp/millwright-{os.getuid()}"  # noqa: S108, PTH117
    try:  # noqa: SIM105  # contextlib takes its time to load
        os.mkdir(path, 0o700)  # noqa: PTH102
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise Unsafe(f"{path} must be a directory of yours that nobody else may enter (mode 0700)")
    return path
