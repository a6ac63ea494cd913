# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What VMs are made from: what a linked disk stands on, and that it stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import PATIENCE, VspherePeer, make, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import InvalidTemplate
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.devices import Board, disks_of
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import Disk, VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[VspherePeer]:
    with vsphere(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: VspherePeer) -> Iterator[VsphereDriver]:
    opened = VsphereDriver.open(peer.connection)
    yield opened
    opened.close()


def of_gold(peer: VspherePeer, *names: str, clone: str = "linked") -> VmDefinition:
    disks = [{"name": name, "template": "gold", "clone": clone, "pool": peer.pool} for name in names]
    return definition(peer, disks=disks, nics=[])


def reconfigure(driver: VsphereDriver, vm: Any, board: Board) -> None:
    task = vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=board.changes))
    driver._session.waiter.finish(task, PATIENCE, "changing a VM")


def without_its_last_disk(driver: VsphereDriver, vm: Any) -> None:
    board = Board(list(driver._vms.read(vm).devices))
    board.remove(disks_of(board.devices)[-1], with_file=True)
    reconfigure(driver, vm, board)


@pytest.fixture
def gold(peer: VspherePeer, driver: VsphereDriver) -> Any:
    """A VM of somebody else with a disk, a snapshot, and a disk that came later."""
    vm = make(driver._session, "gold", peer.pool, disks=1)
    driver._session.waiter.finish(vm.CreateSnapshot_Task("base", "", False, False), PATIENCE, "snapshot")
    board = Board(list(driver._vms.read(vm).devices))
    board.new_disk(Disk(name="later", size_mib=4), driver._places.datastore(peer.pool))
    reconfigure(driver, vm, board)
    return vm


@pytest.mark.usefixtures("gold")
def test_a_linked_clone_has_the_disks_of_the_snapshot_and_a_full_one_those_of_now(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(InvalidTemplate, match="has 1 disks in its snapshot; the definition names it for 2"):
        driver.check(of_gold(peer, "root", "data"))
    with pytest.raises(InvalidTemplate, match="has 2 disks; the definition names it for 1"):
        driver.check(of_gold(peer, "root", clone="full"))
    driver.check(of_gold(peer, "root", "data", clone="full"))
    real = vim.VirtualMachine.CloneVM_Task

    def clone(vm: Any, folder: Any, name: str, spec: Any) -> Any:
        """The simulator clones what there is now."""
        assert [locator.diskId for locator in spec.location.disk] == [disks_of(driver._vms.read(vm).devices)[0].key]
        task = real(vm, folder, name, spec)
        without_its_last_disk(driver, driver._session.waiter.finish(task, PATIENCE, "cloning"))
        return task

    monkeypatch.setattr(vim.VirtualMachine, "CloneVM_Task", clone)
    driver.create(of_gold(peer, "root"))
    assert [disk.name for disk in driver.find(WEB).definition.disks] == ["root"]


@pytest.mark.usefixtures("gold")
def test_a_clone_that_lacks_a_disk_is_an_error_and_taken_back(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    real = vim.VirtualMachine.CloneVM_Task

    def clone(vm: Any, folder: Any, name: str, spec: Any) -> Any:
        task = real(vm, folder, name, spec)
        without_its_last_disk(driver, driver._session.waiter.finish(task, PATIENCE, "cloning"))
        return task

    monkeypatch.setattr(vim.VirtualMachine, "CloneVM_Task", clone)
    with pytest.raises(InvalidTemplate, match="no disk 'data' in what vSphere made of its template"):
        driver.create(of_gold(peer, "root", "data", clone="full"))
    assert (driver.find(WEB), driver.residue(WEB)) == (None, ())


def test_no_disk_is_linked_to_a_vm_that_we_may_change_and_delete(peer: VspherePeer, driver: VsphereDriver):
    driver.create(definition(peer, "gold", disks=[{"name": "root", "size_mib": 8, "pool": peer.pool}]))
    driver.create_snapshot(VmRef(name="gold"), WantedSnapshot(name="base"))
    with pytest.raises(InvalidTemplate, match=r"/gold is a VM of Millwright, .* make a template of it") as refused:
        driver.check(of_gold(peer, "root"))
    assert not refused.value.begun
    driver.create(of_gold(peer, "root", clone="full"))
