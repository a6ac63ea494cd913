# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power where vSphere refuses, or where a VM gets to its goal by itself meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import PATIENCE, VspherePeer, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import InvalidTransition
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[VspherePeer]:
    with vsphere(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: VspherePeer) -> Iterator[VsphereDriver]:
    """With a VM that runs."""
    opened = VsphereDriver.open(peer.connection)
    opened.create(definition(peer))
    opened.power(WEB, PowerAction.ON, PATIENCE)
    yield opened
    opened.close()


def refused() -> vim.fault.InvalidPowerState:
    return vim.fault.InvalidPowerState(msg="not in this state", requestedState="poweredOff", existingState="suspended")


@pytest.fixture
def strict(driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Powers off only what is on, as the API's documentation has it."""
    real = vim.VirtualMachine.PowerOffVM_Task

    def power_off(vm: Any) -> Any:
        if driver._session.read([vm], ["runtime.powerState"])[vm]["runtime.powerState"] != "poweredOn":
            raise refused()
        return real(vm)

    monkeypatch.setattr(vim.VirtualMachine, "PowerOffVM_Task", power_off)


@pytest.mark.usefixtures("strict")
def test_a_suspended_vm_goes_off_also_where_vsphere_wants_it_to_run_for_that(driver: VsphereDriver):
    driver.power(WEB, PowerAction.PAUSE, PATIENCE)
    driver.power(WEB, PowerAction.OFF, PATIENCE)
    assert driver.find(WEB).power is PowerState.OFF


@pytest.mark.usefixtures("strict")
def test_a_suspended_vm_is_deleted_also_where_vsphere_wants_it_to_run_to_go_off(driver: VsphereDriver):
    driver.power(WEB, PowerAction.PAUSE, PATIENCE)
    driver.delete(WEB)
    assert driver.find(WEB) is None


def off(driver: VsphereDriver) -> None:
    """As the guest itself goes off."""
    vm, _seen = driver._vms.find(WEB)
    driver._session.waiter.finish(vm.PowerOffVM_Task(), PATIENCE, "going off")


def test_a_guest_that_goes_off_before_it_is_asked_to_is_shut_down(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    def shut_down(_vm: Any) -> None:
        off(driver)
        raise refused()

    monkeypatch.setattr(vim.VirtualMachine, "ShutdownGuest", shut_down)
    driver.power(WEB, PowerAction.SHUTDOWN, PATIENCE)
    assert driver.find(WEB).power is PowerState.OFF


def test_a_refusal_to_ask_a_guest_that_runs_counts(driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch):
    def shut_down(_vm: Any) -> None:
        raise refused()

    monkeypatch.setattr(vim.VirtualMachine, "ShutdownGuest", shut_down)
    with pytest.raises(InvalidTransition, match="InvalidPowerState"):
        driver.power(WEB, PowerAction.SHUTDOWN, PATIENCE)


def test_a_guest_that_goes_off_while_its_tools_are_waited_for_is_waited_for_no_longer(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    waiting = threading.Event()

    def shut_down(_vm: Any) -> None:
        waiting.set()
        raise vim.fault.ToolsUnavailable(msg="no tools")

    monkeypatch.setattr(vim.VirtualMachine, "ShutdownGuest", shut_down)
    with_own_session = VsphereDriver.open(peer.connection)
    guest = threading.Thread(target=lambda: waiting.wait(PATIENCE) and off(with_own_session))
    guest.start()
    begun = time.monotonic()
    driver.power(WEB, PowerAction.SHUTDOWN, PATIENCE)
    assert time.monotonic() - begun < PATIENCE / 2
    guest.join()
    with_own_session.close()
    assert driver.find(WEB).power is PowerState.OFF
