# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's errors as ours, row by row."""

from __future__ import annotations

import libvirt
import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
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
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.faults import (
    BY_CODE,
    BY_WORDS,
    asking,
    kind_of,
    unless,
)

QEMU, RPC = libvirt.VIR_FROM_QEMU, libvirt.VIR_FROM_RPC
INTERNAL = libvirt.VIR_ERR_INTERNAL_ERROR
ROWS = [
    (QEMU, libvirt.VIR_ERR_AUTH_FAILED, "", AuthenticationFailed),
    (QEMU, libvirt.VIR_ERR_AUTH_CANCELLED, "", AuthenticationFailed),
    (QEMU, libvirt.VIR_ERR_AUTH_UNAVAILABLE, "", AuthenticationFailed),
    (QEMU, libvirt.VIR_ERR_ACCESS_DENIED, "", PermissionDenied),
    (QEMU, libvirt.VIR_ERR_OPERATION_DENIED, "read only access prevents this", PermissionDenied),
    (QEMU, libvirt.VIR_ERR_NO_CONNECT, "", Unreachable),
    (QEMU, libvirt.VIR_ERR_INVALID_CONN, "", Unreachable),
    (RPC, INTERNAL, "client socket is closed", Unreachable),
    (RPC, libvirt.VIR_ERR_SYSTEM_ERROR, "Cannot recv data: Connection reset by peer", Unreachable),
    (libvirt.VIR_FROM_REMOTE, libvirt.VIR_ERR_RPC, "", Unreachable),
    (QEMU, libvirt.VIR_ERR_NO_DOMAIN, "", VmNotFound),
    (QEMU, libvirt.VIR_ERR_NO_STORAGE_POOL, "", NotFound),
    (QEMU, libvirt.VIR_ERR_NO_STORAGE_VOL, "", NotFound),
    (QEMU, libvirt.VIR_ERR_NO_NETWORK, "", NotFound),
    (QEMU, libvirt.VIR_ERR_DOM_EXIST, "", Conflict),
    (QEMU, libvirt.VIR_ERR_STORAGE_VOL_EXIST, "", Conflict),
    (QEMU, libvirt.VIR_ERR_OPERATION_INVALID, "domain is not running", InvalidTransition),
    (QEMU, libvirt.VIR_ERR_OPERATION_TIMEOUT, "cannot acquire state change lock", Busy),
    (QEMU, libvirt.VIR_ERR_RESOURCE_BUSY, "", Busy),
    (QEMU, INTERNAL, "pool 'x' has asynchronous jobs running.", Busy),
    (QEMU, libvirt.VIR_ERR_OPERATION_INVALID, "volume 'x' is still being allocated.", Busy),
    (QEMU, libvirt.VIR_ERR_OPERATION_INVALID, "volume target path '/x' already exists", Conflict),
    (QEMU, INTERNAL, "storage volume name 'x' already in use.", Conflict),
    (QEMU, libvirt.VIR_ERR_OPERATION_FAILED, "storage vol already exists", Conflict),
    (QEMU, libvirt.VIR_ERR_NO_SUPPORT, "", Unsupported),
    (QEMU, libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "", Unsupported),
    (QEMU, libvirt.VIR_ERR_OPERATION_UNSUPPORTED, "", Unsupported),
    (QEMU, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, "", Unsupported),
    (QEMU, libvirt.VIR_ERR_NO_MEMORY, "", InsufficientResources),
    (QEMU, INTERNAL, "cannot set up guest memory 'pc.ram': Cannot allocate memory", InsufficientResources),
    (QEMU, libvirt.VIR_ERR_SYSTEM_ERROR, "cannot write: No space left on device", InsufficientResources),
    (QEMU, INTERNAL, "anything else", DriverError),
    (QEMU, 999_999, "a code of the future", DriverError),
]


@pytest.mark.parametrize(("domain", "code", "words", "ours"), ROWS)
def test_an_error_of_libvirt_is_one_of_ours(domain: int, code: int, words: str, ours: type[DriverError]):
    assert kind_of(domain, code, words) is ours


def test_every_row_of_the_tables_has_an_example_here():
    assert set(BY_CODE) <= {code for _, code, _, _ in ROWS}
    assert all(any(known in words for _, _, words, _ in ROWS) for known in BY_WORDS)


def test_our_error_says_what_was_tried_and_keeps_libvirts_words():
    connection = libvirt.open("test:///default")
    with pytest.raises(VmNotFound) as failure, asking("starting VM 'web' at test:///default"):
        connection.lookupByName("web")
    connection.close()
    assert failure.value.message == "starting VM 'web' at test:///default failed"
    assert failure.value.detail == "Domain not found"
    assert isinstance(failure.value.__cause__, libvirt.libvirtError)


def test_an_expected_error_is_none_and_others_are_raised():
    connection = libvirt.open("test:///default")
    assert unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: connection.lookupByName("web")) is None
    with pytest.raises(libvirt.libvirtError):
        unless(libvirt.VIR_ERR_NO_NETWORK, lambda: connection.lookupByName("web"))
    connection.close()
