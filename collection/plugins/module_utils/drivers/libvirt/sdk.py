# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libraries that this driver needs. Its files can be read where they are missing, as Ansible's tools and
documentation want it; a driver is opened where they are there."""

from __future__ import annotations

from typing import Any
from zlib import crc32


class _Absent:
    """A library that is not installed. Its constants are numbers that differ, so that tables can be made of them; no
    table is looked into before ``require`` has passed."""

    def __init__(self, error: ImportError):
        self.error = error

    def __getattr__(self, name: str) -> int:
        return crc32(name.encode())


libvirt: Any
libvirt_qemu: Any
pycdlib: Any
try:
    import libvirt
    import libvirt_qemu  # pylint: disable=unused-import  # for others of this folder
except ImportError as error:
    libvirt = libvirt_qemu = _Absent(error)
try:
    import pycdlib
except ImportError as error:
    pycdlib = _Absent(error)


def require() -> None:
    """Raises the ImportError of the first library that is missing."""
    for library in (libvirt, pycdlib):
        if isinstance(library, _Absent):
            raise library.error
