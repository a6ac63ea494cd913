# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the vSphere driver promises of snapshots beyond the contract, over the simulator of a vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import PATIENCE, VspherePeer, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Ambiguous, DriverError, Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver, snapshots
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.devices import disks_of
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import Quiesce, WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")
ONE = WantedSnapshot(name="one")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[VspherePeer]:
    with vsphere(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: VspherePeer) -> Iterator[VsphereDriver]:
    """With a VM that runs."""
    opened = VsphereDriver.open(peer.connection)
    opened.create(definition(peer))
    opened.power(WEB, PowerAction.ON, 30)
    yield opened
    opened.close()


def finish(driver: VsphereDriver, task: Any) -> None:
    driver._session.waiter.finish(task, PATIENCE, "what the test asks for")


@pytest.fixture
def quiesced(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """VMware Tools seem to run in every guest, and cannot bring any to rest; gives what was asked of them."""
    asked, real = [], vim.VirtualMachine.CreateSnapshot_Task

    def without_rest(vm: Any, name: str, description: str, memory: bool, quiesce: bool) -> Any:
        asked.append(quiesce)
        if quiesce:
            raise vim.fault.ApplicationQuiesceFault(msg="the guest does not rest")
        return real(vm, name, description, memory, quiesce)

    monkeypatch.setattr(snapshots, "TOOLS_RUN", "guestToolsNotRunning")
    monkeypatch.setattr(vim.VirtualMachine, "CreateSnapshot_Task", without_rest)
    return asked


def test_a_guest_that_does_not_come_to_rest_is_taken_as_it_is(driver: VsphereDriver, quiesced: list[bool]):
    assert driver.create_snapshot(WEB, ONE) is False
    assert (quiesced, [one.name for one in driver.snapshots(WEB)]) == ([True, False], ["one"])


def test_who_must_have_rest_gets_the_fault_and_no_snapshot(driver: VsphereDriver, quiesced: list[bool]):
    with pytest.raises(DriverError, match="does not rest"):
        driver.create_snapshot(WEB, WantedSnapshot(name="one", quiesce=Quiesce.ALWAYS))
    assert (quiesced, driver.snapshots(WEB)) == ([True], ())


def test_who_wants_no_rest_or_keeps_the_memory_asks_nobody(driver: VsphereDriver, quiesced: list[bool]):
    driver.create_snapshot(WEB, WantedSnapshot(name="one", quiesce=Quiesce.NEVER))
    driver.create_snapshot(WEB, WantedSnapshot(name="two", memory=True))
    assert quiesced == [False, False]


def test_a_paused_vm_has_snapshots_with_its_memory_only(driver: VsphereDriver):
    driver.power(WEB, PowerAction.PAUSE, 30)
    with pytest.raises(Unsupported, match="ask for it by memory"):
        driver.check_snapshot(WEB, ONE)
    driver.create_snapshot(WEB, WantedSnapshot(name="one", memory=True))
    driver.power(WEB, PowerAction.OFF, 30)
    driver.revert_snapshot(WEB, "one")
    assert driver.find(WEB).power is PowerState.PAUSED


def test_a_disk_that_snapshots_leave_out_is_named(driver: VsphereDriver):
    driver.power(WEB, PowerAction.OFF, 30)
    vm, seen = driver._vms.find(WEB)
    (disk,) = disks_of(seen.devices)
    disk.backing.diskMode = "independent_persistent"
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=disk)
    finish(driver, vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))
    with pytest.raises(Unsupported, match="independent"):
        driver.check_snapshot(WEB, ONE)


def test_a_name_that_somebody_has_given_twice_is_ambiguous(driver: VsphereDriver):
    vm = driver._vms.find(WEB)[0]
    for _ in range(2):
        finish(driver, vm.CreateSnapshot_Task("twin", "", False, False))
    for attempt in (
        lambda: driver.revert_snapshot(WEB, "twin"),
        lambda: driver.delete_snapshot(WEB, "twin", children=False),
    ):
        with pytest.raises(Ambiguous, match="2 snapshots are called 'twin'") as refused:
            attempt()
        assert refused.value.begun is False
    assert len(driver.snapshots(WEB)) == 2
