# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the vSphere driver finds VMs, and what a list says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import definition
from vsphere_peers import VspherePeer, make, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction

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


def test_a_list_says_of_each_vm_what_is_said_of_it_alone(peer: VspherePeer, driver: VsphereDriver):
    cards = [{"network": name.name} for name in driver._places.networks]
    buses = [{"size_mib": 4, "bus": bus, "pool": peer.pool} for bus in ("virtio", "scsi", "sata")]
    data = {"user_data": "#cloud-config\n"}
    driver.create(definition(peer, "whole", disks=buses, nics=cards, cloud_init=data, tags={"a": "ü <&>"}))
    driver.create(definition(peer))
    make(driver._session, "theirs", peer.pool, disks=2)
    for name in ("whole", "theirs"):
        driver.power(VmRef(name=name), PowerAction.ON, 30)
    listed = driver.list_vms()
    assert [vm.name for vm in listed] == ["theirs", "web", "whole"]
    assert listed == tuple(driver.find(VmRef(name=vm.name, uuid=vm.uuid)) for vm in listed)
    assert [len(vm.definition.disks) for vm in listed] == [2, 1, 3]
    assert [len(vm.disk_use) for vm in listed] == [2, 1, 3]


def test_a_vm_is_found_in_two_calls_by_uuid_and_in_one_more_by_name(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch
):
    driver.create(definition(peer))
    calls: list[str] = []
    real = driver._session._stub.SerializeRequest

    def counted(managed, method, arguments):
        calls.append(method.wsdlName)
        return real(managed, method, arguments)

    monkeypatch.setattr(driver._session._stub, "SerializeRequest", counted)
    uuid = definition(peer).identity
    assert driver.find(VmRef(name="web", uuid=uuid)).name == "web"
    assert calls == ["FindByUuid", "RetrievePropertiesEx"]
    calls.clear()
    assert driver.find(WEB).uuid == uuid
    assert calls == ["RetrievePropertiesEx", "RetrievePropertiesEx"]
    calls.clear()
    assert driver.find(VmRef(name="x", uuid=driver._vms.find(WEB)[0]._GetMoId())).uuid == uuid
    assert calls[2:] == ["RetrievePropertiesEx"]
    calls.clear()
    assert [vm.uuid for vm in driver.list_vms()] == [uuid]
    assert calls == ["RetrievePropertiesEx"]


def test_a_managed_object_id_that_is_no_vms_finds_nothing(peer: VspherePeer, driver: VsphereDriver):
    template = driver._planner.templates.called(peer.template).object._GetMoId()
    assert driver.find(VmRef(name="x", uuid=template)) is None
    assert driver.find(VmRef(name="x", uuid="vm-4711")) is None
