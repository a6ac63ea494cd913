# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive format of initramfs images ("newc", see Documentation/driver-api/early-userspace in the kernel)."""

from __future__ import annotations

import stat


class Archive:
    """Files of root, with neither owners nor times, so that the same content gives the same bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add_directory(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def add_file(self, name: str, content: bytes, *, executable: bool = False) -> None:
        self._add(name, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def to_bytes(self) -> bytes:
        return b"".join([*self._parts, _entry(0, "TRAILER!!!", 0, b"")])

    def _add(self, name: str, mode: int, content: bytes) -> None:
        self._parts.append(_entry(len(self._parts) + 1, name, mode, content))


def _entry(inode: int, name: str, mode: int, content: bytes) -> bytes:
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, time, size, device (2), device of a node (2), length of the name, checksum
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 4)
