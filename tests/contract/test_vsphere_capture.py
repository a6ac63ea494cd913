# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the vSphere driver promises of templates beyond the contract, over the simulator of a vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import VspherePeer, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Conflict, DriverError, NotFound
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver, names
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.devices import cards_of, disks_of
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.kept import said_of
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")
GOLDEN = WantedTemplate(name="golden")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[VspherePeer]:
    with vsphere(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: VspherePeer) -> Iterator[VsphereDriver]:
    """With a VM of two disks, whose guest has data of its own."""
    opened = VsphereDriver.open(peer.connection)
    disks = [{"name": name, "size_mib": size, "pool": peer.pool} for name, size in (("root", 4), ("data", 8))]
    opened.create(definition(peer, disks=disks, cloud_init={"user_data": "#cloud-config\npassword: canary-4711\n"}))
    yield opened
    opened.close()


def template_of(driver: VsphereDriver, name: str) -> Any:
    found = driver._planner.templates.called(name)
    assert found is not None
    return found


def failing(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def fail(*_said: Any, **_more: Any) -> None:
        raise vim.fault.InvalidState(msg="not now")

    monkeypatch.setattr(vim.VirtualMachine, method, fail)


def test_a_template_has_the_one_disk_and_nothing_that_is_its_vms_own(peer: VspherePeer, driver: VsphereDriver):
    driver.capture(WEB, WantedTemplate(name="golden", disk="data"))
    assert driver.template(WEB, GOLDEN).size_mib == 8
    template = template_of(driver, "golden.qcow2")
    assert len(disks_of(template.devices)) == 1
    assert cards_of(template.devices) == []
    assert template.snapshot is not None
    told = driver._session.read([template.object], ["config.extraConfig"])[template.object]["config.extraConfig"]
    assert set(said_of(told)) & {names.KEPT, "guestinfo.userdata", "guestinfo.metadata"} == set()
    driver.delete(WEB)
    disk = {"name": "root", "template": "golden.qcow2", "pool": peer.pool}
    driver.create(definition(peer, disks=[disk]))
    assert driver.find(WEB).definition.disks[0].size_mib == 8


def test_a_template_goes_where_it_is_wanted_and_its_vm_stays_where_it_is(peer: VspherePeer, driver: VsphereDriver):
    before = driver.find(WEB)
    other = next(one.entity.name for one in driver._places.datastores if one.entity.name != peer.pool)
    driver.capture(WEB, WantedTemplate(name="golden", pool=other))
    assert driver.template(WEB, WantedTemplate(name="golden", pool=other)).pool == other
    assert driver.find(WEB) == before


def test_a_vm_has_the_name_already(peer: VspherePeer, driver: VsphereDriver):
    peer.make_foreign(driver, "golden.qcow2")
    with pytest.raises(Conflict, match=r"golden\.qcow2") as refused:
        driver.capture(WEB, GOLDEN)
    assert refused.value.begun is False


def test_a_template_is_made_of_a_snapshot_that_is_there(driver: VsphereDriver):
    driver.create_snapshot(WEB, WantedSnapshot(name="old"))
    with pytest.raises(NotFound, match=r"'older'.*old"):
        driver.check_capture(WEB, WantedTemplate(name="golden", snapshot="older"))
    driver.capture(WEB, WantedTemplate(name="golden", snapshot="old"))
    assert driver.template(WEB, GOLDEN).name == "golden.qcow2"


@pytest.mark.parametrize("step", ["ReconfigVM_Task", "CreateSnapshot_Task", "MarkAsTemplate"])
def test_of_a_template_that_fails_nothing_is_left(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch, step: str
):
    before, files = driver.find(WEB), peer.files(driver)
    with monkeypatch.context() as patch:
        failing(patch, step)
        with pytest.raises(DriverError, match="not now") as failed:
            driver.capture(WEB, GOLDEN)
    assert failed.value.left == ()
    assert (driver.find(WEB), peer.files(driver), driver.template(WEB, GOLDEN)) == (before, files, None)


def test_a_template_that_somebody_has_made_a_vm_of_is_theirs(peer: VspherePeer, driver: VsphereDriver):
    """As people do to bring it up to date."""
    driver.capture(WEB, GOLDEN)
    template = template_of(driver, "golden.qcow2").object
    template.MarkAsVirtualMachine(driver._places.pool, None)
    assert [vm.name for vm in driver.list_vms()] == ["golden.qcow2", "web"]
    with pytest.raises(Conflict, match=r"golden\.qcow2") as refused:
        driver.capture(WEB, GOLDEN)
    assert refused.value.begun is False
    template.MarkAsTemplate()
    assert driver.template(WEB, GOLDEN).name == "golden.qcow2"


def test_what_a_killed_run_left_is_no_vm_and_goes_with_the_next_run(
    driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        failing(patch, "MarkAsTemplate")
        # As if nobody were there any more to take it back.
        failing(patch, "Destroy_Task")
        with pytest.raises(DriverError) as failed:
            driver.capture(WEB, GOLDEN)
    assert failed.value.left != ()
    assert [vm.name for vm in driver.list_vms()] == ["web"]
    driver.capture(WEB, GOLDEN)
    assert driver.template(WEB, GOLDEN).name == "golden.qcow2"
