# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What shim and server say to each other over a UNIX stream socket: words, which are lists of byte strings.

A word is its length in eight hexadecimal digits, and its parts with a zero byte between them: what is said here are
arguments, variables and paths, which have none in them.

The shim's first word is a Request. The answer is ``ready`` with the process id of the playbook-to-be, or ``refused``
with the reason. Nothing has been begun until the shim says ``go``; so a shim that does not like to wait any longer can
leave, and run the playbook itself. With this word it hands over the file descriptors 0, 1 and 2: not before, as they
would stay open with a server that hangs, and whoever reads from them would wait for their end. The last word is
``exit`` with the code, or ``signal`` with the number of the signal that ended the playbook.

Only modules that Python has loaded anyway or that are written in C: the start of the shim counts, with every run.
"""

from __future__ import annotations

import _socket
import os
import struct

#: Bytes of a word, at most: an environment may be large (execve(2) allows 2 MiB).
MAX_WORD = 4 * 1024 * 1024
_HEAD = 8
#: Standard input, output and error.
_FDS = struct.Struct("3i")


class Broken(Exception):
    """The other side is gone, or says what nobody understands."""


class Request:
    """A playbook to run, and the surroundings to run it in."""

    def __init__(self, *, arguments: list[bytes], environment: list[bytes], directory: bytes, umask: int):
        #: Without the program's name.
        self.arguments = arguments
        #: NAME=value
        self.environment = environment
        self.directory = directory
        self.umask = umask

    def word(self) -> list[bytes]:
        return [b"%d" % self.umask, self.directory, b"%d" % len(self.arguments), *self.arguments, *self.environment]

    @classmethod
    def of(cls, word: list[bytes]) -> Request:
        """Raises Broken."""
        try:
            umask, directory, count, *rest = word
            number = int(count)
            return cls(arguments=rest[:number], environment=rest[number:], directory=directory, umask=int(umask))
        except ValueError:
            raise Broken("no request") from None


def address_of(path: str) -> tuple[str, int]:
    """A name for the socket at the path that fits into an address, which has room for 107 bytes (unix(7)), and the
    descriptor to close afterwards."""
    directory, _, name = path.rpartition("/")
    descriptor = os.open(directory or "/", os.O_PATH)
    return f"/proc/self/fd/{descriptor}/{name}", descriptor


class Line:
    """One side of a conversation."""

    def __init__(self, connection: _socket.socket):
        self._connection = connection

    def say(self, *parts: bytes, fds: tuple[int, ...] = ()) -> None:
        """Raises Broken."""
        body = b"\0".join(parts)
        data = b"%08x" % len(body) + body
        extra = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _FDS.pack(*fds))] if fds else []
        try:
            sent = self._connection.sendmsg([data], extra)
            if sent < len(data):
                self._connection.sendall(data[sent:])
        except OSError as error:
            raise Broken(str(error)) from None

    def hear(self) -> list[bytes]:
        """Raises Broken, also after the socket's timeout."""
        return self._body(self._read(_HEAD))

    def hear_with_fds(self) -> tuple[list[bytes], tuple[int, ...]]:
        """A word, with the descriptors that must have come with it. Raises Broken."""
        try:
            head, extra, _flags, _address = self._connection.recvmsg(_HEAD, _socket.CMSG_SPACE(_FDS.size))
            ((_level, _type, packed),) = extra
            fds = _FDS.unpack(packed)
        except (OSError, ValueError, struct.error) as error:
            raise Broken(str(error)) from None
        return self._body(head + self._read(_HEAD - len(head))), fds

    def _body(self, head: bytes) -> list[bytes]:
        try:
            size = int(head, 16)
        except ValueError:
            raise Broken("not a word") from None
        if not 0 < size <= MAX_WORD:
            raise Broken("a word of no length, or of too much")
        return self._read(size).split(b"\0")

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                more = self._connection.recv(size - len(data))
            except OSError as error:
                raise Broken(str(error)) from None
            if not more:
                raise Broken("the other side is gone")
            data += more
        return data
