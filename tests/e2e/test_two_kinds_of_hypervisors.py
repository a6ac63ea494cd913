# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One product, several kinds of hypervisors: appliances on vSphere beside others, through the same API at once."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyVmomi import vim

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.connection import Session
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from tests.e2e.sites import Site, real
from tools import vcsim
from tools.guest.pool import GuestPool
from webapi.cli.client import Json

pytestmark = pytest.mark.vcsim

LOGIN = {"username": "millwright", "password": "canary-0815"}
TEMPLATE = "golden"


@dataclass
class VCenter:
    """A vCenter with a template, seen from its own side."""

    url: str
    certificate: Path

    @property
    def pinned(self) -> str:
        """The URL with the certificate's thumbprint."""
        pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.certificate.read_text())).hexdigest()
        return f"{self.url}&thumbprint={pin}"

    @property
    def connection(self) -> Connection:
        return Connection(hypervisor_type="vsphere", url=self.url, ca_path=str(self.certificate), **LOGIN)

    def make_template(self) -> None:
        disk = {"name": "root", "size_mib": 8}
        golden = VmDefinition.from_dict({"name": TEMPLATE, "memory_mib": 64, "disks": [disk]})
        with open_driver(self.connection) as driver:
            driver.create(golden)
            vm = driver._vms.by_uuid(golden.identity)[0]
            driver._session.waiter.finish(vm.CreateSnapshot_Task("base", "", False, False), 60, "snapshot")
            vm.MarkAsTemplate()

    @property
    def machines(self) -> dict[str, str]:
        with open_driver(self.connection) as driver:
            return {vm.name: vm.power.value for vm in driver.list_vms()}

    def sessions(self) -> tuple[int, int]:
        """How many logins there were, and how many of their sessions are left; but for the one that asks."""
        kinds = ["UserLoginSessionEvent", "UserLogoutSessionEvent"]
        session = Session(self.connection)
        events = session.content.eventManager.QueryEvents(vim.event.EventFilterSpec(maxCount=1000, eventTypeId=kinds))
        session.close()
        came = sum(isinstance(one, vim.event.UserLoginSessionEvent) for one in events) - 1
        went = sum(isinstance(one, vim.event.UserLogoutSessionEvent) for one in events)
        return came, came - went


@pytest.fixture
def vcenter(tmp_path: Path) -> Iterator[VCenter]:
    account = f"{LOGIN['username']}:{LOGIN['password']}"
    with vcsim.running(tmp_path / "vcsim", "-user", account) as simulator:
        opened = VCenter(f"{simulator.url.removesuffix('/sdk')}/?datastore=LocalDS_0", simulator.certificate)
        opened.make_template()
        yield opened


def small(name: str) -> Json:
    return {"name": name, "memory_mib": 64, "nics": [{"name": "front", "network": "VM Network"}]}


def test_an_appliance_lives_on_vsphere_by_configuration_alone(site: Site, vcenter: VCenter):
    authorities = vcenter.certificate.read_text()
    hypervisor = site.register("vsphere", vcenter.url, **LOGIN, open_sessions=2, ca_certificates=authorities)
    assert (hypervisor["state"], hypervisor["host"]["hypervisor_type"]) == ("MANAGED", "vsphere")
    before, kept = vcenter.sessions()
    assert kept == 1
    shop = site.appliance([small(f"vm{number}") for number in range(4)], type="vsphere", template=TEMPLATE)

    assert site.ended(site.deploy(shop))["state"] == "FINISHED_SUCCESSFULLY"
    vms = {vm["native_name"]: vm for vm in site.vms(shop)}
    assert vcenter.machines == dict.fromkeys(vms, "on")
    for vm in vms.values():
        for action, state in (("pause", "PAUSED"), ("resume", "ON"), ("shutdown", "OFF")):
            site.ended(site.client.post(f"/vms/{vm['id']}/power", {"action": action}))
            assert site.client.get(f"/vms/{vm['id']}")["state"] == state
    wanted = {**next(iter(vms.values()))["definition"], "memory_mib": 128}
    changed = site.client.put(f"/vms/{next(iter(vms.values()))['id']}", {"definition": wanted})
    assert site.ended(changed)["state"] == "FINISHED_SUCCESSFULLY"
    assert site.ended(site.undeploy(shop))["state"] == "FINISHED_SUCCESSFULLY"
    assert vcenter.machines == {}

    site.house.runner.stop()
    came, left = vcenter.sessions()
    assert left == 0
    # The test's own four looks are among the logins, one each.
    assert came - before <= 2 + 4


def test_whom_nobody_vouches_for_is_trusted_once_its_authority_is_told(site: Site, vcenter: VCenter):
    hypervisor = site.register("vsphere", vcenter.url, **LOGIN)
    assert (hypervisor["state"], hypervisor["error"]["code"]) == ("UNREACHABLE", "driver.untrusted")
    here = f"/hypervisors/{hypervisor['id']}"
    site.client.patch(here, {"ca_certificates": vcenter.certificate.read_text()})
    assert site.ended(site.client.post(f"{here}/discover"))["state"] == "FINISHED_SUCCESSFULLY"
    assert site.client.get(here)["state"] == "MANAGED"


def test_a_wrong_password_is_told_and_shown_nowhere(site: Site, vcenter: VCenter):
    hypervisor = site.register("vsphere", vcenter.pinned, username="millwright", password="wrong-4711")
    assert (hypervisor["state"], hypervisor["error"]["code"]) == ("UNREACHABLE", "driver.authentication_failed")
    assert "wrong-4711" not in str(hypervisor)


@pytest.mark.qemu
@pytest.mark.slow
def test_appliances_on_libvirt_and_on_vsphere_are_deployed_at_once(site: Site, vcenter: VCenter, guest_pool: GuestPool):
    site.register("libvirt", "qemu:///system")
    site.register("vsphere", vcenter.pinned, **LOGIN)
    here = site.appliance([real("web", guest_pool)], type="libvirt", template=guest_pool.template, name="here")
    there = site.appliance([small("web"), small("db")], type="vsphere", template=TEMPLATE, name="there")

    tasks = [site.deploy(here), site.deploy(there)]
    assert [site.ended(task)["state"] for task in tasks] == ["FINISHED_SUCCESSFULLY"] * 2
    assert (site.states(here), site.states(there)) == ({"web": "ON"}, {"web": "ON", "db": "ON"})
    assert (len(guest_pool.domains()), set(vcenter.machines.values())) == (1, {"on"})

    tasks = [site.undeploy(here), site.undeploy(there)]
    assert [site.ended(task)["state"] for task in tasks] == ["FINISHED_SUCCESSFULLY"] * 2
    assert (guest_pool.domains(), vcenter.machines) == ({}, {})
