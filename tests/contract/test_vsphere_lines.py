# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the vSphere driver that fail on their way: what is tried again, and that nothing is doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import VspherePeer, connection_to, make_template
from vsphere_proxy import Proxy, proxy_to

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Unreachable
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.connection import Session
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_power, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction
from tools import vcsim

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[vcsim.Simulator]:
    """A vCenter with a template."""
    with vcsim.running(tmp_path / "vcsim") as running:
        session = Session(connection_to(running))
        make_template(session, "LocalDS_0")
        session.close()
        yield running


@pytest.fixture
def proxy(simulator: vcsim.Simulator) -> Iterator[Proxy]:
    with proxy_to(simulator) as opened:
        yield opened


def peer_at(connection: Connection) -> VspherePeer:
    return VspherePeer(connection, "LocalDS_0", "VM Network")


def through(proxy: Proxy, simulator: vcsim.Simulator, **fields) -> Connection:
    return replace(connection_to(simulator, **fields), url=proxy.url)


def count_of(simulator: vcsim.Simulator, name: str) -> int:
    with open_driver(connection_to(simulator)) as driver:
        return [vm.name for vm in driver.list_vms()].count(name)


@pytest.mark.parametrize("fault", ["503", "drop", "lose"])
@pytest.mark.parametrize("method", ["Login", "RetrieveServiceContent", "RetrievePropertiesEx"])
def test_a_call_that_fails_on_its_way_is_retryable(proxy: Proxy, simulator, method: str, fault: str):
    proxy.rules[method] = [fault]
    with pytest.raises(Unreachable) as failed, open_driver(through(proxy, simulator)) as driver:
        driver.list_vms()
    assert failed.value.retryable
    with open_driver(through(proxy, simulator)) as driver:
        assert driver.list_vms() == ()


def test_a_server_that_closes_after_each_answer_is_no_failure(proxy: Proxy, simulator):
    for method in ("RetrieveServiceContent", "Login", "RetrievePropertiesEx", "CreateContainerView"):
        proxy.rules[method] = ["close"] * 9
    with open_driver(through(proxy, simulator)) as driver:
        assert (driver.list_vms(), driver.find(WEB)) == ((), None)


@pytest.mark.parametrize("fault", ["garbage", "page"])
@pytest.mark.parametrize("method", ["RetrieveServiceContent", "RetrievePropertiesEx"])
def test_an_answer_that_makes_no_sense_is_not_taken_for_an_empty_inventory(
    proxy: Proxy, simulator, method: str, fault: str
):
    for look in ("list_vms", "find", "host"):
        proxy.rules[method] = [fault]
        with pytest.raises(Unreachable) as failed, open_driver(through(proxy, simulator)) as driver:
            driver.find(WEB) if look == "find" else getattr(driver, look)()
        assert failed.value.retryable


@pytest.mark.parametrize("fault", ["503", "drop", "lose", "garbage", "page"])
def test_a_farewell_that_fails_is_no_failure(proxy: Proxy, simulator, fault: str):
    proxy.rules["Logout"] = [fault]
    with open_driver(through(proxy, simulator)) as driver:
        assert driver.list_vms() == ()


@pytest.mark.parametrize("fault", ["503", "drop", "lose", "garbage"])
def test_a_question_that_gets_lost_while_something_is_made_is_asked_again(proxy: Proxy, simulator, fault: str):
    """What is waited for may have taken hours."""
    proxy.rules["WaitForUpdatesEx"] = [fault] * 3
    with open_driver(through(proxy, simulator)) as driver:
        ensure_present(driver, definition(peer_at(through(proxy, simulator))), dry_run=False)
    assert (proxy.calls["CloneVM_Task"], proxy.calls["CancelTask"]) == (1, 0)


@pytest.mark.parametrize("fault", ["503", "drop", "lose", "garbage"])
@pytest.mark.parametrize("method", ["CloneVM_Task", "ReconfigVM_Task", "CreateFilter", "WaitForUpdatesEx"])
def test_a_create_that_fails_on_its_way_can_be_tried_again_and_doubles_nothing(
    proxy: Proxy, simulator, method: str, fault: str
):
    want = definition(peer_at(connection_to(simulator)))
    proxy.rules[method] = [fault] * (4 if method in ("WaitForUpdatesEx", "CreateFilter") else 1)
    with pytest.raises(Unreachable) as failed, open_driver(through(proxy, simulator)) as driver:
        ensure_present(driver, want, dry_run=False)
    assert failed.value.retryable
    with open_driver(through(proxy, simulator)) as driver:
        ensure_present(driver, want, dry_run=False)
        files = peer_at(through(proxy, simulator)).files(driver)
        assert not ensure_present(driver, want, dry_run=False).changed
    assert count_of(simulator, "web") == 1
    assert len([name for name in files if name.endswith(".vmx")]) == 2  # the VM and its template


@pytest.mark.parametrize("fault", ["503", "drop", "lose"])
@pytest.mark.parametrize("method", ["PowerOnVM_Task", "Destroy_Task"])
def test_a_step_that_fails_on_its_way_can_be_tried_again(proxy: Proxy, simulator, method: str, fault: str):
    with open_driver(through(proxy, simulator)) as driver:
        driver.create(definition(peer_at(through(proxy, simulator))))

    def step() -> None:
        with open_driver(through(proxy, simulator)) as driver:
            if method == "Destroy_Task":
                ensure_absent(driver, WEB, dry_run=False)
            else:
                ensure_power(driver, WEB, PowerAction.ON, timeout=30, dry_run=False)

    proxy.rules[method] = [fault]
    with pytest.raises(Unreachable):
        step()
    step()
    assert count_of(simulator, "web") == (0 if method == "Destroy_Task" else 1)


def test_a_slow_answer_is_waited_for_and_one_that_does_not_come_is_not(proxy: Proxy, simulator):
    proxy.rules["Login"] = [0.5]
    with open_driver(through(proxy, simulator)) as driver:
        assert driver.list_vms() == ()
    proxy.rules["Login"] = [30.0]
    began = time.monotonic()
    with pytest.raises(Unreachable, match="timed out"), open_driver(through(proxy, simulator, connect_timeout=1)):
        pass
    assert time.monotonic() - began < 10


def test_an_operation_that_is_ended_takes_back_what_it_has_made(proxy: Proxy, simulator, monkeypatch):
    class Ended(BaseException):
        """As when a run is stopped."""

    real = vim.VirtualMachine.ReconfigVM_Task

    def ended(vm, spec):
        real(vm, spec)
        raise Ended

    with open_driver(through(proxy, simulator)) as driver:
        files = peer_at(through(proxy, simulator)).files(driver)
        with monkeypatch.context() as patch:
            patch.setattr(vim.VirtualMachine, "ReconfigVM_Task", ended)
            with pytest.raises(Ended):
                driver.create(definition(peer_at(through(proxy, simulator))))
        assert (driver.find(WEB), driver.residue(WEB)) == (None, ())
        assert peer_at(through(proxy, simulator)).files(driver) == files
