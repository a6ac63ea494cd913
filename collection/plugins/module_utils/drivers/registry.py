# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which drivers there are. A new hypervisor is one folder and one line here; its SDK is imported only when chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

from .base import Connection, VmDriver
from .errors import Unsupported


def _fake(connection: Connection) -> VmDriver:
    from .fake import FakeDriver

    return FakeDriver.open(connection)


def _libvirt(connection: Connection) -> VmDriver:
    from .libvirt import LibvirtDriver

    return LibvirtDriver.open(connection)


def _vsphere(connection: Connection) -> VmDriver:
    from .vsphere import VsphereDriver

    return VsphereDriver.open(connection)


DRIVERS: dict[str, Callable[[Connection], VmDriver]] = {
    "libvirt": _libvirt,
    "vsphere": _vsphere,
    "fake": _fake,
}


#: Libraries of drivers -> the packages that bring them.
PACKAGES = {
    "libvirt": "libvirt-python",
    "libvirt_qemu": "libvirt-python",
    "pycdlib": "pycdlib",
    "pyVmomi": "pyvmomi",
}


def load_all() -> None:
    """Import all drivers, as far as their SDKs are installed here, for who forks processes that will want them."""
    for name in DRIVERS:
        with suppress(ImportError):
            import_module(f".{name}", __package__)


@contextmanager
def open_driver(connection: Connection) -> Iterator[VmDriver]:
    """A driver connected to the hypervisor, closed afterwards.

    Raises Unsupported for an unknown type or a missing SDK, Unreachable, AuthenticationFailed.
    """
    if connection.hypervisor_type not in DRIVERS:
        raise Unsupported(
            f"unknown hypervisor type {connection.hypervisor_type!r}; known are: {', '.join(sorted(DRIVERS))}"
        )
    try:
        driver = DRIVERS[connection.hypervisor_type](connection)
    except ImportError as error:
        package = PACKAGES.get(error.name or "", error.name)
        raise Unsupported(
            f"the driver for {connection.hypervisor_type!r} needs the Python package {package}, which {sys.executable} "
            f"lacks: {error}; install it there, as with {sys.executable} -m pip install {package}"
        ) from error
    try:
        yield driver
    finally:
        driver.close()
