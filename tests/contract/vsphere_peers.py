# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vSphere for the contract suite: vcsim, or what VCSIM_URL names.

VCSIM_URL is a URL as the driver takes it, with the name and password of an account in it. All VMs in the places that it
names belong to the tests, with all folders below theirs.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from pyVmomi import vim

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver, names
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.connection import Session
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.devices import Board, disks_of
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.inventory import Inventory
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.kept import options
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.placement import Places
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import Disk, VmDefinition
from tools import vcsim

LOGIN = {"username": "administrator@vsphere.local", "password": "vcsim-4711"}
TEMPLATE, TEMPLATE_MIB = "contract-template", 8
PATIENCE = 60


class VspherePeer:
    """A vCenter with a template."""

    dead_connection = Connection(hypervisor_type="vsphere", url="https://127.0.0.1:9/", connect_timeout=5, **LOGIN)
    template, template_mib = TEMPLATE, TEMPLATE_MIB
    guests_obey_shutdown = limits_cpus = True
    linked_disks_grow = False

    def __init__(self, connection: Connection, pool: str, network: str):
        self.connection = connection
        self.pool = pool
        self.network = network

    def files(self, driver: VsphereDriver) -> set[str]:
        session = driver._session
        told = session.read_all(session.content.rootFolder, (vim.Datastore,), vim.Datastore, ["name", "browser"])
        return {path for seen in told.values() for path in files_of(session, seen["name"], seen["browser"])}

    def is_of_template(self, file: str, template: str) -> bool:
        """A template is a VM with a directory."""
        return f"/{template}/" in file

    def make_foreign(self, driver: VsphereDriver, name: str) -> str:
        """Made as another program makes it."""
        identity = str(uuid.uuid4())
        make(driver._session, name, self.pool, instanceUuid=identity)
        return identity

    def attach_foreign(self, driver: VsphereDriver, want: VmDefinition) -> str:
        """Out of another VM, as all that is in a VM's own directory goes with it."""
        holder = make(driver._session, "holder", self.pool, disks=1)
        [disk] = disks_of(driver._vms.read(holder).devices)
        away = vim.vm.device.VirtualDeviceSpec(operation="remove", device=disk)
        task = holder.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[away]))
        driver._session.waiter.finish(task, PATIENCE, "taking a disk out")
        self.attach(driver, want, disk.backing.fileName)
        return disk.backing.fileName

    def attach(self, driver: VsphereDriver, want: VmDefinition, path: str) -> None:
        def plug(board: Board) -> None:
            board.new_disk(Disk(name="x", size_mib=4), driver._places.datastore(self.pool))
            board.changes[-1].fileOperation = None
            board.changes[-1].device.backing.fileName = path

        self._plug(driver, want, plug)

    def _plug(self, driver: VsphereDriver, want: VmDefinition, plug: Callable[[Board], object]) -> None:
        vm, seen = driver._vms.by_uuid(want.identity)
        board = Board(list(seen.devices))
        plug(board)
        task = vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=board.changes))
        driver._session.waiter.finish(task, PATIENCE, "attaching a disk")

    def make_overlay(self, driver: VsphereDriver, want: VmDefinition, name: str) -> None:
        """A linked clone: the simulator copies the disks of what it is told to link."""
        (vm, seen), session = driver._vms.by_uuid(want.identity), driver._session
        session.waiter.finish(vm.CreateSnapshot_Task("base", "", False, False), PATIENCE, "snapshot")
        [base] = disks_of(seen.devices)
        board, datastore = Board([]), driver._places.datastore(self.pool)
        board.new_disk(Disk(name="x", size_mib=4), datastore)
        parent = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=base.backing.fileName, diskMode="persistent")
        board.changes[-1].device.backing.parent = parent
        leech = make(session, name, self.pool)
        task = leech.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=board.changes))
        session.waiter.finish(task, PATIENCE, "linking a disk")

    def leave_residue(self, driver: VsphereDriver, want: VmDefinition) -> None:
        """The VM with its disk, but not yet whole."""
        mark = options({names.MAKING: want.identity})
        make(driver._session, want.name, self.pool, disks=1, instanceUuid=want.identity, extraConfig=mark)

    @contextmanager
    def failing_create(self, driver: VsphereDriver, want: VmDefinition) -> Iterator[None]:
        """Everything goes to the real vCenter, and the last step fails there."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vim.VirtualMachine, "ReconfigVM_Task", _with_a_wrong_device(vim.VirtualMachine))
            yield

    @contextmanager
    def failing_update(self, driver: VsphereDriver, want: VmDefinition) -> Iterator[None]:
        """A vCenter refuses the whole of a change for a part of it. The simulator makes what stands before that part,
        so it hears of that part alone."""
        real = vim.VirtualMachine.ReconfigVM_Task
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                vim.VirtualMachine,
                "ReconfigVM_Task",
                lambda vm, _spec: real(vm, vim.vm.ConfigSpec(deviceChange=[_wrong_device()])),
            )
            yield

    @contextmanager
    def failing_delete(self, driver: VsphereDriver, want: VmDefinition) -> Iterator[None]:
        pytest.skip("vSphere removes a VM and its disks in one step")
        yield


def _with_a_wrong_device(kind: type) -> Any:
    """A reconfiguration that asks, at its end, for more than there can be."""
    real = kind.ReconfigVM_Task

    def reconfigure(vm: Any, spec: Any) -> Any:
        spec.deviceChange = [*spec.deviceChange, _wrong_device()]
        return real(vm, spec)

    return reconfigure


def _wrong_device() -> Any:
    """A new disk whose controller is not there."""
    wrong = vim.vm.device.VirtualDisk(key=-77, backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=""))
    return vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=wrong)


def files_of(session: Session, datastore: str, browser: Any) -> Iterator[str]:
    """All files of a datastore but for directories."""
    query = vim.host.DatastoreBrowser.SearchSpec(
        matchPattern=["*"], details=vim.host.DatastoreBrowser.FileInfo.Details()
    )
    task = browser.SearchDatastoreSubFolders_Task(f"[{datastore}]", query)
    for folder in session.waiter.finish(task, PATIENCE, "listing files"):
        for file in folder.file:
            if not isinstance(file, vim.host.DatastoreBrowser.FolderInfo):
                yield f"{folder.folderPath}/{file.path}"


def make(session: Session, name: str, pool: str, *, disks: int = 0, **fields: Any) -> Any:
    """A VM with empty disks on the given datastore."""
    places = Places(session, Inventory(session))
    datastore, board = places.datastore(pool), Board([])
    for index in range(disks):
        board.new_disk(Disk(name=f"disk{index}", size_mib=TEMPLATE_MIB), datastore)
    spec = vim.vm.ConfigSpec(
        name=names.written(name), numCPUs=1, memoryMB=64, guestId="otherGuest64", deviceChange=board.changes,
        files=vim.vm.FileInfo(vmPathName=f"[{datastore.entity.name}]"), **fields,
    )  # fmt: skip
    return session.waiter.finish(places.folder.CreateVM_Task(spec, places.pool, None), PATIENCE, f"making {name}")


def make_template(session: Session, pool: str, name: str = TEMPLATE, *, disks: int = 1) -> Any:
    """A template with a snapshot for linked clones."""
    vm = make(session, name, pool, disks=disks)
    session.waiter.finish(vm.CreateSnapshot_Task("base", "", False, False), PATIENCE, "snapshot")
    vm.MarkAsTemplate()
    return vm


def connection_to(simulator: vcsim.Simulator, query: str = "", **fields: Any) -> Connection:
    url = simulator.url.removesuffix("/sdk") + (f"/?{query}" if query else "/")
    return Connection(
        hypervisor_type="vsphere", url=url, **{**LOGIN, "ca_path": str(simulator.certificate), **fields}
    )  # fmt: skip


@contextmanager
def vsphere(tmp_path: Path) -> Iterator[VspherePeer]:
    """A vCenter of its own, or the one of VCSIM_URL."""
    if given := os.environ.get("VCSIM_URL"):
        yield from _prepared(_given(given))
        return
    with vcsim.running(tmp_path / "vcsim") as simulator:
        yield from _prepared(connection_to(simulator))


def _given(url: str) -> Connection:
    parts = urlsplit(url)
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Connection(
        hypervisor_type="vsphere", url=place, username=unquote(parts.username or ""),
        password=unquote(parts.password or ""), validate_certs="thumbprint=" in url,
    )  # fmt: skip


def _prepared(connection: Connection) -> Iterator[VspherePeer]:
    session = Session(connection)
    places = Places(session, Inventory(session))
    _sweep(session, places.folder)
    pool, network = places.datastores[0].entity.name, places.networks[0].name
    make_template(session, pool)
    try:
        yield VspherePeer(replace(connection), pool, network)
    finally:
        _sweep(session, places.folder)
        session.close()


def _sweep(session: Session, folder: Any) -> None:
    """Remove all that is in the folder."""
    children = session.read([folder], ["childEntity"])[folder].get("childEntity", [])
    for below in [one for one in children if isinstance(one, vim.Folder)]:
        _sweep(session, below)
        session.waiter.finish(below.Destroy_Task(), PATIENCE, "removing a folder")
    vms = [one for one in children if isinstance(one, vim.VirtualMachine)]
    for vm, told in session.read(vms, ["runtime.powerState"]).items():
        if told["runtime.powerState"] != "poweredOff":
            session.waiter.finish(vm.PowerOffVM_Task(), PATIENCE, "powering off")
        session.waiter.finish(vm.Destroy_Task(), PATIENCE, "removing")
