# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks of others libvirt may remove with a VM, and which never; ``mock`` is libvirt's own."""

from __future__ import annotations

from pathlib import Path

import libvirt
import pytest
from libvirt_removing import WEB, kept, made, plug, volumes

from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver, others
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate


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


def test_no_vm_that_is_off_is_read_where_nothing_is_foreign_or_stands_on_a_disk(mock: LibvirtDriver, monkeypatch):
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
