# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the vSphere driver puts VMs: what a URL says, what is the only one, and what is ambiguous."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import PATIENCE, TEMPLATE, VspherePeer, connection_to, make_template

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Ambiguous,
    Conflict,
    NotFound,
    Unsupported,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver, vms
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.connection import Session
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.files import Files
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.observation import (
    datastore_name,
    named_disks,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.placement import Places
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
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
        (uplinks,) = [network.name for network in driver._inventory.every(vim.Network) if "Uplinks" in network.name]
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


# --- several hypervisors of one vCenter ---


def test_hypervisors_of_one_vcenter_that_are_clusters_do_not_touch_each_others_vms(site: Site):
    want = definition(site.peer(), **EMPTY)
    place = {"datacenter": "DC0", "datastore": "LocalDS_0"}
    with site.driver(**place, cluster="DC0_C0") as here, site.driver(**place, cluster="DC0_C1") as there:
        here.create(want)
        assert WEB.name in [vm.name for vm in here.list_vms()]
        assert WEB.name not in [vm.name for vm in there.list_vms()]
        assert (there.find(WEB), there.find(VmRef.of(replace(want, uuid=want.identity)))) == (None, None)
        assert not ensure_absent(there, WEB, dry_run=False).changed
        for dry_run in (True, False):
            with pytest.raises(Conflict, match="outside of the cluster") as refused:
                ensure_present(there, want, dry_run=dry_run)
            assert refused.value.begun is False
        theirs = replace(want, uuid="11111111-2222-4333-8444-555555555555")
        with pytest.raises(Conflict, match=r"there is a template or VM 'web' .* in the folder"):
            ensure_present(there, theirs, dry_run=False)
        here._places.folder.CreateFolder("c1")
        with site.driver(**place, cluster="DC0_C1", folder="c1") as in_folder:
            assert ensure_present(in_folder, theirs, dry_run=False).changed
        with site.driver(datacenter="DC0", host="DC0_C1_H0") as of_host:
            assert of_host.find(WEB).uuid == theirs.uuid
        for driver, one in ((here, want), (there, theirs)):
            assert driver.find(WEB).uuid == one.identity
            assert ensure_absent(driver, VmRef.of(one), dry_run=False).changed
        assert (here.find(WEB), there.find(WEB)) == (None, None)


def test_a_vm_of_which_vsphere_does_not_say_yet_where_it_goes_may_be_ours():
    just_begun = {"name": "web"}
    assert vms._is_within(just_begun, set())
    assert not vms._is_within({**just_begun, "config.instanceUuid": "theirs"}, set())


# --- clusters without DRS, hosts that reach not all ---


def without_drs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The simulator has DRS only, and no rule. Gives the hosts that VMs are asked for at."""
    asked: list[Any] = []
    clone, create = vim.VirtualMachine.CloneVM_Task, vim.Folder.CreateVM_Task

    def cloned(vm: Any, folder: Any, name: str, spec: Any) -> Any:
        asked.append(spec.location.host)
        return clone(vm, folder, name, spec)

    def created(folder: Any, spec: Any, pool: Any, host: Any) -> Any:
        asked.append(host)
        return create(folder, spec, pool, host)

    monkeypatch.setattr(Places, "_is_placed_by_vsphere", False)
    monkeypatch.setattr(vim.VirtualMachine, "CloneVM_Task", cloned)
    monkeypatch.setattr(vim.Folder, "CreateVM_Task", created)
    return asked


def told_of_hosts(monkeypatch: pytest.MonkeyPatch, more: dict[str, dict[str, Any]]) -> None:
    """As if vSphere said more of hosts, by their names."""
    real = Session.read

    def read(session: Session, objects: Any, paths: Any) -> Any:
        told = real(session, objects, paths)
        if told and isinstance(next(iter(told)), vim.HostSystem):
            names = real(session, list(told), ["name"])
            for one, seen in told.items():
                seen |= {path: value for path, value in more.get(names[one]["name"], {}).items() if path in paths}
        return told

    monkeypatch.setattr(Session, "read", read)


def test_whether_vsphere_decides_on_the_host_is_read_of_the_cluster(one: Site):
    with one.driver() as driver:
        assert driver._places._is_placed_by_vsphere
        cluster = driver._places.compute.object
        off = vim.cluster.ConfigSpecEx(drsConfig=vim.cluster.DrsConfigInfo(enabled=False))
        finish(driver, cluster.ReconfigureComputeResource_Task(off, True))
        config = driver._session.read([cluster], ["configurationEx"])[cluster]["configurationEx"]
        assert driver._places._is_placed_by_vsphere is bool(config.drsConfig.enabled)


def test_in_a_cluster_without_drs_a_host_is_chosen_that_reaches_all(one: Site, monkeypatch: pytest.MonkeyPatch):
    asked = without_drs(monkeypatch)
    with one.driver() as driver:
        make_template(driver._session, "LocalDS_0")
        asked.clear()
        hosts = {host.name: host.object for host in driver._inventory.every(vim.HostSystem)}
        names = [name for name in hosts if "_C0_" in name]
        gib = {"summary.hardware.memorySize": 2**34, "summary.quickStats.overallMemoryUsage": 1024}
        told_of_hosts(monkeypatch, {
            names[0]: gib | {"datastore": []},
            names[1]: gib | {"summary.quickStats.overallMemoryUsage": 2048},
            names[2]: gib | {"summary.runtime.inMaintenanceMode": True},
        })  # fmt: skip
        driver.create(definition(one.peer()))
        driver.create(definition(one.peer(), "empty", disks=[{"size_mib": 4, "pool": "LocalDS_0"}]))
        assert asked == [hosts[names[1]]] * 2
        told_of_hosts(monkeypatch, {name: {"network": []} for name in names})
        with pytest.raises(NotFound, match=r"no host of .* reaches .*VM Network") as refused:
            driver.check(definition(one.peer(), "third"))
        assert refused.value.begun is False


def test_in_a_cluster_without_drs_vms_are_spread_over_hosts_with_memory(one: Site, monkeypatch: pytest.MonkeyPatch):
    """Those that are made together, too: what they will use is not told yet. Each is always given the same host."""
    without_drs(monkeypatch)
    with one.driver() as driver:
        hosts = [host.object for host in driver._inventory.every(vim.HostSystem)]
        full = {"summary.hardware.memorySize": 2**30, "summary.quickStats.overallMemoryUsage": 1000}
        told_of_hosts(monkeypatch, {"DC0_C0_H0": full})
        wanted = [definition(one.peer(), f"web{number}", disks=[], nics=[]) for number in range(8)]
        chosen = [driver._places.landing(want.identity, [], 2**26) for want in wanted]
        assert set(chosen) == set(hosts[1:])
        assert [driver._places.landing(want.identity, [], 2**26) for want in wanted] == chosen


def test_a_host_reaches_what_a_linked_disk_stands_on_and_the_image_of_a_disc(
    one: Site, monkeypatch: pytest.MonkeyPatch
):
    with one.driver() as driver:
        make_template(driver._session, "LocalDS_0")
        needed: list[set[Any]] = []
        monkeypatch.setattr(Places, "landing", lambda _places, _identity, what, _memory=0: needed.append(what))
        monkeypatch.setattr(Files, "image", lambda _files, said, _home: said)
        stores = {store.entity.object for store in driver._places.datastores}
        root = {"name": "root", "pool": "LocalDS_1"}
        for fields in (
            {"disks": [{**root, "template": TEMPLATE, "clone": "linked"}]},
            {"disks": [{**root, "size_mib": 4}], "cdrom": "[LocalDS_0] iso/x.iso"},
        ):
            driver.check(definition(one.peer(), nics=[], **fields))
            assert needed.pop() == stores
        driver.check(definition(one.peer(), nics=[], disks=[{**root, "template": TEMPLATE, "clone": "full"}]))
        assert len(needed.pop()) == 1


def test_a_host_that_the_url_names_has_its_own_datastores_and_networks(one: Site, monkeypatch: pytest.MonkeyPatch):
    with one.driver(host="DC0_C0_H1") as driver:
        told_of_hosts(monkeypatch, {"DC0_C0_H1": {"datastore": [driver._places.datastores[1].entity.object]}})
        other, only = ("LocalDS_0", "LocalDS_1")
        assert set(driver.host().pools) == {only}
        with pytest.raises(NotFound, match=other):
            driver.check(definition(one.peer(other)))


# --- datastore clusters ---


@pytest.fixture
def pods(one: Site) -> Iterator[VsphereDriver]:
    """All datastores are in one datastore cluster."""
    with one.driver() as driver:
        datacenter = driver._inventory.datacenter.object
        folder = driver._session.read([datacenter], ["datastoreFolder"])[datacenter]["datastoreFolder"]
        pod = folder.CreateStoragePod("gold")
        finish(driver, pod.MoveIntoFolder_Task([store.object for store in driver._inventory.every(vim.Datastore)]))
        folder.CreateStoragePod("empty")
        yield driver


def finish(driver: VsphereDriver, task: Any) -> Any:
    return driver._session.waiter.finish(task, PATIENCE, "what the test asks for")


def in_pod(one: Site, pool: str = "gold", **fields: Any) -> VmDefinition:
    return definition(one.peer(), disks=[{"name": "root", "size_mib": 4, "pool": pool}], **fields)


def with_space(monkeypatch: pytest.MonkeyPatch, space: dict[str, dict[str, Any]]) -> None:
    real = Places.datastores.func

    def datastores(places: Places) -> list[Any]:
        return [replace(store, **space.get(store.entity.name, {})) for store in real(places)]

    monkeypatch.setattr(Places, "datastores", property(datastores))


def test_of_a_datastore_cluster_the_datastore_with_the_most_room_is_taken(
    one: Site, pods: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    tib = 2**40
    for first, second, taken in (
        ({"free": tib}, {"free": 2 * tib}, "LocalDS_1"),
        ({"free": 3 * tib}, {"free": 2 * tib}, "LocalDS_0"),
        ({"free": 3 * tib, "usable": False}, {"free": 2 * tib}, "LocalDS_1"),
    ):
        with monkeypatch.context() as patch:
            with_space(patch, {"LocalDS_0": first, "LocalDS_1": second})
            pods.create(in_pod(one))
        assert [datastore_name(disk) for disk in named_disks(pods._vms.find(WEB)[1]).values()] == [taken]
        assert pods.find(WEB).definition.disks[0].pool == "gold"
        assert not ensure_present(pods, in_pod(one), dry_run=False).changed
        pods.delete(WEB)


def test_a_datastore_cluster_without_a_datastore_that_can_be_reached_is_refused(one: Site, pods: VsphereDriver):
    with pytest.raises(NotFound, match=r"datastore cluster .*/empty has no datastore"):
        pods.check(in_pod(one, "empty"))
    with pytest.raises(NotFound, match="no datastore 'silver'"):
        pods.check(in_pod(one, "silver"))


def test_a_vm_whose_disk_has_been_moved_is_as_it_was_asked_for_and_can_be_changed(one: Site, pods: VsphereDriver):
    """As Storage DRS does it within a datastore cluster, and people do it to elsewhere."""
    pods.create(in_pod(one))
    vm, seen = pods._vms.find(WEB)
    (disk,) = named_disks(seen).values()
    was = datastore_name(disk)
    other = next(store for store in pods._places.datastores if store.entity.name != was)
    stores = {store.entity.name: Path(store.entity.id.split("@")[0]) for store in pods._places.datastores}
    shutil.copytree(stores[was] / "web", stores[other.entity.name] / "web")
    disk.backing.datastore = other.entity.object
    disk.backing.fileName = disk.backing.fileName.replace(was, other.entity.name)
    edit = vim.vm.device.VirtualDeviceSpec(operation="edit", device=disk)
    finish(pods, vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[edit])))
    assert not ensure_present(pods, in_pod(one), dry_run=False).changed
    assert ensure_present(pods, in_pod(one, memory_mib=96), dry_run=False).changed
    there = in_pod(one, other.entity.name, memory_mib=96)
    assert [change.path for change in ensure_present(pods, there, dry_run=False).changes] == ["disks[root].pool"]
    assert not ensure_present(pods, there, dry_run=False).changed
    for dry_run in (True, False):
        with pytest.raises(Unsupported, match="is moved at the vCenter"):
            ensure_present(pods, in_pod(one, was, memory_mib=96), dry_run=dry_run)
