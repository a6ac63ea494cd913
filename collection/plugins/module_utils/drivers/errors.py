# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that drivers raise.

A code, once released, keeps its meaning; ``retryable`` says that the same call may go well later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class DriverError(Exception):
    """The hypervisor refused or failed an operation."""

    code = "driver.failed"
    retryable = False

    def __init__(self, message: str, *, detail: str = "", left: tuple[str, ...] = (), here: bool = False):
        """``message`` says what was tried on what; ``detail`` is the hypervisor's own message, or with ``here`` what
        this host says; ``left`` names what the failed operation left on the hypervisor (empty: it failed whole)."""
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.left = left
        self.here = here
        #: False: the operation was refused before anything was done, so the hypervisor is as it was; see ``deciding``.
        self.begun = True
        #: The VM as it was found, where its change was refused (plain data of an ObservedVm); see ``seeing``.
        self.vm: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        parts = [f"{self.message}: {self.detail}" if self.here and self.detail else self.message]
        if self.detail and not self.here:
            parts.append(f"the hypervisor says: {self.detail}")
        if self.left:
            parts.append(f"left behind: {', '.join(self.left)}")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The error as modules return it."""
        told = {
            "code": self.code,
            "msg": str(self),
            "detail": self.detail,
            "retryable": self.retryable,
            "left": list(self.left),
            "begun": self.begun,
        }
        return told if self.vm is None else {**told, "vm": dict(self.vm)}


class Unreachable(DriverError):
    """The hypervisor did not answer, or the connection broke."""

    code, retryable = "driver.unreachable", True


class AuthenticationFailed(DriverError):
    """The hypervisor did not accept the credentials."""

    code = "driver.authentication_failed"


class SessionEnded(AuthenticationFailed):
    """The hypervisor does not know the session any more, which was good before; a new login is needed."""

    code, retryable = "driver.session_ended", True


class Untrusted(DriverError):
    """The hypervisor's certificate is not one that may be trusted, so nothing was said to it."""

    code = "driver.untrusted"


class PermissionDenied(DriverError):
    """The account may not do this at the hypervisor."""

    code = "driver.permission_denied"


class NotFound(DriverError):
    """Something that the definition names (template, pool, network, ISO) is not there; the message lists what is."""

    code = "driver.not_found"


class Ambiguous(DriverError):
    """A name fits several things at the hypervisor, or nothing says which one is meant; the message lists them."""

    code = "driver.ambiguous"


class VmNotFound(DriverError):
    """The hypervisor has no such VM."""

    code = "driver.vm_not_found"


class Conflict(DriverError):
    """Something else at the hypervisor has this name or identity, or somebody made or changed the VM meanwhile."""

    code = "driver.conflict"


class Busy(DriverError):
    """The hypervisor, or another process on this host, is doing something else with this VM right now."""

    code, retryable = "driver.busy", True


class InvalidTransition(DriverError):
    """The VM's power state does not allow the operation; the message names the state and what it would allow."""

    code = "driver.invalid_transition"


class Unsupported(DriverError):
    """This hypervisor, or this driver, cannot do what was asked; the message names the field or operation."""

    code = "driver.unsupported"


class InvalidUrl(Unsupported):
    """The hypervisor's URL is none that its driver understands; the message says what is wrong with it."""

    code = "driver.invalid_url"


class InsufficientResources(DriverError):
    """The hypervisor has not enough memory, space or processors."""

    code = "driver.insufficient_resources"


class InvalidTemplate(DriverError):
    """The template is not what the definition says, or is not safe to use."""

    code = "driver.invalid_template"


class TimedOut(DriverError):
    """The hypervisor accepted the operation, but the VM was not in the wanted state in time."""

    code = "driver.timed_out"


@contextmanager
def deciding() -> Iterator[None]:
    """Around what looks and decides, and changes nothing: an error raised in it says that nothing was begun."""
    try:
        yield
    except DriverError as error:
        error.begun = False
        raise


@contextmanager
def seeing(vm: Mapping[str, Any]) -> Iterator[None]:
    """Around what refuses for what the VM is: an error raised in it says what that is."""
    try:
        yield
    except DriverError as error:
        error.vm = vm
        raise


@contextmanager
def translate(tried: str, table: Mapping[type[Exception], type[DriverError]]) -> Iterator[None]:
    """Turn an SDK's exceptions into ours; the first matching row wins. ``tried`` says what was tried on what."""
    try:
        yield
    except tuple(table) as error:  # pylint: disable=catching-non-exception  # they are: see the annotation
        for theirs, ours in table.items():
            if isinstance(error, theirs):
                raise ours(f"{tried} failed", detail=str(error)) from error  # pylint: disable=bad-exception-cause
        raise
