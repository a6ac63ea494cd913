# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process of a user changes a VM at a time: hypervisors themselves let any number of them do so at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR

from .errors import Busy, PermissionDenied, deciding

#: One place for all processes of a host, whatever directory for temporary files each of them was given.
PARENT = Path("/tmp")  # noqa: S108  # the directory in it is checked to be ours alone


@contextmanager
def alone(place: str, identity: str, tried: str) -> Iterator[None]:
    """Raises Busy while another process is in its own such block, for the same VM at the same hypervisor, which
    ``place`` names. One that dies is out of it."""
    with deciding():
        path = _directory() / sha256(f"{place}\0{identity}".encode()).hexdigest()
        lock = _lock(path)
        if lock is None:
            raise Busy(f"{tried} failed: another process on this host is changing this VM right now")
    try:
        yield
    finally:
        # Whoever has opened it meanwhile sees that it is not the file of this name any more.
        path.unlink(missing_ok=True)
        os.close(lock)


def _directory() -> Path:
    directory = PARENT / f".millwright-{os.getuid()}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise PermissionDenied(
            f"there is no directory {directory} to keep processes apart in", detail=str(error), here=True
        ) from error
    if not S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionDenied(f"{directory} must be a directory of this user's alone; remove it")
    return directory


def _lock(path: Path) -> int | None:
    """The locked file that has this name; None if it is locked already."""
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if _is_at(lock, path):
            return lock
        os.close(lock)


def _is_at(opened: int, path: Path) -> bool:
    """False for a file that its last owner has removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False
