# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's errors as ours: a table of its codes, and the one place where they are turned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ..errors import (
    AuthenticationFailed,
    Busy,
    Conflict,
    DriverError,
    InsufficientResources,
    InvalidTransition,
    NotFound,
    PermissionDenied,
    Unreachable,
    Unsupported,
    VmNotFound,
)
from .sdk import libvirt

T = TypeVar("T")

#: The code of libvirt's error -> ours. A code that is not here is a plain DriverError.
BY_CODE: dict[int, type[DriverError]] = {
    libvirt.VIR_ERR_AUTH_FAILED: AuthenticationFailed,
    libvirt.VIR_ERR_AUTH_CANCELLED: AuthenticationFailed,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE: AuthenticationFailed,
    libvirt.VIR_ERR_ACCESS_DENIED: PermissionDenied,
    libvirt.VIR_ERR_OPERATION_DENIED: PermissionDenied,
    libvirt.VIR_ERR_NO_CONNECT: Unreachable,
    libvirt.VIR_ERR_INVALID_CONN: Unreachable,
    libvirt.VIR_ERR_NO_DOMAIN: VmNotFound,
    libvirt.VIR_ERR_NO_STORAGE_POOL: NotFound,
    libvirt.VIR_ERR_NO_STORAGE_VOL: NotFound,
    libvirt.VIR_ERR_NO_NETWORK: NotFound,
    libvirt.VIR_ERR_DOM_EXIST: Conflict,
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: Conflict,
    libvirt.VIR_ERR_OPERATION_INVALID: InvalidTransition,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: Busy,
    libvirt.VIR_ERR_RESOURCE_BUSY: Busy,
    libvirt.VIR_ERR_NO_SUPPORT: Unsupported,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_NO_MEMORY: InsufficientResources,
}

#: Where libvirt has no code of its own, the system's words decide.
BY_WORDS: dict[str, type[DriverError]] = {
    "Cannot allocate memory": InsufficientResources,
    "No space left on device": InsufficientResources,
    "has asynchronous jobs running": Busy,
    "is still being allocated": Busy,
    # A file that libvirt has not seen before.
    "volume target path": Conflict,
    # One that libvirt knows; where it is only just being made, libvirt 9 gives no code of its own.
    "storage volume name": Conflict,
    # The mock.
    "storage vol already exists": Conflict,
}

#: Errors of the transport itself: between us and libvirt, not of what was asked.
TRANSPORT = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE})
BROKEN = frozenset({libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_RPC})


def kind_of(domain: int, code: int, words: str) -> type[DriverError]:
    """Which of our errors an error of libvirt is."""
    if domain in TRANSPORT and code in BROKEN:
        return Unreachable
    for known, ours in BY_WORDS.items():
        if known in words:
            return ours
    return BY_CODE.get(code, DriverError)


def code_of(error: libvirt.libvirtError) -> int:
    return error.get_error_code() or 0


def translated(tried: str, error: libvirt.libvirtError) -> DriverError:
    """Our error for libvirt's, with libvirt's own words."""
    words = error.get_error_message() or str(error)
    return kind_of(error.get_error_domain() or 0, code_of(error), words)(f"{tried} failed", detail=words)


#: Of what libvirt says of a URL by codes that say nothing: what stands in it is wrong, and will be tomorrow.
_MISTYPED = ("URI path", "parse URI", "transport in URL")


def is_mistyped(error: libvirt.libvirtError) -> bool:
    """Whether opening a URL failed because no driver of libvirt's understands it."""
    words = error.get_error_message() or ""
    return code_of(error) == libvirt.VIR_ERR_NO_CONNECT or any(known in words for known in _MISTYPED)


@contextmanager
def asking(tried: str) -> Iterator[None]:
    """No error of libvirt leaves the block. ``tried`` says what is tried on what."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise translated(tried, error) from error


def unless(code: int, call: Callable[[], T]) -> T | None:
    """What the call gives, or None if libvirt answers with this code."""
    try:
        return call()
    except libvirt.libvirtError as error:
        if code_of(error) != code:
            raise
        return None
