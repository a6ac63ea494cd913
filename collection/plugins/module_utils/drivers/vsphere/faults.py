# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vSphere's faults as our errors: a table of their names, and the one place where they are turned."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import TypeVar
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ExpatError

from ..errors import (
    AuthenticationFailed,
    Busy,
    Conflict,
    DriverError,
    InsufficientResources,
    InvalidTemplate,
    InvalidTransition,
    NotFound,
    PermissionDenied,
    SessionEnded,
    Unreachable,
    Unsupported,
    Untrusted,
    VmNotFound,
)
from .sdk import vim, vmodl

T = TypeVar("T")


#: A connection that breaks, and an answer that breaks off or makes no sense.
BROKEN = (OSError, HTTPException, ExpatError, ParseError)
#: All that a call of the SDK may raise.
FAILED = (vmodl.MethodFault, *BROKEN)


#: What whoever meets a certificate of an authority that is not known here can do.
TRUST = "name a file with its authority's certificate as ca_path, or pin the certificate by thumbprint= in the URL"


class WrongThumbprint(OSError):
    """Somebody has answered with another certificate than the pinned one."""

    def __init__(self, seen: str):
        super().__init__(f"its certificate has the SHA-256 thumbprint {seen}, which is not the one of the URL")


#: The name of a fault -> our error. A fault that is not here is what the fault that it derives from is, and at last a
#: plain DriverError.
BY_NAME: dict[str, type[DriverError]] = {
    # Who asks
    "InvalidLogin": AuthenticationFailed,
    "NoClientCertificate": AuthenticationFailed,
    "PasswordExpired": AuthenticationFailed,
    "NotAuthenticated": SessionEnded,
    "NoPermission": PermissionDenied,
    "RestrictedVersion": PermissionDenied,
    # What is not there, or is there already
    "ManagedObjectNotFound": VmNotFound,
    "NotFound": NotFound,
    "FileNotFound": NotFound,
    "InvalidDatastore": NotFound,
    "InvalidDatastorePath": NotFound,
    "NetworkInaccessible": NotFound,
    "InaccessibleDatastore": NotFound,
    "InvalidDatastoreState": NotFound,
    "CannotAccessFile": NotFound,
    "CannotAccessNetwork": NotFound,
    "DuplicateName": Conflict,
    "AlreadyExists": Conflict,
    "FileAlreadyExists": Conflict,
    # When it may go well later
    "TaskInProgress": Busy,
    "ConcurrentAccess": Busy,
    "ResourceInUse": Busy,
    "FileLocked": Busy,
    "QuestionPending": Busy,
    "HostCommunication": Unreachable,
    "HostNotConnected": Unreachable,
    "HostNotReachable": Unreachable,
    "Timedout": Busy,
    "InvalidHostState": Unreachable,
    # Somebody has cancelled it at the vCenter, and does not want it done again
    "RequestCanceled": DriverError,
    # What the VM's state does not allow
    "InvalidPowerState": InvalidTransition,
    "InvalidState": InvalidTransition,
    "ToolsUnavailable": InvalidTransition,
    # What there is not enough of
    "InsufficientResourcesFault": InsufficientResources,
    "NoDiskSpace": InsufficientResources,
    "LimitExceeded": InsufficientResources,
    "NoHost": InsufficientResources,
    "NoCompatibleHost": InsufficientResources,
    "NoActiveHostInCluster": InsufficientResources,
    "GenericDrsFault": InsufficientResources,
    "NotEnoughCpus": InsufficientResources,
    "VmLimitLicense": InsufficientResources,
    "NotEnoughLicenses": InsufficientResources,
    # What cannot be done here
    "NotSupported": Unsupported,
    "NotImplemented": Unsupported,
    "MethodNotFound": Unsupported,
    "VirtualHardwareCompatibilityIssue": Unsupported,
    "NumVirtualCpusIncompatible": Unsupported,
    "CpuHotPlugNotSupported": Unsupported,
    "MemoryHotPlugNotSupported": Unsupported,
    "DisallowedOperationOnFailoverHost": Unsupported,
    "OutOfBounds": Unsupported,
    "MissingController": Unsupported,
    "CannotAccessVmDisk": InvalidTemplate,
}


def names_of(fault: BaseException) -> list[str]:
    """Its name, and those of the faults that it derives from, the nearest first."""
    return [kind.__name__.rpartition(".")[2] for kind in type(fault).__mro__]


#: What is no VM: if one of them goes while it is used, the VM may still be there.
_PLACES = (
    vim.Folder,
    vim.ComputeResource,
    vim.ResourcePool,
    vim.HostSystem,
    vim.Datastore,
    vim.Network,
    vim.Datacenter,
)


def kind_of(fault: BaseException) -> type[DriverError]:
    """Which of our errors a fault is."""
    if isinstance(fault, vmodl.fault.ManagedObjectNotFound) and isinstance(fault.obj, _PLACES):
        return NotFound
    return next((BY_NAME[name] for name in names_of(fault) if name in BY_NAME), DriverError)


def translated(tried: str, fault: vmodl.MethodFault) -> DriverError:
    """Our error for a fault, with its name and its own words."""
    return kind_of(fault)(f"{tried} failed", detail=words_of(fault))


def words_of(fault: vmodl.MethodFault) -> str:
    name, text = names_of(fault)[0], " ".join((fault.msg or "").split())
    more = [message.message for message in fault.faultMessage or () if message.message]
    return ": ".join([name, *([text] if text else []), *more])


@contextmanager
def asking(tried: str) -> Iterator[None]:
    """No error of the SDK or of the connection leaves the block. ``tried`` says what is tried on what."""
    try:
        yield
    except vmodl.MethodFault as fault:
        raise translated(tried, fault) from fault
    except BROKEN as error:
        raise _broken(tried, error) from error


def _broken(tried: str, error: Exception) -> DriverError:
    """An answer that breaks off or makes no sense is none."""
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(f"{tried} failed", detail=f"{detail}; {TRUST}", here=True)
    kind = Untrusted if isinstance(error, WrongThumbprint) else Unreachable
    return kind(f"{tried} failed", detail=detail, here=True)


def unless_gone(call: Callable[[], T]) -> T | None:
    """What the call gives, or None if what it is about is not there any more."""
    try:
        return call()
    except vmodl.fault.ManagedObjectNotFound:
        return None
