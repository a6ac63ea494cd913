# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the vSphere driver promises beyond the contract, over the simulator of a vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import PATIENCE, VspherePeer, make, make_template, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Ambiguous,
    Conflict,
    DriverError,
    InsufficientResources,
    InvalidTemplate,
    InvalidTransition,
    NotFound,
    Unsupported,
    VmNotFound,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.devices import bus_of, disks_of
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.kept import options
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.making import Maker
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.planning import Plan
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

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


def vm_of(driver: VsphereDriver, name: str = "web"):
    return driver._vms.find(VmRef(name=name))[0]


def finish(driver: VsphereDriver, task):
    return driver._session.waiter.finish(task, PATIENCE, "what the test asks for")


def with_disk(peer: VspherePeer, **fields):
    return definition(peer, disks=[{"name": "root", "template": peer.template, "pool": peer.pool, **fields}])


# --- templates ---


def test_a_template_is_named_by_its_name_its_path_or_its_id(peer: VspherePeer, driver: VsphereDriver):
    template = driver._planner.templates.find(peer.template)
    for said in (peer.template, template.path, template.object._GetMoId()):
        want = with_disk(peer, template=said)
        driver.create(want)
        assert changes(driver.find(WEB).definition, want) == ()
        driver.delete(WEB)


def test_a_template_that_is_powered_on_is_refused(peer: VspherePeer, driver: VsphereDriver):
    running = make(driver._session, "golden", peer.pool, disks=1)
    finish(driver, running.PowerOnVM_Task())
    with pytest.raises(InvalidTemplate, match="golden is poweredOn") as refused:
        driver.create(with_disk(peer, template="golden", clone="full"))
    assert not refused.value.begun
    assert driver.find(WEB) is None


def test_a_linked_disk_needs_a_snapshot_of_its_template_and_has_its_size(peer: VspherePeer, driver: VsphereDriver):
    make(driver._session, "plain", peer.pool, disks=1)
    with pytest.raises(InvalidTemplate, match="plain has no snapshot"):
        driver.check(with_disk(peer, template="plain"))
    with pytest.raises(Unsupported, match="use clone: full"):
        driver.check(with_disk(peer, size_mib=peer.template_mib + 1))
    with pytest.raises(InvalidTemplate, match="cannot be smaller"):
        driver.check(with_disk(peer, size_mib=1))


def test_a_full_copy_can_be_larger_than_its_template(peer: VspherePeer, driver: VsphereDriver):
    want = with_disk(peer, clone="full", size_mib=peer.template_mib * 4)
    driver.create(want)
    assert driver.find(WEB).definition.disks[0].size_mib == peer.template_mib * 4


def test_the_disks_of_a_template_are_taken_as_a_whole(peer: VspherePeer, driver: VsphereDriver):
    make_template(driver._session, peer.pool, "pair", disks=2)
    disks = [{"name": name, "template": "pair", "pool": peer.pool} for name in ("root", "data")]
    empty = {"name": "scratch", "size_mib": 4, "pool": peer.pool, "bus": "sata"}
    want = definition(peer, disks=[disks[0], empty, disks[1]])
    driver.create(want)
    assert changes(driver.find(WEB).definition, want) == ()
    assert [disk.name for disk in driver.find(WEB).definition.disks] == ["root", "scratch", "data"]
    with pytest.raises(InvalidTemplate, match="has 2 disks in its snapshot; the definition names it for 1"):
        driver.check(definition(peer, "other", disks=disks[:1]))
    with pytest.raises(Unsupported, match="one template, in one way of cloning"):
        driver.check(definition(peer, "other", disks=[disks[0], {**disks[1], "clone": "full"}]))


def test_a_clone_is_on_the_bus_that_was_asked_for_and_has_an_address_of_its_own(
    peer: VspherePeer, driver: VsphereDriver
):
    for name in ("web", "shop"):
        disk = {"name": "root", "template": peer.template, "bus": "scsi", "pool": peer.pool}
        driver.create(definition(peer, name, disks=[disk]))
    devices = driver._session.read([vm_of(driver)], ["config.hardware.device"])[vm_of(driver)]["config.hardware.device"]
    controllers = {one.key: one for one in devices}
    assert [bus_of(controllers[disk.controllerKey]) for disk in disks_of(devices)] == ["scsi"]
    addresses = {driver.find(VmRef(name=name)).definition.nics[0].mac for name in ("web", "shop")}
    assert len(addresses - {None, ""}) == 2


def test_a_name_that_two_templates_have_is_ambiguous_and_the_refusal_lists_them(
    peer: VspherePeer, driver: VsphereDriver
):
    other = driver._places.folder.CreateFolder("other")
    twin = make_template(driver._session, peer.pool, "twin")
    make_template(driver._session, peer.pool)
    finish(driver, other.MoveIntoFolder_Task([twin]))
    twin.Rename_Task(peer.template)
    with pytest.raises(Ambiguous, match="other/contract-template"):
        driver.check(definition(peer))


# --- what others do meanwhile ---


def test_a_create_that_fails_because_another_delivery_was_faster_names_none_of_its_files_as_left(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    real = Maker.make

    def overtaken(maker: Maker, plan: Plan) -> None:
        real(maker, plan)
        raise vim.fault.DuplicateName(msg="there is one", name="web", object=vm_of(driver))

    monkeypatch.setattr(Maker, "make", overtaken)
    with pytest.raises(Conflict, match="DuplicateName") as failed:
        driver.create(definition(peer))
    assert failed.value.left == ()
    assert driver.find(WEB)


def test_a_disk_that_somebody_has_put_on_another_place_is_still_ours(peer: VspherePeer, driver: VsphereDriver):
    before = peer.files(driver)
    root = {"name": "root", "size_mib": 4, "pool": peer.pool}
    driver.create(definition(peer, disks=[root], nics=[]))

    def edit(**fields: Any) -> None:
        disk = disks_of(driver._vms.read(vm_of(driver)).devices)[0]
        disk.unitNumber = fields.get("unit", disk.unitNumber)
        disk.backing.uuid = fields.get("uuid", disk.backing.uuid)
        one = vim.vm.device.VirtualDeviceSpec(operation="edit", device=disk)
        finish(driver, vm_of(driver).ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[one])))

    # The simulator gives disks no uuid.
    edit(uuid="6000C29a-1111-2222-3333-444455556666")
    want = definition(peer, disks=[root], nics=[], memory_mib=96)
    assert ensure_present(driver, want, dry_run=False).changed
    edit(unit=3)
    assert not ensure_present(driver, want, dry_run=False).changed
    assert driver.list_vms() == (driver.find(WEB),)
    grown = definition(peer, disks=[{**root, "size_mib": 8}], nics=[], memory_mib=96)
    assert ensure_present(driver, grown, dry_run=False).changed
    assert driver.find(WEB).definition.disks == grown.disks
    driver.delete(WEB)
    assert peer.files(driver) == before


@pytest.mark.parametrize("field", ["memory_mib", "memory_max_mib"])
def test_memory_that_vsphere_would_not_give_is_refused(peer: VspherePeer, driver: VsphereDriver, field: str):
    driver.create(definition(peer))
    wrong = {"memory_mib": 64, field: 66}
    for want in (definition(peer, "new", **wrong), definition(peer, **wrong)):
        for dry_run in (True, False):
            with pytest.raises(Unsupported, match=f"{field} is 66; .* a multiple of 4") as refused:
                ensure_present(driver, want, dry_run=dry_run)
            assert refused.value.begun is False


@pytest.mark.parametrize(("format", "thin"), [("qcow2", True), ("raw", False)])
def test_a_full_copy_is_asked_for_as_thin_or_thick_as_it_is_wanted(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch, format: str, thin: bool
):
    """The simulator makes it as its template is."""
    asked, real = [], vim.VirtualMachine.CloneVM_Task

    def clone(vm: Any, folder: Any, name: str, spec: Any) -> Any:
        asked.extend(spec.location.disk)
        return real(vm, folder, name, spec)

    monkeypatch.setattr(vim.VirtualMachine, "CloneVM_Task", clone)
    driver.create(with_disk(peer, clone="full", format=format))
    driver.create(definition(peer, "linked", disks=[{"template": peer.template, "clone": "linked", "pool": peer.pool}]))
    full, linked = asked
    assert full.diskBackingInfo.thinProvisioned is thin
    assert linked.diskBackingInfo is None


def test_a_vm_has_nothing_of_the_guest_data_of_what_it_is_cloned_from(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    """A vCenter copies all extra configuration; the simulator does not, so it is told to."""
    secret = {"user_data": "#cloud-config\npassword: canary-4711\n"}
    driver.create(definition(peer, "gold", disks=[{"size_mib": 4, "pool": peer.pool}], cloud_init=secret))
    gold, seen = driver._vms.find(VmRef(name="gold"))
    inherited = {**seen.extra, "guestinfo.vendordata": "canary", "guestinfo.appInfo": "stays"}
    real = vim.VirtualMachine.CloneVM_Task

    def clone(vm: Any, folder: Any, name: str, spec: Any) -> Any:
        said = {one.key: one.value for one in spec.config.extraConfig}
        spec.config.extraConfig = options({**inherited, **said})
        return real(vm, folder, name, spec)

    monkeypatch.setattr(vim.VirtualMachine, "CloneVM_Task", clone)
    root = {"template": "gold", "clone": "full", "pool": peer.pool}
    for name, said in (("none", None), ("meta", {"meta_data": "instance-id: i-2\n"})):
        driver.create(definition(peer, name, disks=[root], cloud_init=said))
        extra = driver._vms.find(VmRef(name=name))[1].extra
        assert extra["guestinfo.appInfo"] == "stays"
        assert [key for key in extra if "userdata" in key or "vendordata" in key] == []
        assert ("guestinfo.metadata" in extra) == (said is not None)
        assert extra.get("guestinfo.metadata") != inherited["guestinfo.metadata"]
    assert gold


def test_somebody_elses_disk_stays_when_the_vm_goes(peer: VspherePeer, driver: VsphereDriver):
    driver.create(definition(peer))
    mine = make(driver._session, "mine", peer.pool, disks=1)
    disk = disks_of(driver._session.read([mine], ["config.hardware.device"])[mine]["config.hardware.device"])[0]
    web = vm_of(driver)
    controller = next(
        one.key
        for one in driver._session.read([web], ["config.hardware.device"])[web]["config.hardware.device"]
        if isinstance(one, vim.vm.device.VirtualSCSIController)
    )
    disk.key, disk.controllerKey, disk.unitNumber = -1, controller, 9
    change = vim.vm.device.VirtualDeviceSpec(operation="add", device=disk)
    finish(driver, web.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))
    theirs = {name for name in peer.files(driver) if "mine" in name}
    driver.delete(WEB)
    assert driver.find(WEB) is None
    assert {name for name in peer.files(driver) if "mine" in name} == theirs


def test_somebody_elses_copy_of_our_vm_is_theirs(peer: VspherePeer, driver: VsphereDriver):
    driver.create(definition(peer))
    web = vm_of(driver)
    extra = driver._session.read([web], ["config.extraConfig"])[web]["config.extraConfig"]
    make(driver._session, "copy", peer.pool, extraConfig=list(extra))
    assert driver.find(VmRef(name="copy")).managed is False
    assert driver.find(WEB).managed is True


def test_a_vm_that_somebody_has_removed_is_gone(peer: VspherePeer, driver: VsphereDriver):
    driver.create(definition(peer))
    finish(driver, vm_of(driver).Destroy_Task())
    with pytest.raises(VmNotFound):
        driver.power(WEB, PowerAction.ON, 30)
    assert not ensure_absent(driver, WEB, dry_run=False).changed


def test_a_removal_that_vsphere_refuses_leaves_the_vm_whole_and_names_its_files(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    files = peer.files(driver)
    driver.create(definition(peer))
    made, real = peer.files(driver) - files, vim.VirtualMachine.Destroy_Task

    def destroy_one_that_has_been_started(vm):
        finish(driver, vm.PowerOnVM_Task())
        return real(vm)

    with monkeypatch.context() as patch:
        patch.setattr(vim.VirtualMachine, "Destroy_Task", destroy_one_that_has_been_started)
        with pytest.raises(InvalidTransition, match="deleting VM") as failed:
            driver.delete(WEB)
    left = {Path(name.partition("] ")[2]).name for name in failed.value.left}
    assert left == {Path(name).name for name in made}
    assert driver.find(WEB).power is PowerState.ON
    driver.delete(WEB)
    assert peer.files(driver) == files


def test_changes_behind_our_back_are_seen(peer: VspherePeer, driver: VsphereDriver):
    want = definition(peer)
    driver.create(want)
    finish(driver, vm_of(driver).ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=128, annotation="changed")))
    assert {change.path for change in changes(driver.find(WEB).definition, want)} == {"memory_mib", "description"}
    ensure_present(driver, want, dry_run=False)
    assert driver.find(WEB).definition.memory_mib == 64


# --- what there is not enough of, or cannot be done ---


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
def test_a_disk_larger_than_its_datastore_is_refused(peer: VspherePeer, driver: VsphereDriver, image_format: str):
    disk = {"name": "root", "size_mib": 64 * 1024 * 1024, "format": image_format, "pool": peer.pool}
    with pytest.raises(InsufficientResources, match=f"datastore /DC0/datastore/{peer.pool} has"):
        driver.create(definition(peer, disks=[disk]))
    assert driver.find(WEB) is None


@pytest.mark.parametrize(
    ("nic", "said"),
    [
        ({"bridge": "br0"}, "networks, no bridges"),
        ({"network": "VM Network", "vlan": 7}, "the port group has it"),
        ({"network": "VM Network", "model": "rtl8139"}, "vSphere has: virtio, e1000"),
    ],
)
def test_cards_that_vsphere_does_not_have_are_refused(peer: VspherePeer, driver: VsphereDriver, nic, said: str):
    with pytest.raises(Unsupported, match=said) as refused:
        driver.create(definition(peer, nics=[nic]))
    assert not refused.value.begun


def test_an_image_is_found_where_it_is(peer: VspherePeer, driver: VsphereDriver):
    made = make(driver._session, "files", peer.pool)
    path = driver._session.read([made], ["config.files.vmPathName"])[made]["config.files.vmPathName"]
    for said in (path, path.partition("] ")[2]):
        want = definition(peer, cdrom=said, boot_order=["cdrom", "disk", "network"])
        driver.create(want)
        assert changes(driver.find(WEB).definition, want) == ()
        driver.delete(WEB)
    with pytest.raises(NotFound, match=r"files/no\.iso"):
        driver.check(definition(peer, cdrom=f"[{peer.pool}] files/no.iso"))


def test_cloud_init_finds_its_data_in_the_vm(peer: VspherePeer, driver: VsphereDriver):
    driver.create(definition(peer, cloud_init={"user_data": "#!/bin/sh\n"}))
    extra = driver._vms.find(WEB)[1].extra
    assert extra["guestinfo.userdata"] == "IyEvYmluL3NoCg=="
    assert "guestinfo.metadata" in extra


# --- power ---


def test_a_guest_without_tools_is_not_shut_down_and_the_error_says_so(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    driver.create(definition(peer))
    driver.power(WEB, PowerAction.ON, 30)

    def no_tools(_vm):
        raise vim.fault.ToolsUnavailable(msg="no tools")

    monkeypatch.setattr(vim.VirtualMachine, "ShutdownGuest", no_tools)
    with pytest.raises(DriverError, match="no VMware Tools run in the guest") as late:
        driver.power(WEB, PowerAction.SHUTDOWN, 2)
    assert late.value.code == "driver.timed_out"
    assert driver.find(WEB).power is PowerState.ON
