# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vSphere's faults as ours, row by row."""

from __future__ import annotations

import http.client
import ssl
from xml.parsers.expat import ExpatError

import pytest
from pyVmomi import VmomiSupport, vim, vmodl

from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
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
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.faults import (
    BY_NAME,
    WrongThumbprint,
    asking,
    unless_gone,
)

ROWS = [
    (vim.fault.InvalidLogin, AuthenticationFailed),
    (vim.fault.NoClientCertificate, AuthenticationFailed),
    (vim.fault.PasswordExpired, AuthenticationFailed),
    (vim.fault.NotAuthenticated, SessionEnded),
    (vim.fault.NoPermission, PermissionDenied),
    (vim.fault.RestrictedVersion, PermissionDenied),
    (vmodl.fault.ManagedObjectNotFound, VmNotFound),
    (vim.fault.NotFound, NotFound),
    (vim.fault.FileNotFound, NotFound),
    (vim.fault.InvalidDatastore, NotFound),
    (vim.fault.InvalidDatastorePath, NotFound),
    (vim.fault.NetworkInaccessible, NotFound),
    (vim.fault.InaccessibleDatastore, NotFound),
    (vim.fault.InvalidDatastoreState, NotFound),
    (vim.fault.CannotAccessFile, NotFound),
    (vim.fault.CannotAccessNetwork, NotFound),
    (vim.fault.DuplicateName, Conflict),
    (vim.fault.AlreadyExists, Conflict),
    (vim.fault.FileAlreadyExists, Conflict),
    (vim.fault.TaskInProgress, Busy),
    (vim.fault.ConcurrentAccess, Busy),
    (vim.fault.ResourceInUse, Busy),
    (vim.fault.FileLocked, Busy),
    (vim.fault.QuestionPending, Busy),
    (vmodl.fault.RequestCanceled, DriverError),
    (vmodl.fault.HostCommunication, Unreachable),
    (vmodl.fault.HostNotConnected, Unreachable),
    (vmodl.fault.HostNotReachable, Unreachable),
    (vim.fault.Timedout, Busy),
    (vim.fault.InvalidHostState, Unreachable),
    (vim.fault.InvalidPowerState, InvalidTransition),
    (vim.fault.InvalidState, InvalidTransition),
    (vim.fault.ToolsUnavailable, InvalidTransition),
    (vim.fault.InsufficientResourcesFault, InsufficientResources),
    (vim.fault.NoDiskSpace, InsufficientResources),
    (vim.fault.LimitExceeded, InsufficientResources),
    (vim.fault.NoHost, InsufficientResources),
    (vim.fault.NoCompatibleHost, InsufficientResources),
    (vim.fault.NoActiveHostInCluster, InsufficientResources),
    (vim.fault.GenericDrsFault, InsufficientResources),
    (vim.fault.NotEnoughCpus, InsufficientResources),
    (vim.fault.VmLimitLicense, InsufficientResources),
    (vmodl.fault.NotEnoughLicenses, InsufficientResources),
    (vmodl.fault.NotSupported, Unsupported),
    (vmodl.fault.NotImplemented, Unsupported),
    (vmodl.fault.MethodNotFound, Unsupported),
    (vim.fault.VirtualHardwareCompatibilityIssue, Unsupported),
    (vim.fault.NumVirtualCpusIncompatible, Unsupported),
    (vim.fault.CpuHotPlugNotSupported, Unsupported),
    (vim.fault.MemoryHotPlugNotSupported, Unsupported),
    (vim.fault.DisallowedOperationOnFailoverHost, Unsupported),
    (vim.fault.OutOfBounds, Unsupported),
    (vim.fault.MissingController, Unsupported),
    (vim.fault.CannotAccessVmDisk, InvalidTemplate),
]
#: Faults that have no row of their own, and are what the fault is that they derive from.
DERIVED = [
    (vim.fault.InsufficientMemoryResourcesFault, InsufficientResources),
    (vim.fault.InsufficientStorageSpace, InsufficientResources),
    (vim.fault.InvalidHostConnectionState, Unreachable),
    (vim.fault.NotEnoughLogicalCpus, InsufficientResources),
    (vim.fault.HostInventoryFull, InsufficientResources),
    (vim.fault.VmPowerOnDisabled, InvalidTransition),
    (vim.fault.DeviceNotSupported, Unsupported),
    (vim.fault.VirtualHardwareVersionNotSupported, Unsupported),
    (vim.fault.VmToolsUpgradeFault, DriverError),
    (vim.fault.VmConfigFault, DriverError),
    (vmodl.fault.InvalidArgument, DriverError),
]


def kinds_of(rows: list[tuple[type, type]]) -> list[object]:
    return [pytest.param(*row, id=row[0].__name__.rpartition(".")[2]) for row in rows]


@pytest.mark.parametrize(("fault", "ours"), kinds_of(ROWS + DERIVED))
def test_a_fault_becomes_our_error_with_its_name_and_words(fault: type, ours: type[DriverError]):
    with pytest.raises(DriverError) as raised, asking("powering on VM 'web'"):
        raise fault(msg="The attempted operation\n  cannot be performed.")
    assert type(raised.value) is ours
    name = fault.__name__.rpartition(".")[2]
    assert raised.value.detail == f"{name}: The attempted operation cannot be performed."
    assert raised.value.message == "powering on VM 'web' failed"


def test_every_row_of_the_table_has_a_test_and_names_a_fault_that_there_is():
    tested = {fault.__name__.rpartition(".")[2] for fault, _ in ROWS}
    assert tested == set(BY_NAME)
    assert all(issubclass(fault, vmodl.MethodFault) for fault, _ in ROWS)
    assert VmomiSupport.GetVmodlType("vim.fault.InvalidPowerState") is vim.fault.InvalidPowerState


@pytest.mark.parametrize(
    ("gone", "ours"),
    [
        (vim.VirtualMachine("vm-1"), VmNotFound),
        (vim.Datastore("datastore-1"), NotFound),
        (vim.HostSystem("host-1"), NotFound),
        (vim.ClusterComputeResource("domain-c1"), NotFound),
        (vim.dvs.DistributedVirtualPortgroup("dvportgroup-1"), NotFound),
    ],
)
def test_a_place_that_goes_meanwhile_is_not_the_vm(gone: object, ours: type[DriverError]):
    with pytest.raises(DriverError) as raised, asking("creating VM 'web'"):
        raise vmodl.fault.ManagedObjectNotFound(obj=gone)
    assert type(raised.value) is ours


@pytest.mark.parametrize(("retryable", "fault"), [(True, vim.fault.TaskInProgress), (False, vim.fault.NoPermission)])
def test_what_may_go_well_later_is_retryable(fault: type, retryable: bool):
    with pytest.raises(DriverError) as raised, asking("x"):
        raise fault()
    assert raised.value.retryable is retryable


def test_further_words_of_a_fault_are_kept():
    more = [vmodl.LocalizableMessage(key="msg.x", message="The disk is full.")]
    with pytest.raises(DriverError) as raised, asking("x"):
        raise vim.fault.NoDiskSpace(msg="No space", faultMessage=more)
    assert raised.value.detail == "NoDiskSpace: No space: The disk is full."


@pytest.mark.parametrize(
    ("error", "ours", "retryable"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), Unreachable, True),
        (TimeoutError("timed out"), Unreachable, True),
        (http.client.HTTPException("503 Service Unavailable"), Unreachable, True),
        (http.client.RemoteDisconnected("closed"), Unreachable, True),
        (ExpatError("no element found"), Unreachable, True),
        (ssl.SSLEOFError(8, "EOF occurred"), Unreachable, True),
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), Untrusted, False),
        (WrongThumbprint("ab"), Untrusted, False),
    ],
)
def test_an_answer_that_does_not_come_or_cannot_be_trusted(error: Exception, ours: type[DriverError], retryable: bool):
    with pytest.raises(DriverError) as raised, asking("listing VMs"):
        raise error
    assert (type(raised.value), raised.value.retryable) == (ours, retryable)
    assert type(error).__name__ in raised.value.detail
    assert "the hypervisor says" not in str(raised.value)
    assert ("ca_path" in str(raised.value)) is isinstance(error, ssl.SSLCertVerificationError)


def test_what_is_gone_is_none_and_other_faults_are_raised():
    def gone() -> None:
        raise vmodl.fault.ManagedObjectNotFound()

    def refused() -> None:
        raise vim.fault.NoPermission()

    assert unless_gone(gone) is None
    with pytest.raises(vim.fault.NoPermission):
        unless_gone(refused)
