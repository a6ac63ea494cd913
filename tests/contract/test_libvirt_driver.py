# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the libvirt driver promises beyond the contract; ``mock`` is libvirt's own, ``qemu`` runs real guests."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import pycdlib
import pytest
from libvirt_peers import BRIDGE, POOLS, RealOne
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Capability, Connection, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Conflict,
    DriverError,
    InsufficientResources,
    InvalidTemplate,
    InvalidTransition,
    NotFound,
    TimedOut,
    Unreachable,
    Unsupported,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver, hotplug, planning
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.bridges import refuse_missing_bridges
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.devices import cdrom_node
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.storage import Storage
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_power, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate
from tests.waiting import wait_until

WEB = VmRef(name="web")
SOCKET = "/run/libvirt/libvirt-sock"


def wanted(driver: LibvirtDriver, **fields):
    return definition(driver.peer, **fields)


def pool_of(driver: LibvirtDriver) -> libvirt.virStoragePool:
    return driver._connection.storagePoolLookupByName(driver.peer.pool)


def directory_of(driver: LibvirtDriver) -> Path:
    return POOLS / driver.peer.pool


def domain_of(driver: LibvirtDriver) -> libvirt.virDomain:
    return driver._connection.lookupByName("web")


# --- templates, pools and space ------------------------------------------------------------------------------------


def add_volume(driver: LibvirtDriver, name: str, image_format: str = "qcow2", more: str = "") -> str:
    pool_of(driver).createXML(
        f"<volume><name>{name}</name><capacity unit='MiB'>8</capacity><allocation unit='MiB'>1</allocation>"
        f"<target><format type='{image_format}'/></target>{more}</volume>"
    )
    return name


def refused(driver: LibvirtDriver, error: type[Exception], match: str, **disk: object) -> None:
    want = wanted(driver, disks=[{"name": "root", "pool": driver.peer.pool, **disk}])
    for attempt in (driver.check, driver.create):
        with pytest.raises(error, match=match):
            attempt(want)
    assert driver.residue(WEB) == ()


def test_a_template_that_reads_another_file_is_refused(mock: LibvirtDriver):
    backing = "<backingStore><path>/etc/shadow</path><format type='raw'/></backingStore>"
    name = add_volume(mock, "evil.qcow2", more=backing)
    refused(mock, InvalidTemplate, "evil.qcow2.*flatten", template=name)
    refused(mock, InvalidTemplate, "evil.qcow2.*flatten", template="/default/evil.qcow2", clone="full")


def test_a_template_of_another_format_than_was_said_is_refused(mock: LibvirtDriver):
    name = add_volume(mock, "plain.img", "raw")
    refused(mock, InvalidTemplate, "is raw, not qcow2", template=name)
    mock.create(wanted(mock, disks=[{"name": "root", "template": name, "template_format": "raw"}]))


def test_the_disk_of_a_vm_is_no_template_and_its_secrets_are_no_disc(mock: LibvirtDriver):
    other = definition(mock.peer, "other")
    mock.create(other)
    add_volume(mock, f"{other.identity}-cloud-init.iso", "raw")
    refused(mock, InvalidTemplate, "capturing", template=f"{other.identity}-root.qcow2")
    refused(mock, InvalidTemplate, "capturing", template=f"/default/{other.identity}-root.qcow2", clone="full")
    with pytest.raises(InvalidTemplate, match=r"cloud-init\.iso"):
        mock.check(wanted(mock, cdrom=f"{other.identity}-cloud-init.iso"))


def test_a_disk_smaller_than_its_template_is_refused(mock: LibvirtDriver):
    refused(mock, InvalidTemplate, "8 MiB", template="template.qcow2", size_mib=7)


def test_a_disk_larger_than_its_pool_is_refused(mock: LibvirtDriver):
    refused(mock, InsufficientResources, "102400 MiB", size_mib=200 * 1024)


def test_a_copy_that_does_not_fit_any_more_is_refused(mock: LibvirtDriver):
    pool_of(mock).createXML(
        "<volume><name>ballast</name><capacity unit='GiB'>100</capacity><allocation unit='B'>107373133824</allocation>"
        "<target><format type='raw'/></target></volume>"
    )
    refused(mock, InsufficientResources, "free", template="template.qcow2", clone="full")


def test_an_inactive_pool_is_not_started_and_named(mock: LibvirtDriver):
    mock._connection.storagePoolDefineXML(
        "<pool type='dir'><name>cold</name><target><path>/cold</path></target></pool>"
    )
    refused(mock, NotFound, "'cold' is defined but inactive", size_mib=1, pool="cold")


def test_a_missing_file_is_not_looked_for_on_this_host_when_the_hypervisor_is_elsewhere(mock: LibvirtDriver, tmp_path):
    (tmp_path / "here.qcow2").write_bytes(b"")
    refused(mock, NotFound, "here.qcow2", template=str(tmp_path / "here.qcow2"))


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("debian-13.qcow2", "in pool 'default'; there are: debian-12.qcow2, a.iso, template.qcow2"),
        (
            "/default/x",
            "in any active storage pool; there are: /default/a.iso, /default/debian-12.qcow2, /default/templ",
        ),
    ],
)
def test_a_missing_template_is_named_with_those_that_there_are(mock: LibvirtDriver, asked: str, there: str):
    for name in ("a.iso", "debian-12.qcow2", "11111111-2222-4333-8444-555555555555-root.qcow2"):
        add_volume(mock, name)
    refused(mock, NotFound, f"no image '{asked}' {there}", template=asked)


def test_of_many_images_the_likeliest_are_named(mock: LibvirtDriver):
    for number in range(12):
        add_volume(mock, f"{number}.iso")
    with pytest.raises(
        NotFound, match=r"no image 'template' in pool 'default'; there are: template.qcow2, .* and 3 more"
    ):
        mock.check(wanted(mock, cdrom="template"))


@pytest.mark.parametrize("cdrom", ["install.iso", "/default/install.iso"])
def test_a_cdrom_is_found_by_name_and_by_path(mock: LibvirtDriver, cdrom: str):
    add_volume(mock, "install.iso", "raw")
    want = wanted(mock, cdrom=cdrom, boot_order=["cdrom", "disk"])
    mock.create(want)
    assert changes(mock.find(WEB).definition, want) == ()


def test_a_tag_on_a_network_that_takes_none_is_refused(mock: LibvirtDriver):
    for attempt in (mock.check, mock.create):
        with pytest.raises(Unsupported, match=r"nics\[front\]\.vlan: network 'default' takes no VLAN tags"):
            attempt(wanted(mock, nics=[{"name": "front", "network": "default", "vlan": 7}]))


# --- identity, drift and what others change ------------------------------------------------------------------------


def on_bridges(*bridges: str) -> dict[str, object]:
    return {"nics": [{"name": bridge.replace(".", "-"), "bridge": bridge} for bridge in bridges]}


class Device:
    def XMLDesc(self, _flags: int) -> str:
        return "<device><capability type='net'><interface>br7</interface></capability></device>"


class OnDevices(RealOne):
    """A hypervisor that tells a device of its host's; the mock has none."""

    def listAllDevices(self, _flags: int) -> list[Device]:
        return [Device()]


def test_a_bridge_that_the_host_has_not_is_named_with_those_that_it_has(mock: LibvirtDriver):
    mock._connection = OnDevices(mock._connection)
    known = wanted(mock, **on_bridges("br0"))
    missing = wanted(mock, **on_bridges("br0", "br8"))
    says = r"nics\[br8\]\.bridge: the host has no bridge 'br8'; bridges: br0$"
    for dry_run in (True, False):
        with pytest.raises(NotFound, match=says) as refused:
            ensure_present(mock, missing, dry_run=dry_run)
        assert refused.value.begun is False
    ensure_present(mock, known, dry_run=False)
    with pytest.raises(NotFound, match=says):
        ensure_present(mock, missing, dry_run=False)
    assert changes(mock.find(WEB).definition, known) == ()


def test_without_a_bridge_what_else_could_be_one_is_listed(tmp_path: Path):
    node = "<node><interface type='ethernet' name='eth3'/><interface type='ethernet' name='vnet0'/></node>"
    (tmp_path / "node.xml").write_text(node)
    connection = OnDevices(libvirt.open(f"test://{tmp_path}/node.xml"))
    want = VmDefinition.from_dict({"name": "web", "memory_mib": 64, **on_bridges("br0")})
    with pytest.raises(NotFound, match=r"no bridges; interfaces: eth3$"):
        refuse_missing_bridges(want, connection)


class CannotTell(RealOne):
    """A hypervisor that does not say which interfaces its host has."""

    def __init__(self, real: libvirt.virConnect, code: int):
        super().__init__(real)
        self._code, self.asked = code, []

    def interfaceLookupByName(self, name: str) -> None:
        self.asked.append(name)
        raise refusal(self._code)


def refusal(code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("no")
    error.err = (code, 0, "no")
    return error


def test_a_bridge_that_nobody_configured_is_known_as_a_device(mock: LibvirtDriver):
    connection = CannotTell(mock._connection, libvirt.VIR_ERR_NO_INTERFACE)
    connection.listAllDevices = lambda _flags: [Device()]
    refuse_missing_bridges(wanted(mock, **on_bridges("br7")), connection)
    with pytest.raises(NotFound, match="no bridge 'br8'"):
        refuse_missing_bridges(wanted(mock, **on_bridges("br8")), connection)


def test_a_host_that_cannot_tell_its_devices_is_believed_to_have_the_bridge(mock: LibvirtDriver):
    def denied(_flags: int) -> list[Device]:
        raise refusal(libvirt.VIR_ERR_ACCESS_DENIED)

    connection = CannotTell(mock._connection, libvirt.VIR_ERR_NO_INTERFACE)
    for listed in (denied, lambda _flags: []):
        connection.listAllDevices = listed
        refuse_missing_bridges(wanted(mock, **on_bridges("br8")), connection)


@pytest.mark.parametrize("code", [libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_ACCESS_DENIED])
def test_a_host_that_cannot_tell_its_bridges_is_believed_to_have_them(mock: LibvirtDriver, code: int):
    connection = CannotTell(mock._connection, code)
    planning.refuse_missing_networks(wanted(mock, **on_bridges("br7", "br8")), connection)
    assert connection.asked == ["br7", "br8"]
    planning.refuse_missing_networks(wanted(mock), connection)
    assert connection.asked == ["br7", "br8"], "without a bridge nobody is asked"


@pytest.mark.qemu
@pytest.mark.slow
def test_a_bridge_that_was_made_a_moment_ago_is_known_and_one_that_is_not_there_is_not(qemu: LibvirtDriver):
    bridge = qemu.peer.network
    qemu.create(wanted(qemu, **on_bridges(bridge)))
    qemu.power(WEB, PowerAction.ON, 60)
    assert qemu.find(WEB).definition.nics[0].bridge == bridge
    with pytest.raises(NotFound, match=f"no bridge 'millwright-none'; bridges: .*{bridge}"):
        qemu.check(wanted(qemu, name="other", **on_bridges("millwright-none")))


def test_the_same_create_twice_is_one_vm(mock: LibvirtDriver):
    want = wanted(mock)
    mock.create(want)
    files = mock.peer.files(mock)
    mock.create(want)
    assert mock.peer.files(mock) == files


def test_another_definition_of_the_same_identity_is_a_conflict(mock: LibvirtDriver):
    mock.create(wanted(mock))
    with pytest.raises(Conflict, match="identity"):
        mock.create(wanted(mock, memory_mib=128))


def test_what_somebody_changed_by_hand_is_put_right_and_the_rest_kept(mock: LibvirtDriver):
    want = wanted(mock)
    mock.create(want)
    xml = domain_of(mock).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    xml = xml.replace("<memory unit='KiB'>65536", "<memory unit='KiB'>131072").replace(
        "</devices>", "<watchdog model='i6300esb' action='reset'/></devices>"
    )
    mock._connection.defineXML(xml)
    done = ensure_present(mock, want, dry_run=False)
    assert [(change.path, change.before, change.after) for change in done.changes] == [("memory_mib", 128, 64)]
    assert "i6300esb" in domain_of(mock).XMLDesc(0)


def test_a_device_of_somebody_elses_never_has_a_name_of_ours(mock: LibvirtDriver):
    def with_disks(*found: str):
        return wanted(mock, disks=[{"name": name, "size_mib": 8} for name in found], nics=[{"network": "default"}] * 2)

    mock.create(with_disks("disk0", "disk1", "disk2"))
    gone = Allowed(disk_removal=True)
    ensure_present(mock, with_disks("disk1", "disk2"), dry_run=False, allowed=gone)
    add_volume(mock, "theirs.qcow2")
    root = ElementTree.fromstring(domain_of(mock).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    devices = root.find("devices")
    devices.remove(next(node for node in devices if node.find("alias[@name='ua-nic-nic0']") is not None))
    disk = (
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/default/theirs.qcow2'/>"
        "<target dev='vdz' bus='virtio'/></disk>"
    )
    card = (
        "<interface type='network'><mac address='52:54:00:00:00:0a'/><source network='default'/>"
        "<model type='virtio'/></interface>"
    )
    devices.extend([ElementTree.fromstring(disk), ElementTree.fromstring(card)])
    mock._connection.defineXML(ElementTree.tostring(root, encoding="unicode"))
    seen = mock.find(WEB).definition
    assert [disk.name for disk in seen.disks] == ["disk1", "disk2", "foreign-vdz"]
    assert [nic.name for nic in seen.nics] == ["nic1", "foreign-52540000000a"]
    # Neither is theirs removed for ours, nor is it taken for ours that is missing.
    done = ensure_present(mock, with_disks("disk1", "disk3"), dry_run=False, allowed=gone)
    paths = ["disks[disk2]", "disks[disk3]", "disks[foreign-vdz]", "nics[foreign-52540000000a]", "nics[nic0]"]
    assert [change.path for change in done.changes] == paths
    xml, files = domain_of(mock).XMLDesc(0), mock.peer.files(mock)
    assert ("theirs.qcow2" in xml, "theirs.qcow2" in files, "-disk2.qcow2" in xml) == (False, True, False)
    assert {file.removeprefix(f"{seen.identity}-") for file in files if "disk" in file} == {
        "disk1.qcow2",
        "disk3.qcow2",
    }


def test_a_vm_that_vanishes_while_it_is_listed_is_not_listed(mock: LibvirtDriver):
    mock.create(wanted(mock))
    domain = domain_of(mock)
    domain.undefine()
    assert mock._observed(domain) is None


class VanishingDomain(RealOne):
    """Somebody else undefines it when it is looked at again."""

    def isActive(self) -> int:
        self._real.undefine()
        return self._real.isActive()


def test_a_vm_that_somebody_removes_while_it_is_deleted_is_deleted_with_its_disks(mock: LibvirtDriver, monkeypatch):
    files = mock.peer.files(mock)
    mock.create(wanted(mock))
    monkeypatch.setattr(mock, "_domain", lambda _ref: VanishingDomain(domain_of(mock)))
    mock.delete(WEB)
    assert mock.peer.files(mock) == files


def test_after_the_connection_is_closed_the_hypervisor_is_unreachable(mock: LibvirtDriver):
    mock.close()
    with pytest.raises(Unreachable, match=r"listing VMs at test:///.* failed"):
        mock.list_vms()


def test_a_sleeping_guest_counts_as_paused(mock: LibvirtDriver):
    mock.create(wanted(mock))
    mock.power(WEB, PowerAction.ON, 10)
    domain_of(mock).suspend()
    assert mock.find(WEB).power is PowerState.PAUSED


@pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON])
def test_a_vm_whose_pool_is_stopped_is_not_deleted_and_the_pool_is_named(mock: LibvirtDriver, power: PowerState):
    mock._connection.storagePoolDefineXML(
        "<pool type='dir'><name>cold</name><target><path>/cold</path></target></pool>"
    ).create()
    root, extra = ({"name": name, "size_mib": 4, "pool": pool} for name, pool in (("root", "default"), ("x", "cold")))
    mock.create(wanted(mock, disks=[root, extra]))
    if power is PowerState.ON:
        mock.power(WEB, PowerAction.ON, 10)
    files, cold = mock.peer.files(mock), mock._connection.storagePoolLookupByName("cold")
    cold.destroy()
    for attempt in (
        lambda: ensure_absent(mock, WEB, dry_run=True),
        lambda: ensure_absent(mock, WEB, dry_run=False),
        lambda: mock.delete(WEB),
    ):
        with pytest.raises(NotFound, match=r"/cold/.*-x\.qcow2 .*'cold' is inactive; start it") as refused:
            attempt()
        assert refused.value.begun is False
    assert (mock.find(WEB).power, mock.peer.files(mock)) == (power, files)


def test_a_vm_whose_pool_is_no_more_is_not_deleted_and_the_directory_is_named(mock: LibvirtDriver):
    mock.create(wanted(mock))
    pool_of(mock).destroy()
    pool_of(mock).undefine()
    with pytest.raises(NotFound, match="define and start a pool for /default"):
        mock.delete(WEB)
    assert mock.find(WEB) is not None


def test_a_vm_whose_disk_somebody_removed_is_deleted(mock: LibvirtDriver):
    want = wanted(mock)
    mock.create(want)
    pool_of(mock).storageVolLookupByName(f"{want.identity}-root.qcow2").delete()
    mock.delete(WEB)
    assert mock.find(WEB) is None


def test_what_a_killed_change_left_is_replaced_by_the_next(mock: LibvirtDriver):
    want = wanted(mock)
    mock.create(want)
    add_volume(mock, f"{want.identity}-data.qcow2")
    files = mock.peer.files(mock)
    more = wanted(mock, disks=[*want.to_dict()["disks"], {"name": "data", "size_mib": 4}])
    assert [change.path for change in ensure_present(mock, more, dry_run=False).changes] == ["disks[data]"]
    assert mock.peer.files(mock) == files
    assert changes(mock.find(WEB).definition, more) == ()


def test_all_vms_are_told_as_one_is(mock: LibvirtDriver):
    mock.create(wanted(mock, autostart=True))
    mock.create(definition(mock.peer, "off"))
    mock.power(WEB, PowerAction.ON, 10)
    told = {vm.name: vm for vm in mock.list_vms()}
    assert told == {name: mock.find(VmRef(name=name)) for name in ("off", "web")}
    assert (told["web"].power, told["web"].definition.autostart) == (PowerState.ON, True)
    assert (told["off"].power, told["off"].definition.autostart) == (PowerState.OFF, False)


# --- real guests ------------------------------------------------------------------------------------------------------


@pytest.mark.qemu
@pytest.mark.slow
def test_everything_that_a_definition_can_say_starts(qemu: LibvirtDriver):
    pool = qemu.peer.pool
    add_volume(qemu, "install.iso", "raw")
    want = wanted(
        qemu,
        cpu={"count": 4, "cores_per_socket": 2},
        disks=[
            {"name": "root", "template": "template.qcow2", "size_mib": 16, "pool": pool},
            {
                "name": "copy",
                "template": "template.qcow2",
                "size_mib": 12,
                "clone": "full",
                "bus": "scsi",
                "pool": pool,
            },
            {
                "name": "flat",
                "template": "template.qcow2",
                "clone": "full",
                "format": "raw",
                "bus": "sata",
                "pool": pool,
            },
        ],
        nics=[{"network": qemu.peer.network, "model": model} for model in ("virtio", "e1000", "rtl8139")],
        boot_order=["cdrom", "network", "disk"],
        cdrom="install.iso",
        cloud_init={"user_data": "#cloud-config\n"},
        console={"graphics": "vnc", "serial_log": True},
    )
    qemu.create(want)
    assert changes(qemu.find(WEB).definition, want) == ()
    qemu.power(WEB, PowerAction.ON, 60)
    found = qemu.find(WEB)
    assert (found.power, changes(found.definition, want), found.live) == (PowerState.ON, (), ())
    assert Path(found.serial_log).is_file()
    live = domain_of(qemu).XMLDesc(0)
    assert "<listen type='none'/>" in live
    assert "type='tcp'" not in live


@pytest.mark.qemu
@pytest.mark.slow
def test_cloud_inits_data_is_on_the_drive_and_leaves_with_the_vm(qemu: LibvirtDriver):
    text, files = "#cloud-config\n{{ canary }} '\"&<>\n", qemu.peer.files(qemu)
    want = wanted(qemu, cloud_init={"user_data": text})
    qemu.create(want)
    image, read = directory_of(qemu) / f"{want.identity}-cloud-init.iso", io.BytesIO()
    disc = pycdlib.PyCdlib()
    disc.open(str(image))
    disc.get_file_from_iso_fp(read, joliet_path="/user-data")
    disc.close()
    assert read.getvalue().decode() == text
    qemu.delete(WEB)
    assert qemu.peer.files(qemu) == files


@pytest.mark.qemu
@pytest.mark.slow
def test_a_serial_log_leaves_with_its_older_parts(qemu: LibvirtDriver):
    files, want = qemu.peer.files(qemu), wanted(qemu, console={"serial_log": True})
    qemu.create(want)
    (directory_of(qemu) / f"{want.identity}-serial.log.0").write_text("an older part")
    qemu.delete(WEB)
    assert qemu.peer.files(qemu) == files


@pytest.mark.qemu
@pytest.mark.slow
def test_a_serial_log_that_is_wanted_again_goes_on_and_leaves_with_the_vm(qemu: LibvirtDriver):
    files, want = qemu.peer.files(qemu), wanted(qemu, console={"serial_log": True})
    quiet = wanted(qemu)
    qemu.create(want)
    log = Path(qemu.find(WEB).serial_log)
    log.write_text("said before")
    Path(f"{log}.0").write_text("said long ago")
    ensure_present(qemu, quiet, dry_run=False)
    assert qemu.find(WEB).serial_log is None
    ensure_present(qemu, want, dry_run=False)
    assert (qemu.find(WEB).serial_log, log.read_text()) == (str(log), "said before")
    ensure_present(qemu, quiet, dry_run=False)
    qemu.delete(WEB)
    assert qemu.peer.files(qemu) == files


@pytest.mark.qemu
@pytest.mark.slow
def test_a_guest_whose_memory_is_saved_is_paused(qemu: LibvirtDriver):
    before = wanted(qemu, memory_max_mib=128)
    qemu.create(before)
    ensure_power(qemu, WEB, PowerAction.ON, timeout=60, dry_run=False)
    domain_of(qemu).managedSave(0)
    assert [vm.power for vm in (qemu.find(WEB), *qemu.list_vms()) if vm.name == "web"] == [PowerState.PAUSED] * 2
    # Its memory knows the machine and the disks as they were.
    disk = {**before.to_dict()["disks"][0], "size_mib": 16}
    for allowed in (Allowed(), Allowed(power_cycle=True)):
        with pytest.raises(InvalidTransition, match="is paused"):
            ensure_present(qemu, wanted(qemu, memory_max_mib=128, disks=[disk]), dry_run=False, allowed=allowed)
    with pytest.raises(InvalidTransition, match="memory saved"):
        qemu.create_snapshot(WEB, WantedSnapshot(name="before"))
    with pytest.raises(InvalidTransition, match="is paused"):
        qemu.capture(WEB, WantedTemplate(name="golden"))
    assert ensure_power(qemu, WEB, PowerAction.ON, timeout=60, dry_run=False).changed
    assert (domain_of(qemu).hasManagedSaveImage(0), changes(qemu.find(WEB).definition, before)) == (0, ())
    # One that was paused when it was saved is on in the end, too.
    qemu.power(WEB, PowerAction.PAUSE, 60)
    domain_of(qemu).managedSave(0)
    ensure_power(qemu, WEB, PowerAction.RESUME, timeout=60, dry_run=False)
    domain_of(qemu).managedSave(0)
    assert ensure_power(qemu, WEB, PowerAction.OFF, timeout=60, dry_run=False).changed
    assert (domain_of(qemu).hasManagedSaveImage(0), qemu.find(WEB).power) == (0, PowerState.OFF)
    qemu.create_snapshot(WEB, WantedSnapshot(name="before"))
    qemu.power(WEB, PowerAction.ON, 60)
    domain_of(qemu).managedSave(0)
    qemu.revert_snapshot(WEB, "before")
    assert (domain_of(qemu).hasManagedSaveImage(0), qemu.find(WEB).power) == (0, PowerState.OFF)


@pytest.mark.qemu
@pytest.mark.slow
def test_a_saved_guest_with_snapshots_is_deleted(qemu: LibvirtDriver):
    files = qemu.peer.files(qemu)
    qemu.create(wanted(qemu))
    domain_of(qemu).snapshotCreateXML("<domainsnapshot><name>one</name></domainsnapshot>")
    qemu.power(WEB, PowerAction.ON, 60)
    domain_of(qemu).managedSave(0)
    assert qemu.find(WEB).power is PowerState.PAUSED
    qemu.delete(WEB)
    assert (qemu.find(WEB), qemu.peer.files(qemu)) == (None, files)


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of this host that is no pool."""
    directory = POOLS / tmp_path_factory.mktemp("outside").name
    directory.mkdir(mode=0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.qemu
@pytest.mark.slow
def test_a_template_outside_of_all_pools_can_be_linked_but_not_copied(qemu: LibvirtDriver, outside: Path):
    template = outside / "t.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(template), "8M"], check=True)
    refused(qemu, NotFound, "clone: linked", template=str(template), clone="full")
    want = wanted(qemu, disks=[{"name": "root", "template": str(template), "pool": qemu.peer.pool}])
    qemu.create(want)
    assert qemu.find(WEB).definition.disks[0].size_mib == 8
    qemu.delete(WEB)
    assert template.is_file()


@pytest.mark.qemu
@pytest.mark.slow
def test_any_other_file_of_the_host_is_neither_a_template_nor_a_cdrom(qemu: LibvirtDriver, outside: Path):
    secret = outside / "shadow"
    secret.write_text("root:canary")
    refused(qemu, InvalidTemplate, "no active storage pool", template=str(secret), template_format="raw")
    refused(qemu, InvalidTemplate, "is raw, not qcow2", template=str(secret))
    with pytest.raises(InvalidTemplate, match="no image of a disc"):
        qemu.create(wanted(qemu, cdrom=str(secret)))
    assert qemu.residue(WEB) == ()


@pytest.mark.qemu
@pytest.mark.slow
def test_an_iso_image_outside_of_all_pools_is_a_cdrom(qemu: LibvirtDriver, outside: Path):
    iso = outside / "install.iso"
    iso.write_bytes(bytes(16 * 2048) + b"\1CD001\1" + bytes(4096))
    want = wanted(qemu, cdrom=str(iso), boot_order=["cdrom", "disk"])
    qemu.create(want)
    assert changes(qemu.find(WEB).definition, want) == ()


def read_by_libvirt_alone(driver: LibvirtDriver) -> None:
    """The files are another host's, or root's."""
    driver._storage = Storage(driver._connection, local=False)


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.parametrize("trick", ["backing", "data_file"])
@pytest.mark.parametrize("where", ["in the pool", "outside", "elsewhere"])
def test_a_template_that_leaks_a_file_of_the_host_is_refused(qemu: LibvirtDriver, outside: Path, trick, where):
    if where == "elsewhere":
        read_by_libvirt_alone(qemu)
    directory = outside if where == "outside" else directory_of(qemu)
    (directory / "secret").write_bytes(bytes(1024 * 1024))
    options = {"backing": ["-F", "raw", "-b", "secret"], "data_file": ["-o", "data_file=secret"]}[trick]
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, "evil.qcow2", "1M"]
    subprocess.run(command, check=True, cwd=directory)
    refused(qemu, InvalidTemplate, "another file", template=str(directory / "evil.qcow2"))


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.parametrize("magic", [b"QFI\xfb\0\0\0\3", b"KDMV", b"# Disk DescriptorFile"])
def test_a_raw_template_that_looks_like_another_format_is_refused(qemu: LibvirtDriver, magic: bytes):
    template = directory_of(qemu) / "innocent.raw"
    template.write_bytes(magic.ljust(1024 * 1024, b"\0"))
    disk = {"template": "innocent.raw", "template_format": "raw", "clone": "full"}
    refused(qemu, InvalidTemplate, "not raw as was said", **disk)
    read_by_libvirt_alone(qemu)
    refused(qemu, InvalidTemplate, "not raw as was said", **disk)


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 1, 1024 * 1024])
def test_an_image_that_libvirt_alone_can_read_is_a_template(qemu: LibvirtDriver, size: int):
    read_by_libvirt_alone(qemu)
    (directory_of(qemu) / "plain.raw").write_bytes(bytes(size))
    disks = [
        {"name": "root", "template": "template.qcow2", "pool": qemu.peer.pool},
        {"name": "data", "template": "plain.raw", "template_format": "raw", "pool": qemu.peer.pool, "size_mib": 2},
    ]
    qemu.create(wanted(qemu, disks=disks))


@pytest.mark.qemu
@pytest.mark.slow
def test_a_file_put_into_the_pool_is_found_without_a_refresh_by_hand(qemu: LibvirtDriver):
    shutil.copy(directory_of(qemu) / "template.qcow2", directory_of(qemu) / "late.qcow2")
    qemu.create(wanted(qemu, disks=[{"name": "root", "template": "late.qcow2", "pool": qemu.peer.pool}]))


@pytest.mark.qemu
@pytest.mark.slow
def test_a_uefi_guest_starts_and_leaves_with_its_variables(qemu: LibvirtDriver):
    if Capability.UEFI not in qemu.capabilities:
        pytest.skip("no UEFI firmware is installed")
    want, files = wanted(qemu, firmware="uefi", memory_mib=128), qemu.peer.files(qemu)
    qemu.create(want)
    qemu.power(WEB, PowerAction.ON, 60)
    assert changes(qemu.find(WEB).definition, want) == ()
    assert "type='pflash'" in domain_of(qemu).XMLDesc(0)
    assert nvram_of(qemu).is_file()
    qemu.power(WEB, PowerAction.OFF, 60)
    bigger = wanted(qemu, firmware="uefi", memory_mib=192)
    assert ensure_present(qemu, bigger, dry_run=False).changed
    qemu.delete(WEB)
    assert (qemu.find(WEB), qemu.peer.files(qemu)) == (None, files)


def nvram_of(driver: LibvirtDriver) -> Path:
    return directory_of(driver) / f"{definition(driver.peer).identity}-nvram.fd"


@pytest.mark.qemu
@pytest.mark.slow
def test_a_uefi_guest_keeps_its_variables_when_it_is_renamed(qemu: LibvirtDriver):
    if Capability.UEFI not in qemu.capabilities:
        pytest.skip("no UEFI firmware is installed")
    want, files = wanted(qemu, firmware="uefi", memory_mib=128), qemu.peer.files(qemu)
    qemu.create(want)
    qemu.power(WEB, PowerAction.ON, 60)
    qemu.power(WEB, PowerAction.OFF, 60)
    variables = nvram_of(qemu).read_bytes()[:-6] + b"canary"
    nvram_of(qemu).write_bytes(variables)
    ensure_present(qemu, wanted(qemu, name="shop", uuid=want.identity, firmware="uefi", memory_mib=128), dry_run=False)
    shop = VmRef(name="shop")
    qemu.power(shop, PowerAction.ON, 60)
    assert nvram_of(qemu).read_bytes().endswith(b"canary")
    qemu.delete(shop)
    assert (qemu.find(shop), qemu.residue(shop), qemu.peer.files(qemu)) == (None, (), files)


@pytest.mark.qemu
@pytest.mark.slow
def test_a_uefi_guest_whose_variables_have_its_name_is_not_renamed(qemu: LibvirtDriver):
    if Capability.UEFI not in qemu.capabilities:
        pytest.skip("no UEFI firmware is installed")
    want = wanted(qemu, firmware="uefi", memory_mib=128)
    qemu.create(want)
    qemu._connection.defineXML(re.sub("<nvram>.*</nvram>", "", domain_of(qemu).XMLDesc(0)))
    new = wanted(qemu, name="shop", uuid=want.identity, firmware="uefi", memory_mib=128)
    for dry_run in (True, False):
        with pytest.raises(Conflict, match="os/nvram"):
            ensure_present(qemu, new, dry_run=dry_run)
    assert ensure_present(qemu, wanted(qemu, firmware="uefi", memory_mib=192), dry_run=False).changed


@pytest.mark.qemu
@pytest.mark.slow
def test_more_processors_than_a_guest_can_have_are_refused(qemu: LibvirtDriver):
    with pytest.raises(Unsupported, match=r"cpu.count 512"):
        qemu.check(wanted(qemu, cpu={"count": 512}))


class RefusesToRename(RealOne):
    """A connection whose hypervisor finds every new name wrong."""

    def lookupByUUIDString(self, uuid: str) -> libvirt.virDomain:
        return DomainThatKeepsItsName(self._real.lookupByUUIDString(uuid))


class DomainThatKeepsItsName(RealOne):
    def rename(self, name: str, flags: int) -> int:
        return self._real.rename(f"{name}/", flags)


@pytest.mark.qemu
@pytest.mark.slow
def test_volumes_that_another_host_has_removed_are_in_nobodys_way(qemu: LibvirtDriver):
    want = wanted(qemu)
    qemu.create(want)
    domain_of(qemu).undefine()
    with pytest.raises(Conflict, match="shares the pool"):
        qemu.check(want)
    (directory_of(qemu) / f"{want.identity}-root.qcow2").unlink()
    qemu.create(want)


@pytest.mark.qemu
@pytest.mark.slow
def test_a_rename_that_fails_leaves_everything_as_it_was(qemu: LibvirtDriver):
    ref = VmRef(name="web", uuid="0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10")
    qemu.create(wanted(qemu, uuid=ref.uuid))
    before = qemu.find(ref)
    want = definition(qemu.peer, "shop", uuid=ref.uuid, memory_mib=128)
    with (
        qemu.peer._instead(qemu, RefusesToRename(qemu._connection)),
        pytest.raises(DriverError, match="changing VM 'web'"),
    ):
        qemu.update(ref, want, changes(before.definition, want))
    assert qemu.find(ref) == before


@pytest.mark.qemu
@pytest.mark.slow
def test_a_name_too_long_for_a_file_or_a_socket_is_refused(qemu: LibvirtDriver):
    for name, size in (("x" * 20 + "\N{OX}" * 60, 260), ("\N{OX}" * 20, 80)):
        with pytest.raises(Unsupported, match=f"{size} bytes"):
            qemu.check(definition(qemu.peer, name))
    want = definition(qemu.peer, "\N{SNOWMAN}" * 19 + "x" + "\N{OX}" * 45)
    qemu.create(want)
    qemu.power(VmRef.of(want), PowerAction.ON, 60)


def add_disc(driver: LibvirtDriver, name: str) -> str:
    (directory_of(driver) / name).write_bytes(bytes(16 * 2048) + b"\1CD001\1" + bytes(4096))
    return name


@pytest.mark.qemu
@pytest.mark.slow
def test_the_disc_in_the_drive_of_a_guest_that_runs_is_changed(qemu: LibvirtDriver):
    first, second = (add_disc(qemu, name) for name in ("first.iso", "second.iso"))
    qemu.create(wanted(qemu, cdrom=first))
    qemu.power(WEB, PowerAction.ON, 60)
    done = ensure_present(qemu, wanted(qemu, cdrom=second), dry_run=False)
    assert done.hot == ("cdrom",)
    assert "/second.iso'" in domain_of(qemu).XMLDesc(0)
    assert "/first.iso'" not in domain_of(qemu).XMLDesc(0)
    assert not ensure_present(qemu, wanted(qemu, cdrom=second), dry_run=False).changed


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.parametrize("runs", [False, True])
def test_the_disc_is_taken_out_of_the_drive_and_one_is_put_in_again(qemu: LibvirtDriver, runs: bool):
    disc, order = add_disc(qemu, "first.iso"), ["cdrom", "disk"]
    full, empty = (wanted(qemu, cdrom=cdrom, boot_order=order) for cdrom in (disc, ""))
    qemu.create(full)
    if runs:
        qemu.power(WEB, PowerAction.ON, 60)
    for want, there in ((empty, False), (full, True), (empty, False)):
        plan = ensure_present(qemu, want, dry_run=True)
        done = ensure_present(qemu, want, dry_run=False)
        assert plan.hot == done.hot == (("cdrom",) if runs else ())
        for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
            xml = domain_of(qemu).XMLDesc(flags)
            assert ("/first.iso'" in xml, "device='cdrom'" in xml) == (there, True)
        assert not ensure_present(qemu, want, dry_run=False).changed
    if not runs:
        qemu.power(WEB, PowerAction.ON, 60)


@pytest.mark.qemu
@pytest.mark.slow
def test_what_a_disk_takes_grows_with_what_is_written(qemu: LibvirtDriver):
    want = wanted(qemu)
    qemu.create(want)
    assert qemu.find(WEB).disk_use == {"root": 1}
    disk = directory_of(qemu) / f"{want.identity}-root.qcow2"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 1 0 4M", disk], check=True, capture_output=True)
    assert 4 < qemu.find(WEB).disk_use["root"] < 8
    listed = {vm.uuid: vm for vm in qemu.list_vms()}
    assert listed[want.identity].disk_use == qemu.find(WEB).disk_use


@pytest.mark.qemu
@pytest.mark.slow
def test_a_card_of_a_guest_that_runs_is_moved_to_another_network(qemu: LibvirtDriver):
    name = f"{BRIDGE}other"
    qemu._connection.networkCreateXML(f"<network><name>{name}</name><bridge name='{name}'/></network>")
    qemu.create(wanted(qemu))
    qemu.power(WEB, PowerAction.ON, 60)
    mac = qemu.find(WEB).definition.nics[0].mac
    want = wanted(qemu, nics=[{"name": "front", "network": name}])
    assert ensure_present(qemu, want, dry_run=False).hot == ("nics[front].network",)
    assert f"<source network='{name}'" in domain_of(qemu).XMLDesc(0)
    assert (qemu.find(WEB).definition.nics[0].mac, qemu.find(WEB).live) == (mac, ())
    assert not ensure_present(qemu, want, dry_run=False).changed


@pytest.mark.qemu
@pytest.mark.slow
def test_a_guest_that_runs_otherwise_than_its_vm_is_defined_is_told(qemu: LibvirtDriver):
    bulk = {"name": "bulk", "size_mib": 4, "pool": qemu.peer.pool, "bus": "scsi"}
    disks = [*wanted(qemu).to_dict()["disks"], bulk]
    want = wanted(
        qemu, disks=disks, cpu={"count": 1, "max_count": 2}, memory_max_mib=128, cdrom=add_disc(qemu, "a.iso")
    )
    qemu.create(want)
    qemu.power(WEB, PowerAction.ON, 60)
    # The first is what a guest does itself with a disc and its memory.
    drive = cdrom_node(ElementTree.fromstring(domain_of(qemu).XMLDesc(0)))
    drive.remove(drive.find("source"))
    domain_of(qemu).updateDeviceFlags(ElementTree.tostring(drive, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    domain_of(qemu).setMemoryFlags(96 * 1024, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    assert qemu.find(WEB).live == ()
    domain_of(qemu).setVcpusFlags(2, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    root = ElementTree.fromstring(domain_of(qemu).XMLDesc(0))
    gone = next(node for node in root.iterfind("devices/disk") if node.find("alias[@name='ua-disk-bulk']") is not None)
    xml = ElementTree.tostring(gone, encoding="unicode")
    domain_of(qemu).detachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    wait_until(lambda: "ua-disk-bulk" not in domain_of(qemu).XMLDesc(0), 20, "the guest to let the disk go")
    told = {one.path: (one.before, one.after) for one in qemu.find(WEB).live}
    assert (told.keys(), told["cpu.count"]) == ({"cpu.count", "disks[bulk]"}, (1, 2))
    for dry_run in (True, False):
        done = ensure_present(qemu, want, dry_run=dry_run)
        assert (done.changed, done.mended, done.changes, done.hot) == (True, ("disks[bulk]",), (), ())
        assert [one.path for one in done.after.live] == ["cpu.count"]
    assert not ensure_present(qemu, want, dry_run=False).changed
    cycle = Allowed(power_cycle=True, shutdown_timeout=1)
    for dry_run in (True, False):
        done = ensure_present(qemu, want, dry_run=dry_run, allowed=cycle)
        assert (done.changed, done.mended, done.power_cycled, done.after.live) == (True, ("cpu.count",), True, ())
    assert not ensure_present(qemu, want, dry_run=False, allowed=cycle).changed


@pytest.mark.qemu
@pytest.mark.slow
def test_a_guest_gets_back_what_somebody_changed_or_added_in_one_place_only(qemu: LibvirtDriver):
    lan, other = qemu.peer.network, f"{BRIDGE}other"
    qemu._connection.networkCreateXML(f"<network><name>{other}</name><bridge name='{other}'/></network>")
    more = {"cpu": {"count": 1, "max_count": 3}, "cdrom": add_disc(qemu, "a.iso")}
    qemu.create(wanted(qemu, **more))
    qemu.power(WEB, PowerAction.ON, 60)
    domain = domain_of(qemu)

    def change(old: str, new: str) -> None:
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        assert old in xml
        qemu._connection.defineXML(xml.replace(old, new))

    # The configuration alone: another network, processors, a disc and a card.
    back = f"<source network='{lan}'/><model type='virtio'/><alias name='ua-nic-back'/>"
    domain.attachDeviceFlags(f"<interface type='network'>{back}</interface>", libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    change(f"<source network='{lan}'/>", f"<source network='{other}'/>")
    change("current='1'", "current='2'")
    change("/a.iso", f"/{Path(add_disc(qemu, 'b.iso')).name}")
    want = qemu.find(WEB).definition
    paths = ("cdrom", "cpu.count", "nics[back]", "nics[front].network")
    assert tuple(sorted(one.path for one in qemu.find(WEB).live)) == paths
    done = ensure_present(qemu, want, dry_run=False)
    assert (tuple(sorted(done.mended)), done.after.live, done.power_cycled) == (paths, (), False)
    assert not ensure_present(qemu, want, dry_run=False).changed
    for action in (PowerAction.OFF, PowerAction.ON):
        assert ensure_power(qemu, WEB, action, timeout=60, dry_run=False).after.live == ()
    assert changes(qemu.find(WEB).definition, want) == ()


@pytest.mark.qemu
@pytest.mark.slow
def test_a_card_that_is_another_one_is_not_moved_while_the_guest_runs(qemu: LibvirtDriver):
    other = f"{BRIDGE}other"
    qemu._connection.networkCreateXML(f"<network><name>{other}</name><bridge name='{other}'/></network>")
    want = wanted(qemu)
    qemu.create(want)
    qemu.power(WEB, PowerAction.ON, 60)
    xml = domain_of(qemu).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).replace(qemu.peer.network, other)
    qemu._connection.defineXML(xml.replace("<model type='virtio'/>", "<model type='e1000'/>"))
    done = ensure_present(qemu, replace(want, nics=qemu.find(WEB).definition.nics), dry_run=False)
    paths = {one.path for one in done.after.live}
    assert (done.changed, paths) == (False, {"nics[front].model", "nics[front].network"})


@pytest.mark.qemu
@pytest.mark.slow
def test_a_guest_without_a_drive_gets_one_with_a_power_cycle(qemu: LibvirtDriver):
    qemu.create(wanted(qemu))
    qemu.power(WEB, PowerAction.ON, 60)
    want = wanted(qemu, cdrom=add_disc(qemu, "first.iso"), boot_order=["disk", "cdrom"])
    allowed = Allowed(power_cycle=True, shutdown_timeout=1)
    assert ensure_present(qemu, want, dry_run=False, allowed=allowed).power_cycled
    assert changes(qemu.find(WEB).definition, want) == ()


@pytest.mark.qemu
@pytest.mark.slow
def test_memory_that_no_guest_takes_is_as_before(qemu: LibvirtDriver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hotplug, "BALLOON_PATIENCE", 1)
    before = wanted(qemu, memory_max_mib=128)
    qemu.create(before)
    qemu.power(WEB, PowerAction.ON, 60)
    files = qemu.peer.files(qemu)
    disks = [*before.to_dict()["disks"], {"name": "data", "size_mib": 4, "pool": qemu.peer.pool}]
    with pytest.raises(TimedOut, match="balloon") as failed:
        ensure_present(qemu, wanted(qemu, memory_max_mib=128, memory_mib=96, disks=disks), dry_run=False)
    assert failed.value.begun
    assert changes(qemu.find(WEB).definition, before) == ()
    # The guest was asked for its memory before anything was made.
    assert (failed.value.left, qemu.peer.files(qemu)) == ((), files)


@pytest.mark.qemu
@pytest.mark.slow
def test_a_hot_change_that_fails_keeps_what_the_guest_does_not_let_go_of(qemu: LibvirtDriver, monkeypatch):
    monkeypatch.setattr(hotplug, "DETACH_PATIENCE", 1)
    name = f"{BRIDGE}other"
    qemu._connection.networkCreateXML(f"<network><name>{name}</name><bridge name='{name}'/></network>")
    first, second = (add_disc(qemu, disc) for disc in ("first.iso", "second.iso"))
    scsi = {"name": "bulk", "size_mib": 4, "pool": qemu.peer.pool, "bus": "scsi"}
    before = wanted(qemu, disks=[*wanted(qemu).to_dict()["disks"], scsi], cdrom=first)
    qemu.create(before)
    qemu.power(WEB, PowerAction.ON, 60)
    files = qemu.peer.files(qemu)
    more = [{**scsi, "name": "stays", "bus": "virtio"}, {**scsi, "name": "goes"}]
    want = wanted(
        qemu, disks=[*before.to_dict()["disks"], *more], cdrom=second, description="new",
        nics=[{"name": "front", "network": name}, {"name": "back", "network": name}],
    )  # fmt: skip
    with qemu.peer.failing_update(qemu, want), pytest.raises(DriverError) as failed:
        ensure_present(qemu, want, dry_run=False)
    # No system runs in the guest that could let go of PCI devices.
    volume = f"{want.identity}-stays.qcow2"
    assert failed.value.left == (volume, "network card 'back' in the running guest")
    assert qemu.peer.files(qemu) == files | {volume}
    assert changes(qemu.find(WEB).definition, before) == ()
    live = domain_of(qemu).XMLDesc(0)
    assert ("/first.iso'" in live, "/second.iso'" in live, "-goes.qcow2'" in live) == (True, False, False)
    assert f"<source network='{qemu.peer.network}'" in live
    with pytest.raises(InvalidTransition, match=r"changing disks\[stays\], nics\[back\] needs it powered off"):
        ensure_present(qemu, want, dry_run=False)
    ensure_present(qemu, want, dry_run=False, allowed=Allowed(power_cycle=True, shutdown_timeout=1))
    assert changes(qemu.find(WEB).definition, want) == ()


@pytest.mark.qemu
@pytest.mark.slow
def test_a_disk_that_was_not_made_for_the_vm_is_taken_out_and_stays(qemu: LibvirtDriver):
    qemu.create(wanted(qemu))
    shutil.copy(directory_of(qemu) / "template.qcow2", directory_of(qemu) / "theirs.qcow2")
    pool_of(qemu).refresh(0)
    xml = (
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        f"<source file='{directory_of(qemu)}/theirs.qcow2'/><target dev='vdb' bus='virtio'/></disk>"
    )
    domain_of(qemu).attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    done = ensure_present(qemu, wanted(qemu), dry_run=False, allowed=Allowed(disk_removal=True))
    assert [change.path for change in done.changes] == ["disks[foreign-vdb]"]
    assert (directory_of(qemu) / "theirs.qcow2").is_file()


class Line:
    """A line to libvirtd that can be cut."""

    def __init__(self, path: Path):
        self.path = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._server.accept()
            far = socket.socket(socket.AF_UNIX)
            far.connect(SOCKET)
            self._ends = [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                sink.sendall(part)

    def cut(self) -> None:
        for end in [*self._ends, self._server]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.mark.qemu
def test_a_connection_that_breaks_is_unreachable(tmp_path: Path):
    line = Line(tmp_path / "sock")
    url = f"qemu+unix:///system?socket={line.path}"
    driver = LibvirtDriver.open(Connection(hypervisor_type="libvirt", url=url))
    driver.list_vms()
    line.cut()
    with pytest.raises(Unreachable, match="listing VMs"):
        driver.list_vms()
    driver.close()


class CutWhenDefining(RealOne):
    """The line breaks just before the domain is defined, when its disks are made."""

    def __init__(self, real: libvirt.virConnect, line: Line):
        super().__init__(real)
        self._line = line

    def defineXML(self, xml: str) -> libvirt.virDomain:
        self._line.cut()
        return self._real.defineXML(xml)


@contextlib.contextmanager
def breaking(tmp_path: Path) -> Iterator[LibvirtDriver]:
    """A driver whose connection breaks when it has made disks."""
    line = Line(tmp_path / "sock")
    url = f"qemu+unix:///system?socket={line.path}"
    driver = LibvirtDriver.open(Connection(hypervisor_type="libvirt", url=url))
    driver._connection = CutWhenDefining(driver._connection, line)
    yield driver
    driver.close()


@pytest.mark.qemu
@pytest.mark.slow
def test_what_broke_off_with_the_connection_is_done_by_the_next_try(qemu: LibvirtDriver, tmp_path: Path):
    files, want = qemu.peer.files(qemu), wanted(qemu)
    with breaking(tmp_path) as driver, pytest.raises(Unreachable) as failed:
        driver.create(want)
    assert (failed.value.retryable, qemu.find(WEB)) == (True, None)
    assert qemu.residue(WEB) == failed.value.left != ()
    assert ensure_present(qemu, want, dry_run=False).removed == failed.value.left
    before, made = qemu.find(WEB), qemu.peer.files(qemu)
    more = wanted(qemu, disks=[*want.to_dict()["disks"], {"name": "data", "size_mib": 4, "pool": qemu.peer.pool}])
    (tmp_path / "again").mkdir()
    with breaking(tmp_path / "again") as driver, pytest.raises(Unreachable) as failed:
        driver.update(WEB, more, changes(before.definition, more))
    assert (qemu.find(WEB).definition, qemu.peer.files(qemu) - made) == (before.definition, set(failed.value.left))
    assert [change.path for change in ensure_present(qemu, more, dry_run=False).changes] == ["disks[data]"]
    qemu.delete(WEB)
    assert qemu.peer.files(qemu) == files


def half_delete(driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deletion breaks off when one file is gone."""
    remove, gone = driver._storage.remove, []

    def removed_once(volume: libvirt.virStorageVol) -> None:
        if gone:
            raise Unreachable("no more")
        gone.append(volume.name())
        remove(volume)

    with monkeypatch.context() as patched:
        patched.setattr(driver._storage, "remove", removed_once)
        with pytest.raises(Unreachable):
            driver.delete(WEB)


def test_a_vm_that_is_half_deleted_is_made_anew(mock: LibvirtDriver, monkeypatch: pytest.MonkeyPatch):
    """Who undoes may be killed, and what is then wanted is the VM, with its disks."""
    two = wanted(mock, disks=[{"name": name, "size_mib": 8, "pool": mock.peer.pool} for name in ("a", "b")])
    mock.create(two)
    assert not mock.find(WEB).half_deleted
    half_delete(mock, monkeypatch)
    assert mock.find(WEB).half_deleted
    assert [vm.half_deleted for vm in mock.list_vms() if vm.name == "web"] == [True]
    with pytest.raises(Conflict, match="half deleted"):
        ensure_present(mock, two, dry_run=True, create=False)
    assert ensure_present(mock, two, dry_run=True).changed
    done = ensure_present(mock, two, dry_run=False)
    assert (done.changed, done.after.half_deleted, set(done.after.disk_use)) == (True, False, {"a", "b"})
    assert not ensure_present(mock, two, dry_run=False).changed


def test_a_vm_whose_removal_failed_before_any_file_was_gone_is_what_it_was(mock: LibvirtDriver, monkeypatch):
    mock.create(wanted(mock, disks=[{"name": "a", "size_mib": 8, "pool": mock.peer.pool}]))

    def fail(_volume: libvirt.virStorageVol) -> None:
        raise Unreachable("nothing goes")

    with monkeypatch.context() as patched, pytest.raises(Unreachable):
        patched.setattr(mock._storage, "remove", fail)
        mock.delete(WEB)
    assert not mock.find(WEB).half_deleted, "it has all its disks, with what they hold"
