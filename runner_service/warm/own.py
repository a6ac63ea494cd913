# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of a person's own: the process, and what can be seen of it from outside."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

from .. import logs
from .places import Place

log = logging.getLogger(__name__)

_SECRET = re.compile("TOKEN|PASSWORD$|SECRET|_KEY$")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a server says of itself in its lock's file."""

    process: int
    #: Seconds of the epoch.
    since: float
    #: Of Ansible's configuration, None: there is none.
    file: str | None
    #: Where it was started.
    directory: str
    #: NAME=value, of what is configured by variables.
    variables: list[str]
    #: False while it loads Ansible.
    ready: bool = False
    served: int = 0
    running: int = 0

    def write(self, descriptor: int) -> None:
        """In one call, so that whoever reads at the same time reads the one or the other: what was longer is filled
        with spaces."""
        text = json.dumps(asdict(self)).encode()
        os.pwrite(descriptor, text.ljust(os.fstat(descriptor).st_size), 0)

    @classmethod
    def read(cls, file: Path) -> Facts | None:
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(file.read_text()))
        return None


def main() -> None:
    """python -c ... DIRECTORY KEY IDLE [room for what runs show]; IDLE is in seconds."""
    directory, key, idle = sys.argv[1:4]
    place = Place(directory, key)
    lock = place.take()
    if lock is None:  # two first runs at once: the other one's server serves both
        return
    os.ftruncate(lock, 0)
    os.ftruncate(2, 0)  # what the server before said
    logs.begin("INFO", "text", ours_alone=True)
    signal.signal(signal.SIGTERM, _leave)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _serve(place, lock, float(idle))


def _serve(place: Place, lock: int, idle: float) -> None:
    facts = Facts(process=os.getpid(), since=time.time(), file=None, directory=str(Path.cwd()), variables=[])
    facts.write(lock)
    from .playbooks import Preloaded  # what takes its time, once the lock is ours
    from .server import Server

    playbooks = Preloaded()
    variables = [f"{name}={shown(name, value)}" for name, value in sorted(playbooks.settings.items())]
    facts = replace(facts, file=playbooks.file, variables=variables, ready=True)

    def tell(served: int, running: int) -> None:
        replace(facts, served=served, running=running).write(lock)

    server = Server(Path(place.socket), playbooks, idle=idle, lock=lock, tell=tell)
    os.chdir("/")  # no file system is kept busy
    tell(0, 0)
    log.info("warm Ansible is ready at %s", place.socket)
    server.serve()


def shown(name: str, value: str) -> str:
    """The value of a variable, unless the name says that it is a secret."""
    return "********" if _SECRET.search(name) else value


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def all_of(directory: str) -> Iterator[tuple[Place, Facts]]:
    """The servers that are alive. What others have left there is taken away."""
    for file in sorted(Path(directory).glob("warm-*.lock")):
        place = Place(directory, file.name.removeprefix("warm-").removesuffix(".lock"))
        if not place.is_free() and (facts := Facts.read(file)):
            yield place, facts


def end(place: Place, facts: Facts, *, now: bool) -> bool:
    """Have it end: now, with its runs, or after them. False: it was gone already."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(facts.process)
        try:
            # Who holds the lock has not ended; so the number is still its own, and the descriptor is.
            if not place.is_free():
                signal.pidfd_send_signal(descriptor, signal.SIGTERM if now else signal.SIGUSR1)
                return True
        finally:
            os.close(descriptor)
    return False
