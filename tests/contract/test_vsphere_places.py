# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the vSphere driver puts VMs: what a URL says, what is the only one, and what is ambiguous."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import VspherePeer, connection_to, make_template

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Ambiguous, NotFound, Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState
from tools import vcsim

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")
EMPTY = {"disks": [{"name": "root", "size_mib": 4}], "nics": []}


@dataclass
class Site:
    """A simulator with two datacenters of two clusters each, and drivers to it."""

    simulator: vcsim.Simulator

    @contextmanager
    def driver(self, **places: str) -> Iterator[VsphereDriver]:
        query = urlencode(places, quote_via=quote)
        opened = VsphereDriver.open(connection_to(self.simulator, query))
        try:
            yield opened
        finally:
            opened.close()

    def peer(self, pool: str = "LocalDS_0", network: str = "VM Network") -> VspherePeer:
        return VspherePeer(connection_to(self.simulator), pool, network)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("site")
    with vcsim.running(place / "vcsim", "-datacenters", "2", "-clusters", "2", "-hosts", "2") as simulator:
        yield Site(simulator)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Site]:
    """A simulator of one cluster."""
    with vcsim.running(tmp_path / "vcsim") as simulator:
        yield Site(simulator)


def place_of(driver: VsphereDriver, *paths: str) -> list[object]:
    vm = driver._vms.find(WEB)[0]
    told = driver._session.read([vm], paths)[vm]
    return [told[path] for path in paths]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({}, r"which datacenter .* /DC0 \(datacenter-\d+\), /DC1"),
        ({"datacenter": "DC0"}, "which cluster or host .* /DC0/host/DC0_C0 .* /DC0/host/DC0_C1"),
    ],
)
def test_where_nothing_says_which_of_several_is_meant_the_refusal_lists_them(site: Site, places, said: str):
    with site.driver(**places) as driver, pytest.raises(Ambiguous, match=said) as refused:
        driver.check(definition(site.peer(), **EMPTY))
    assert not refused.value.begun


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"datacenter": "DC7"}, "no datacenter 'DC7'; there are: /DC0"),
        ({"datacenter": "DC0", "cluster": "DC1_C0"}, "no cluster or host 'DC1_C0'; there are: /DC0/host/DC0_C0"),
        ({"datacenter": "DC0", "cluster": "DC0_C0", "resource_pool": "gold"}, "no resource pool 'gold'"),
        ({"datacenter": "DC0", "cluster": "DC0_C0", "folder": "gold"}, "no folder 'gold'"),
        ({"datacenter": "DC0", "host": "DC1_C0_H0"}, "no host 'DC1_C0_H0'; there are: /DC0/host/DC0_C0/DC0_C0_H0"),
        ({"datacenter": "DC0", "cluster": "DC0_C0", "datastore": "gold"}, "no datastore 'gold'"),
    ],
)
def test_a_place_that_is_not_there_is_refused_and_the_refusal_lists_what_is(site: Site, places, said: str):
    with site.driver(**places) as driver, pytest.raises(NotFound, match=said):
        driver.create(definition(site.peer(), **EMPTY))


def test_a_vm_goes_where_the_url_says_by_name_by_path_and_by_id(site: Site):
    with site.driver(datacenter="DC1", cluster="DC1_C1") as first:
        folder = first._places.folder.CreateFolder("tenants")
        host = next(one for one in first._inventory.every(vim.HostSystem) if one.name == "DC1_C1_H1")
    for said in ("tenants", "/DC1/vm/tenants", folder._GetMoId()):
        places = {
            "datacenter": "/DC1", "host": host.id, "folder": said, "datastore": "LocalDS_1",
            "resource_pool": "DC1_C1_RP1",
        }  # fmt: skip
        with site.driver(**places) as driver:
            want = definition(site.peer(), **EMPTY)
            driver.create(want)
            parent, runs_at, pool, files = place_of(
                driver, "parent", "runtime.host", "resourcePool", "config.files.vmPathName"
            )
            names = {one.object: one.name for one in driver._inventory._all.values()}
            assert (parent, runs_at) == (folder, host.object)
            assert (names[pool], files[:11]) == ("DC1_C1_RP1", "[LocalDS_1]")
            assert changes(driver.find(WEB).definition, want) == ()
            driver.delete(WEB)


def test_vms_of_another_datacenter_are_not_seen(site: Site):
    with site.driver(datacenter="DC0", cluster="DC0_C0", datastore="LocalDS_0") as here:
        here.create(definition(site.peer(), **EMPTY))
        with site.driver(datacenter="DC1", cluster="DC1_C0", datastore="LocalDS_0") as there:
            # Templates may come from anywhere; having looked for them changes nothing.
            assert [entity.name for entity, _ in there._planner.templates._every()] == ["web"]
            assert there.find(WEB) is None
            assert there.list_vms() == ()
        assert [vm.name for vm in here.list_vms()] == ["web"]
        here.delete(WEB)


@pytest.mark.parametrize("kind", ["name", "path", "id"])
def test_datastores_and_networks_are_named_by_name_path_or_id(one: Site, kind: str):
    with one.driver() as driver:
        datastore = driver._places.datastores[1].entity
        for network in driver._places.networks:
            disk = {"name": "root", "size_mib": 4, "pool": getattr(datastore, kind)}
            want = definition(one.peer(), disks=[disk], nics=[{"network": getattr(network, kind)}])
            driver.create(want)
            assert changes(driver.find(WEB).definition, want) == ()
            assert place_of(driver, "config.files.vmPathName")[0].startswith(f"[{datastore.name}]")
            driver.delete(WEB)


def test_no_card_is_on_the_uplinks_of_a_switch(one: Site):
    with one.driver() as driver:
        (uplinks,) = [network.name for network in driver._inventory.networks if "Uplinks" in network.name]
        assert uplinks not in driver.host().networks
        disks = [{"name": "root", "size_mib": 4, "pool": "LocalDS_0"}]
        with pytest.raises(NotFound, match="DC0_DVPG0"):
            driver.check(definition(one.peer(network=uplinks), disks=disks))


def test_a_template_disk_goes_to_the_datastore_that_was_asked_for(one: Site):
    with one.driver() as driver:
        make_template(driver._session, "LocalDS_0")
        want = definition(one.peer(pool="LocalDS_1"))
        driver.create(want)
        assert changes(driver.find(WEB).definition, want) == ()
        assert place_of(driver, "config.files.vmPathName")[0].startswith("[LocalDS_1]")


# --- a host without a vCenter ---


@pytest.fixture
def esxi(tmp_path: Path) -> Iterator[Site]:
    with vcsim.running(tmp_path / "vcsim", "-esx", "-datastores", "1") as simulator:
        yield Site(simulator)


def test_a_stand_alone_host_makes_vms_with_empty_disks(esxi: Site):
    peer = esxi.peer()
    with esxi.driver() as driver:
        want = definition(peer, disks=[{"name": "root", "size_mib": 4, "pool": "LocalDS_0"}])
        driver.create(want)
        assert changes(driver.find(WEB).definition, want) == ()
        driver.power(WEB, PowerAction.ON, 30)
        assert [(vm.name, vm.power) for vm in driver.list_vms()] == [("web", PowerState.ON)]
        assert driver.host().cores >= 1
        driver.delete(WEB)
        assert driver.find(WEB) is None


def test_a_stand_alone_host_cannot_clone_and_says_so(esxi: Site):
    peer = esxi.peer()
    with esxi.driver() as driver, pytest.raises(Unsupported, match="stand-alone ESXi host cannot clone"):
        driver.check(definition(peer))
