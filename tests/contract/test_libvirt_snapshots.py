# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's snapshots hold, and which VMs cannot have any; the contract itself is test_snapshots.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import libvirt
import libvirt_qemu
import pytest
from libvirt_peers import POOLS, LibvirtPeer, libvirt_mock
from libvirt_peers import libvirt_qemu as qemu_peer
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Capability, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Conflict, DriverError, Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver, agent, monitor
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import Quiesce, WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

WEB = VmRef(name="web")
ONE = WantedSnapshot(name="one")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[LibvirtPeer]:
    with qemu_peer(tmp_path) as opened:
        yield opened


@pytest.fixture
def qemu(peer: LibvirtPeer) -> Iterator[LibvirtDriver]:
    with open_driver(peer.connection) as opened:
        yield opened


def disk_of(peer: LibvirtPeer, want) -> Path:
    return POOLS / peer.pool / f"{want.identity}-root.qcow2"


def write(disk: Path, pattern: int) -> None:
    """Fill the beginning of a disk that nobody has open."""
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} 0 64k", disk], check=True, capture_output=True)


def holds(disk: Path, pattern: int) -> bool:
    command = ["qemu-io", "-f", "qcow2", "-r", "-U", "-c", f"read -P {pattern} 0 64k", disk]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return "Pattern verification failed" not in done.stdout


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("memory", [False, True])
def test_a_revert_brings_the_old_content_of_the_disk(peer: LibvirtPeer, qemu: LibvirtDriver, running, memory):
    want = definition(peer, cloud_init={"user_data": "#cloud-config\n"})
    qemu.create(want)
    disk = disk_of(peer, want)
    write(disk, 0x11)
    if running:
        qemu.power(WEB, PowerAction.ON, 60)
    qemu.create_snapshot(WEB, WantedSnapshot(name="one", memory=memory))
    if running:
        qemu.power(WEB, PowerAction.OFF, 60)
    write(disk, 0x22)
    assert holds(disk, 0x22)
    qemu.revert_snapshot(WEB, "one")
    assert qemu.find(WEB).power is (PowerState.ON if running and memory else PowerState.OFF)
    assert holds(disk, 0x11)
    qemu.delete_snapshot(WEB, "one", children=False)
    assert holds(disk, 0x11)


@pytest.mark.qemu
@pytest.mark.slow
def test_a_disk_that_is_not_qcow2_has_no_snapshots(peer: LibvirtPeer, qemu: LibvirtDriver):
    raw = {"name": "raw", "size_mib": 4, "format": "raw", "pool": peer.pool}
    qemu.create(definition(peer, disks=[{"name": "root", "size_mib": 4, "pool": peer.pool}, raw]))
    for attempt in (qemu.check_snapshot, qemu.create_snapshot):
        with pytest.raises(Unsupported, match=r"disk vdb of VM 'web' is not of format qcow2") as refused:
            attempt(WEB, ONE)
        assert refused.value.begun is False


@pytest.mark.qemu
@pytest.mark.slow
def test_a_vm_that_boots_by_uefi_has_no_snapshots(peer: LibvirtPeer, qemu: LibvirtDriver):
    if Capability.UEFI not in qemu.capabilities:
        pytest.skip("no UEFI firmware is installed")
    qemu.create(definition(peer, firmware="uefi", memory_mib=128))
    with pytest.raises(Unsupported, match="UEFI"):
        qemu.create_snapshot(WEB, ONE)


def test_a_vm_without_a_disk_has_no_snapshots(tmp_path: Path):
    with libvirt_mock(tmp_path) as peer, open_driver(peer.connection) as mock:
        mock.create(definition(peer, disks=[]))
        with pytest.raises(Unsupported, match="no disk"):
            mock.create_snapshot(WEB, ONE)


def test_a_vm_with_snapshots_keeps_its_name(tmp_path: Path):
    with libvirt_mock(tmp_path) as peer, open_driver(peer.connection) as mock:
        mock.create(definition(peer, uuid="0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10"))
        mock.create_snapshot(WEB, ONE)
        other = definition(peer, "shop", uuid="0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10")
        for dry_run in (True, False):
            with pytest.raises(Conflict, match="has snapshots"):
                ensure_present(mock, other, dry_run=dry_run)
        mock.delete_snapshot(WEB, "one", children=False)
        assert ensure_present(mock, other, dry_run=False).after.name == "shop"


def names_on(driver: LibvirtDriver) -> set[str]:
    domain = driver._connection.lookupByName("web")
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps({"execute": "query-block"}), 0))
    images = [drive["inserted"]["image"] for drive in answer["return"] if "inserted" in drive]
    return {snapshot["name"] for image in images for snapshot in image.get("snapshots", ())}


@pytest.mark.qemu
@pytest.mark.slow
def test_of_a_snapshot_that_libvirt_does_not_take_nothing_is_left(
    peer: LibvirtPeer, qemu: LibvirtDriver, monkeypatch: pytest.MonkeyPatch
):
    qemu.create(definition(peer))
    qemu.power(WEB, PowerAction.ON, 60)

    def refuses(domain, xml, _flags):
        assert names_on(qemu) == {"one"}
        return snapshot_create(domain, xml.replace("<name>one", "<nameless>one"), 1 << 30)

    snapshot_create = libvirt.virDomain.snapshotCreateXML
    monkeypatch.setattr(libvirt.virDomain, "snapshotCreateXML", refuses)
    with pytest.raises(DriverError, match="taking snapshot 'one'"):
        qemu.create_snapshot(WEB, ONE)
    assert (names_on(qemu), qemu.snapshots(WEB)) == (set(), ())


@pytest.mark.qemu
@pytest.mark.slow
def test_what_a_killed_snapshot_left_is_replaced(peer: LibvirtPeer, qemu: LibvirtDriver):
    qemu.create(definition(peer))
    qemu.power(WEB, PowerAction.ON, 60)
    domain = qemu._connection.lookupByName("web")
    monitor.take_snapshots(domain, monitor.written_nodes(domain), "one")
    assert qemu.snapshots(WEB) == ()
    qemu.create_snapshot(WEB, ONE)
    assert [snapshot.name for snapshot in qemu.snapshots(WEB)] == ["one"]


class Guest:
    """A domain whose guest has an agent; what is asked of it is noted."""

    def __init__(self, freezes: bool = True):
        self.asked: list[str] = []
        self._freezes = freezes

    def state(self, _flags: int) -> list[int]:
        return [libvirt.VIR_DOMAIN_RUNNING, 0]

    def XMLDesc(self, _flags: int) -> str:
        target = "<target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>"
        return f"<domain><devices><channel>{target}</channel></devices></domain>"

    def fsFreeze(self) -> int:
        self.asked.append("freeze")
        if not self._freezes:
            raise libvirt.libvirtError("the agent hangs")
        return 1

    def fsThaw(self) -> int:
        self.asked.append("thaw")
        return 1


@pytest.mark.parametrize(
    ("quiesce", "freezes", "rests", "asked"),
    [
        (Quiesce.AUTO, True, True, ["freeze", "thaw"]),
        (Quiesce.AUTO, False, False, ["freeze", "thaw"]),
        (Quiesce.ALWAYS, True, True, ["freeze", "thaw"]),
        (Quiesce.NEVER, True, False, []),
    ],
)
def test_a_guest_that_was_brought_to_rest_goes_on_whatever_happens(quiesce, freezes, rests, asked):
    guest = Guest(freezes)
    with pytest.raises(ZeroDivisionError), agent.at_rest(guest, quiesce) as said:
        assert said is rests
        raise ZeroDivisionError
    assert guest.asked == asked


def test_who_must_have_rest_gets_the_agents_error():
    guest = Guest(freezes=False)
    with pytest.raises(libvirt.libvirtError, match="hangs"), agent.at_rest(guest, Quiesce.ALWAYS):
        pytest.fail("not at rest")
    assert guest.asked == ["freeze", "thaw"]
