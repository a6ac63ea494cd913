# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks of others libvirt may remove with a VM, and which never; ``mock`` is libvirt's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from libvirt_peers import LibvirtPeer, libvirt_mock, libvirt_qemu
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Conflict, NotFound, Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver, others
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate

WEB = VmRef(name="web")


@contextlib.contextmanager
def driver_of(peer: LibvirtPeer) -> Iterator[LibvirtDriver]:
    driver = LibvirtDriver.open(peer.connection)
    driver.peer = peer
    yield driver
    driver.close()


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[LibvirtDriver]:
    with libvirt_mock(tmp_path) as peer, driver_of(peer) as driver:
        yield driver


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[LibvirtDriver]:
    with libvirt_qemu(tmp_path) as peer, driver_of(peer) as driver:
        yield driver


def made(driver: LibvirtDriver, name: str = "web", **disk: object) -> VmDefinition:
    want = definition(driver.peer, name, disks=[{"name": "root", "size_mib": 8, "pool": driver.peer.pool, **disk}])
    driver.create(want)
    return want


def volumes(driver: LibvirtDriver) -> set[str]:
    return driver.peer.files(driver)


def plug(driver: LibvirtDriver, source: str, more: str = "", *, device: str = "disk", kind: str = "file") -> None:
    """Somebody puts it into the VM as it is defined."""
    domain = driver._connection.lookupByName("web")
    disk = (
        f"<disk type='{kind}' device='{device}'><driver name='qemu' type='raw'/>{source}"
        f"<target dev='sdx' bus='{'sata' if device == 'cdrom' else 'scsi'}'/>{more}</disk>"
    )
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    driver._connection.defineXML(xml.replace("</devices>", f"{disk}</devices>"))


def kept(driver: LibvirtDriver) -> dict[str, str]:
    """Why each disk stays although all should go; what is told is what is done."""
    plan = ensure_absent(driver, WEB, dry_run=True, foreign_disks=True)
    done = ensure_absent(driver, WEB, dry_run=False, foreign_disks=True)
    assert plan.kept == done.kept
    assert driver.find(WEB) is None
    return {disk.path.rpartition("/")[2]: disk.why for disk in done.kept}


@pytest.mark.parametrize(("mark", "why"), [("<shareable/>", "shared with other VMs"), ("<readonly/>", "only read it")])
def test_what_the_vm_may_not_write_or_shares_stays(mock: LibvirtDriver, mark: str, why: str):
    made(mock)
    plug(mock, f"<source file='{mock.peer._volume(mock, 'theirs.img')}'/>", mark)
    assert why in kept(mock)["theirs.img"]
    assert "theirs.img" in volumes(mock)


def test_a_disc_stays_and_is_no_disk(mock: LibvirtDriver):
    made(mock)
    plug(mock, f"<source file='{mock.peer._volume(mock, 'tools.iso')}'/>", device="cdrom")
    assert kept(mock) == {}
    assert "tools.iso" in volumes(mock)


@pytest.mark.parametrize("by_path", [False, True])
def test_a_template_that_another_vm_names_stays(mock: LibvirtDriver, by_path: bool):
    template = "/default/template.qcow2"
    made(mock, "db", template=template if by_path else "template.qcow2", clone="full", format="qcow2")
    made(mock)
    plug(mock, f"<source file='{template}'/>")
    assert "'db' names" in kept(mock)["template.qcow2"]
    assert "template.qcow2" in volumes(mock)


def test_a_template_that_was_made_of_the_vm_itself_stays(mock: LibvirtDriver):
    made(mock)
    mock.capture(WEB, WantedTemplate(name="golden"))
    plug(mock, "<source file='/default/golden.qcow2'/>")
    assert "a template" in kept(mock)["golden.qcow2"]
    assert "golden.qcow2" in volumes(mock)


def test_what_a_volume_stands_on_stays_and_so_does_what_that_stands_on(mock: LibvirtDriver):
    made(mock)
    bottom = mock.peer._volume(mock, "bottom.qcow2")
    middle = mock.peer._volume(mock, "middle.qcow2", bottom)
    mock.peer._volume(mock, "top.qcow2", middle)
    for path in (bottom, middle):
        mock.peer._plug(mock, "web", path)
        xml = mock._connection.lookupByName("web").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        mock._connection.defineXML(xml.replace("dev='vdx'", f"dev='vd{'yz'[path == middle]}'"))
    assert kept(mock) == {
        "bottom.qcow2": "/default/middle.qcow2 stands on it",
        "middle.qcow2": "/default/top.qcow2 stands on it",
    }
    assert {"bottom.qcow2", "middle.qcow2", "top.qcow2"} <= volumes(mock)


def test_the_disk_of_another_vm_stays(mock: LibvirtDriver):
    other = made(mock, "db")
    made(mock)
    plug(mock, f"<source file='/default/{other.identity}-root.qcow2'/>")
    mock._connection.lookupByName("db").undefine()
    assert "made for another VM" in kept(mock)[f"{other.identity}-root.qcow2"]
    assert f"{other.identity}-root.qcow2" in volumes(mock)


def test_a_disk_that_is_named_by_pool_and_volume_goes(mock: LibvirtDriver):
    made(mock)
    mock.peer._volume(mock, "theirs.img")
    plug(mock, "<source pool='default' volume='theirs.img'/>", kind="volume")
    assert [disk.path for disk in ensure_absent(mock, WEB, dry_run=True).kept] == ["/default/theirs.img"]
    assert kept(mock) == {}
    assert "theirs.img" not in volumes(mock)


@pytest.mark.parametrize(
    ("disk", "error", "match"),
    [
        ({"source": "<source file='/nowhere/x.img'/>"}, NotFound, r"/nowhere/x\.img is in no active storage pool"),
        (
            {"source": "<source protocol='rbd' name='a/b'><host name='ceph'/></source>", "kind": "network"},
            Unsupported,
            "rbd:a/b is no file or block device",
        ),
    ],
)
def test_what_cannot_be_removed_is_refused_if_it_should_go(mock: LibvirtDriver, disk, error, match):
    made(mock)
    plug(mock, **disk)
    files = volumes(mock)
    for dry_run in (True, False):
        with pytest.raises(error, match=match) as refused:
            ensure_absent(mock, WEB, dry_run=dry_run, foreign_disks=True)
        assert not refused.value.begun
    assert (mock.find(WEB) is not None, volumes(mock)) == (True, files)
    assert len(ensure_absent(mock, WEB, dry_run=False).kept) == 1


def test_an_overlay_that_no_vm_has_is_named_itself(mock: LibvirtDriver):
    want = made(mock)
    mock.peer._volume(mock, "mine.qcow2", f"/default/{want.identity}-root.qcow2")
    with pytest.raises(Conflict, match=r"/default/mine\.qcow2 is an overlay on /default/.*-root\.qcow2 .* VM 'web'"):
        mock.delete(WEB)
    assert mock.find(WEB) is not None


def test_a_disk_on_which_something_stands_is_not_removed_by_a_change_either(mock: LibvirtDriver):
    disks = [{"name": name, "size_mib": 4, "pool": mock.peer.pool} for name in ("root", "data")]
    mock.create(definition(mock.peer, disks=disks))
    path = f"/default/{definition(mock.peer).identity}-data.qcow2"
    mock.peer.make_foreign(mock, "leech")
    mock.peer._plug(mock, "leech", mock.peer._volume(mock, "mine.qcow2", path))
    files, want = volumes(mock), definition(mock.peer, disks=disks[:1])
    for dry_run in (True, False):
        with pytest.raises(Conflict, match=r"VM 'leech' has /default/mine\.qcow2, .*-data\.qcow2") as refused:
            ensure_present(mock, want, dry_run=dry_run, allowed=Allowed(disk_removal=True))
        assert not refused.value.begun
    assert (len(mock.find(WEB).definition.disks), volumes(mock)) == (2, files)


def test_an_overlay_in_the_vm_itself_goes_with_it(mock: LibvirtDriver):
    """As somebody's external snapshot is: without it the disk's content would be half there."""
    want = made(mock)
    mock.peer.attach(mock, want, mock.peer._volume(mock, "mine.qcow2", f"/default/{want.identity}-root.qcow2"))
    with pytest.raises(Conflict, match=r"VM 'web' has /default/mine\.qcow2"):
        mock.delete(WEB)
    assert kept(mock) == {}
    assert volumes(mock) == {"template.qcow2"}


def test_no_other_vm_is_read_where_nothing_is_foreign_and_nothing_stands_on_a_disk(mock: LibvirtDriver, monkeypatch):
    """A host may have thousands."""
    made(mock)
    monkeypatch.setattr(others, "_told", None)
    ensure_absent(mock, WEB, dry_run=False, foreign_disks=True)
    assert mock.find(WEB) is None


@pytest.mark.qemu
@pytest.mark.slow
def test_a_disk_that_only_the_running_guest_has_counts_and_one_that_libvirt_has_not_seen_goes(qemu: LibvirtDriver):
    made(qemu)
    qemu.power(WEB, PowerAction.ON, 60)
    file = Path("/var/tmp") / qemu.peer.pool / "theirs.img"
    file.write_bytes(bytes(1024 * 1024))
    file.chmod(0o666)
    disk = (
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
        f"<source file='{file}'/><target dev='vdx' bus='virtio'/></disk>"
    )
    qemu._connection.lookupByName("web").attachDeviceFlags(disk, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    assert [one.path for one in ensure_absent(qemu, WEB, dry_run=True).kept] == [str(file)]
    assert file.exists()
    assert kept(qemu) == {}
    assert not file.exists()


@pytest.mark.qemu
@pytest.mark.slow
def test_a_disk_that_another_vm_has_by_a_link_stays(qemu: LibvirtDriver):
    made(qemu)
    other, directory = made(qemu, "db"), Path("/var/tmp") / qemu.peer.pool
    theirs = qemu.peer.attach_foreign(qemu, other)
    (directory / "link.img").symlink_to(theirs)
    plug(qemu, f"<source file='{directory / 'link.img'}'/>")
    assert "'db' has it as well" in kept(qemu)["link.img"]
    assert Path(theirs).exists()
