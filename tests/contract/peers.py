# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors that the contract suite runs over.

A new driver adds one class that keeps the promises of Peer, and one line in PEERS; the suite itself stays as it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from libvirt_peers import libvirt_mock, libvirt_qemu
from vsphere_peers import vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.world import Machine, volume_of
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition


class Peer(Protocol):
    """A hypervisor for one test: empty of managed VMs when the test starts, left clean by whoever opened the peer.

    Methods take the driver that the test uses, because some hypervisors (``test:///file``) live in their connection.
    """

    connection: Connection
    #: A connection to nowhere: opening it raises Unreachable. None if this kind of hypervisor has none.
    dead_connection: Connection | None
    #: A template that ``disks[].template`` can name, and its size; it stays for the whole test.
    template: str
    template_mib: int
    pool: str
    network: str
    #: A guest of these definitions powers off when asked to. False: it ignores the request.
    guests_obey_shutdown: bool
    #: No guest can have 512 processors. False: the hypervisor knows no limit.
    limits_cpus: bool
    #: A disk that is linked to its template can become larger.
    linked_disks_grow: bool

    def files(self, driver: VmDriver) -> set[str]:
        """Every disk, image and log that the hypervisor keeps, templates included: what must not be left over."""

    def is_of_template(self, file: str, template: str) -> bool:
        """Whether one of ``files`` is all or part of the template."""

    def make_foreign(self, driver: VmDriver, name: str) -> str:
        """A VM that is off and that Millwright did not make; gives its uuid."""

    def attach_foreign(self, driver: VmDriver, want: VmDefinition) -> str:
        """Somebody makes a disk and attaches it to the VM, which is off; gives its path."""

    def attach(self, driver: VmDriver, want: VmDefinition, path: str) -> None:
        """Somebody attaches a disk that is there to the VM, which is off."""

    def make_overlay(self, driver: VmDriver, want: VmDefinition, name: str) -> None:
        """Somebody makes a VM of this name with a disk that stands on the first one of ``want``."""

    def leave_residue(self, driver: VmDriver, want: VmDefinition) -> None:
        """What ``create(want)`` leaves when it is killed after its first disk."""

    def failing_create(self, driver: VmDriver, want: VmDefinition) -> AbstractContextManager[None]:
        """While it is entered, ``create(want)`` fails after its first disk was made. May call pytest.skip."""

    def failing_update(self, driver: VmDriver, want: VmDefinition) -> AbstractContextManager[None]:
        """While it is entered, an update to ``want`` fails when part of it is done. May call pytest.skip."""

    def failing_delete(self, driver: VmDriver, want: VmDefinition) -> AbstractContextManager[None]:
        """While it is entered, deleting ``want`` fails after it has removed a disk. May call pytest.skip where a VM
        goes with its disks in one step."""


def definition(peer: Peer, name: str = "web", **fields: Any) -> VmDefinition:
    """A small VM that the peer can make: one disk from its template, one card on its network."""
    disk = {"name": "root", "template": peer.template, "size_mib": peer.template_mib, "pool": peer.pool}
    raw = {
        "name": name,
        "memory_mib": 64,
        "disks": [disk],
        "nics": [{"name": "front", "network": peer.network}],
        "console": {"graphics": "none"},
        **fields,
    }
    return VmDefinition.from_dict(raw)


class FakePeer:
    """A directory."""

    dead_connection = Connection(hypervisor_type="fake", url="fake:///no/such/directory")
    template, template_mib = "/templates/guest.qcow2", 16
    pool = network = "default"
    guests_obey_shutdown = limits_cpus = linked_disks_grow = True

    def __init__(self, directory: Path):
        self.connection = Connection(hypervisor_type="fake", url=f"fake://{directory}")
        self._store = Store(directory)

    def files(self, driver: VmDriver) -> set[str]:
        volumes = {name for pool in self._store.read().pools.values() for name in pool.volumes}
        return volumes | {path.name for path in self._store.directory.glob("*.log")}

    def is_of_template(self, file: str, template: str) -> bool:
        return file == template

    def make_foreign(self, driver: VmDriver, name: str) -> str:
        identity = str(uuid.uuid4())
        with self._store.change() as world:
            world.machines[identity] = Machine(name=name, uuid=identity)
        return identity

    def attach_foreign(self, driver: VmDriver, want: VmDefinition) -> str:
        with self._store.change() as world:
            world.pools[self.pool].volumes["theirs.qcow2"] = 4
        self.attach(driver, want, f"{self.pool}/theirs.qcow2")
        return f"{self.pool}/theirs.qcow2"

    def attach(self, driver: VmDriver, want: VmDefinition, path: str) -> None:
        with self._store.change() as world:
            world.machines[want.identity].attached.append(path)

    def make_overlay(self, driver: VmDriver, want: VmDefinition, name: str) -> None:
        overlay, uuid = f"{self.pool}/{name}.qcow2", self.make_foreign(driver, name)
        with self._store.change() as world:
            world.pools[self.pool].volumes[f"{name}.qcow2"] = 1
            world.overlays[overlay] = f"{self.pool}/{volume_of(want.identity, want.disks[0])}"
            world.machines[uuid].attached.append(overlay)

    def leave_residue(self, driver: VmDriver, want: VmDefinition) -> None:
        with self._store.change() as world:
            world.add_files_of(want)

    @contextmanager
    def failing_create(self, driver: VmDriver, want: VmDefinition) -> Iterator[None]:
        self._store.tell({"failures": [{"operation": "create", "vm": want.name}]})
        yield
        self._store.tell({})

    @contextmanager
    def failing_update(self, driver: VmDriver, want: VmDefinition) -> Iterator[None]:
        self._store.tell({"failures": [{"operation": "update"}]})
        yield
        self._store.tell({})

    @contextmanager
    def failing_delete(self, driver: VmDriver, want: VmDefinition) -> Iterator[None]:
        self._store.tell({"failures": [{"operation": "delete", "vm": want.name, "leave": True}]})
        yield
        self._store.tell({})


@contextmanager
def fake(tmp_path: Path) -> Iterator[Peer]:
    yield FakePeer(tmp_path)


#: Opens each peer in a temporary directory of its own.
PEERS: list[Any] = [
    pytest.param(fake, id="fake"),
    pytest.param(libvirt_mock, id="libvirt-mock"),
    pytest.param(vsphere, id="vsphere", marks=pytest.mark.vcsim),
    pytest.param(libvirt_qemu, id="libvirt-qemu", marks=[pytest.mark.qemu, pytest.mark.slow]),
]
