# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt refuses to remove with a VM, and what a removal that breaks off leaves; ``mock`` is libvirt's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import libvirt
import pytest
from libvirt_removing import WEB, kept, made, plug, volumes
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Conflict,
    DriverError,
    NotFound,
    Unsupported,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed


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


def test_the_template_that_the_vm_itself_names_stays(mock: LibvirtDriver):
    made(mock, template="template.qcow2", clone="full", format="qcow2")
    plug(mock, "<source file='/default/template.qcow2'/>")
    assert "a template" in kept(mock)["template.qcow2"]
    assert "template.qcow2" in volumes(mock)


def test_a_removal_that_broke_off_after_a_disk_named_by_pool_and_volume_is_repeated(mock: LibvirtDriver):
    want = made(mock)
    mock.peer._volume(mock, "theirs.img")
    plug(mock, "<source pool='default' volume='theirs.img'/>", kind="volume")
    with mock.peer.failing_delete(mock, want), pytest.raises(DriverError):
        mock.delete(WEB, foreign_disks=True)
    assert volumes(mock) == {"template.qcow2"}
    assert kept(mock) == {}


@pytest.mark.parametrize("kind", ["iscsi", "mpath", "scsi"])
def test_a_disk_of_a_pool_that_libvirt_only_shows_is_refused_if_it_should_go(mock: LibvirtDriver, kind: str):
    made(mock)
    host = (
        "<host name='san'/><device path='iqn.2026-11.test:a'/><initiator><iqn name='iqn.2026-11.test:b'/></initiator>"
    )
    adapter = "<adapter type='scsi_host' name='host1'/>" if kind == "scsi" else host if "iscsi" in kind else ""
    pool = mock._connection.storagePoolCreateXML(
        f"<pool type='{kind}'><name>san</name><source>{adapter}</source><target><path>/dev/san</path></target></pool>"
    )
    theirs = pool.createXML("<volume><name>lun0</name><capacity>1</capacity></volume>").path()
    plug(mock, f"<source dev='{theirs}'/>", kind="block")
    files = volumes(mock)
    for dry_run in (True, False):
        with pytest.raises(Unsupported, match=f"{theirs} is in a pool") as refused:
            ensure_absent(mock, WEB, dry_run=dry_run, foreign_disks=True)
        assert not refused.value.begun
    assert (volumes(mock), pool.listVolumes()) == (files, ["lun0"])


def test_the_vms_own_disks_are_there_while_a_disk_of_others_cannot_be_removed(mock: LibvirtDriver, monkeypatch):
    mock.peer.attach_foreign(mock, made(mock))
    files = volumes(mock)

    def refusing(_path: str) -> None:
        raise Unsupported("not this one")

    monkeypatch.setattr(mock._storage, "remove_file", refusing)
    with pytest.raises(Unsupported, match="not this one"):
        mock.delete(WEB, foreign_disks=True)
    assert volumes(mock) == files


def test_a_device_of_the_host_stays_and_is_told_by_its_target(mock: LibvirtDriver):
    made(mock)
    address = "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>"
    plug(mock, f"<source type='pci' managed='yes' namespace='1'>{address}</source>", kind="nvme")
    assert [disk.path for disk in ensure_absent(mock, WEB, dry_run=True).kept] == ["sdx"]
    with pytest.raises(Unsupported, match="sdx is no file"):
        ensure_absent(mock, WEB, dry_run=True, foreign_disks=True)


@pytest.mark.parametrize("code", [libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_NO_STORAGE_VOL])
def test_nothing_is_removed_while_a_volume_may_stand_on_it_for_all_that_is_known(
    mock: LibvirtDriver, monkeypatch, code: int
):
    made(mock)
    failed = libvirt.libvirtError("cannot read")
    failed.err = (code, libvirt.VIR_FROM_STORAGE, "cannot read", 2, None, None, None, -1, -1)

    def unread(_volume: libvirt.virStorageVol, _flags: int) -> str:
        raise failed

    monkeypatch.setattr(libvirt.virStorageVol, "XMLDesc", unread)
    if code == libvirt.VIR_ERR_NO_STORAGE_VOL:
        assert mock.check_delete(WEB) == ()
        return
    for attempt in (mock.check_delete, mock.delete):
        with pytest.raises(DriverError, match=r"what volume 'template\.qcow2' stands on.*cannot read") as refused:
            attempt(WEB)
        assert not refused.value.begun


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


@pytest.mark.parametrize("disk", ["root", "data"])
def test_what_a_running_vm_stands_on_stays_wherever_its_own_disk_is(mock: LibvirtDriver, disk: str):
    disks = [{"name": name, "size_mib": 4, "pool": mock.peer.pool} for name in ("root", "data")]
    mock.create(definition(mock.peer, disks=disks))
    base = f"/default/{definition(mock.peer).identity}-{disk}.qcow2"
    stands = f"<backingStore type='file'><format type='qcow2'/><source file='{base}'/></backingStore>"
    mock._connection.createXML(
        "<domain type='test'><name>leech</name><memory unit='MiB'>32</memory><os><type>hvm</type></os><devices>"
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/elsewhere/mine.qcow2'/>"
        f"{stands}<target dev='vda' bus='virtio'/></disk></devices></domain>"
    )
    files, want = volumes(mock), definition(mock.peer, disks=disks[:1])
    for attempt in (
        lambda: mock.check_delete(WEB),
        lambda: mock.delete(WEB),
        *[lambda: ensure_present(mock, want, dry_run=False, allowed=Allowed(disk_removal=True))][: disk == "data"],
    ):
        with pytest.raises(Conflict, match=rf"VM 'leech' runs on {base} of VM 'web'") as refused:
            attempt()
        assert not refused.value.begun
    assert (len(mock.find(WEB).definition.disks), volumes(mock)) == (2, files)


@pytest.mark.parametrize("spelling", ["/by/link/{name}", "/dev/mapper/group-{mapped}"])
def test_at_another_host_what_stands_on_a_disk_is_known_by_its_name(mock: LibvirtDriver, spelling: str):
    name = f"{made(mock).identity}-root.qcow2"
    mock.peer._volume(mock, "mine.qcow2", spelling.format(name=name, mapped=name.replace("-", "--")))
    with pytest.raises(Conflict, match=rf"/default/mine\.qcow2 is an overlay on /default/{name}"):
        mock.delete(WEB)
    assert {name, "mine.qcow2"} <= volumes(mock)


def test_at_another_host_a_disk_of_a_name_that_a_vm_has_stays(mock: LibvirtDriver):
    mock.peer.attach(mock, made(mock, "db"), "/by/link/theirs.qcow2")
    mock.peer.attach_foreign(mock, made(mock))
    assert kept(mock) == {"theirs.qcow2": "VM 'db' has a file of that name"}
    assert "theirs.qcow2" in volumes(mock)


@pytest.mark.parametrize(
    ("name", "read"), [("mine.qcow2", True), ("00000000-0000-4000-8000-000000000001-serial.log", False)]
)
def test_a_pool_of_this_host_is_read_again_if_somebody_put_a_file_into_it(
    mock: LibvirtDriver, tmp_path: Path, monkeypatch, name: str, read: bool
):
    made(mock)
    monkeypatch.setattr(mock._storage, "_local", True)
    mock._connection.storagePoolCreateXML(
        f"<pool type='dir'><name>here</name><target><path>{tmp_path / 'pool'}</path></target></pool>"
    )
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / name).touch()
    refreshed = []
    monkeypatch.setattr(mock._storage, "refresh", lambda pool: refreshed.append(pool.name()))
    mock.check_delete(WEB)
    assert refreshed == (["here"] if read else [])


@pytest.mark.qemu
@pytest.mark.slow
def test_an_overlay_that_was_put_into_a_pool_by_hand_is_seen(qemu: LibvirtDriver):
    base = f"{made(qemu).identity}-root.qcow2"
    pool = Path("/var/tmp") / qemu.peer.pool
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", pool / base, pool / "mine.qcow2"], check=True
    )
    for attempt in (qemu.check_delete, qemu.delete):
        with pytest.raises(Conflict, match=rf"mine\.qcow2 is an overlay on .*{base}"):
            attempt(WEB)
    (pool / "mine.qcow2").unlink()
    qemu.delete(WEB)
    assert qemu.find(WEB) is None
