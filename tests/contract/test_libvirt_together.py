# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several who work on one VM of libvirt's at once, and hosts that share a pool."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from libvirt_peers import LibvirtPeer, libvirt_mock
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers import alone
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Busy, Conflict, PermissionDenied
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import (
    LibvirtDriver,
    looking,
    names,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.making import Making
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction

WEB = VmRef(name="web")
ELSEWHERE = "14deef71-5406-40e0-8f02-dffc79f6730b"


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[LibvirtPeer]:
    with libvirt_mock(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: LibvirtPeer) -> Iterator[LibvirtDriver]:
    opened = LibvirtDriver.open(peer.connection)
    yield opened
    opened.close()


class Other(LibvirtDriver):
    """Who works at the same hypervisor, from another host: nothing keeps the two apart."""

    @classmethod
    def of(cls, driver: LibvirtDriver, *, before: str, happens: Callable[[], object]) -> Other:
        """Something happens, once, when it is about to call one of its methods."""
        other, strikes = cls(driver._connection, driver._url), [happens]
        real = getattr(other, before)

        def interrupted(*args: Any, **named: Any) -> Any:
            while strikes:
                strikes.pop()()
            return real(*args, **named)

        setattr(other, before, interrupted)
        return other


def add_volume(driver: LibvirtDriver, name: str, pool: str = "default") -> None:
    driver._connection.storagePoolLookupByName(pool).createXML(
        f"<volume><name>{name}</name><capacity unit='MiB'>1</capacity><allocation>0</allocation>"
        "<target><format type='raw'/></target></volume>"
    )


# --- two who make one VM --------------------------------------------------------------------------------------------


def test_of_two_who_make_a_vm_at_once_one_has_it_whole_and_the_other_gets_a_conflict(peer, driver):
    before = peer.files(driver)
    theirs = definition(peer, memory_mib=128, disks=[{"name": name, "size_mib": 1} for name in ("root", "data")])
    late = Other.of(driver, before="_refuse_made_meanwhile", happens=lambda: driver.create(theirs))
    with pytest.raises(Conflict, match="somebody else made a VM") as lost:
        late.create(definition(peer))
    assert lost.value.left == ()
    assert driver.find(WEB).definition.memory_mib == 128
    assert peer.files(driver) == before | {names.disk_volume(theirs.identity, disk) for disk in theirs.disks}


def test_a_domain_that_somebody_defined_meanwhile_is_not_changed(peer, driver):
    before, want = peer.files(driver), definition(peer)
    xml = (
        f"<domain type='test'><name>web</name><uuid>{want.identity}</uuid><memory unit='MiB'>32</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    late = Other.of(driver, before="_refuse_made_meanwhile", happens=lambda: driver._connection.defineXML(xml))
    with pytest.raises(Conflict):
        late.create(want)
    assert (driver.find(WEB).managed, peer.files(driver)) == (False, before)


def test_who_comes_upon_the_disks_of_another_leaves_them(peer, driver):
    before, want = peer.files(driver), definition(peer)
    theirs = names.disk_volume(want.identity, want.disks[0])
    late = Other.of(driver, before="_make", happens=lambda: add_volume(driver, theirs))
    with pytest.raises(Conflict) as lost:
        late.create(want)
    assert (lost.value.left, peer.files(driver)) == ((), before | {theirs})


def test_no_marker_stays_when_a_vm_is_made_and_none_is_made_without_a_disk(peer, driver, monkeypatch):
    marked: list[str] = []
    monkeypatch.setattr(names, "making_volume", lambda identity, _host: marked.append(identity) or f"{identity}-mark")
    driver.create(definition(peer, "bare", disks=[]))
    assert marked == []
    driver.create(definition(peer))
    assert marked == [definition(peer).identity]
    assert not [name for name in peer.files(driver) if name.endswith("-mark")]


# --- two who change one VM ------------------------------------------------------------------------------------------


def test_of_two_who_change_a_vm_at_once_the_later_gets_a_conflict_and_takes_its_disks_back(peer, driver):
    before = definition(peer)
    driver.create(before)
    disks = [*before.to_dict()["disks"], {"name": "theirs", "size_mib": 1}]
    theirs = definition(peer, memory_mib=128, disks=disks)
    late = Other.of(
        driver, before="_refuse_changed_meanwhile", happens=lambda: ensure_present(driver, theirs, dry_run=False)
    )
    ours = definition(peer, description="ours", disks=[*before.to_dict()["disks"], {"name": "ours", "size_mib": 1}])
    with pytest.raises(Conflict, match=r"somebody else changed VM 'web'") as lost:
        ensure_present(late, ours, dry_run=False)
    assert lost.value.left == ()
    assert changes(driver.find(WEB).definition, theirs) == ()
    made = {names.disk_volume(before.identity, disk) for disk in theirs.disks}
    assert peer.files(driver) == {peer.template} | made


def test_a_disk_of_the_same_name_that_another_change_has_put_into_the_vm_is_not_taken_back(peer, driver):
    before = definition(peer)
    driver.create(before)
    want = definition(peer, disks=[*before.to_dict()["disks"], {"name": "data", "size_mib": 1}])
    late = Other.of(
        driver, before="_refuse_changed_meanwhile", happens=lambda: ensure_present(driver, want, dry_run=False)
    )
    with pytest.raises(Conflict):
        ensure_present(late, want, dry_run=False)
    assert changes(driver.find(WEB).definition, want) == ()
    assert names.disk_volume(want.identity, want.disks[1]) in peer.files(driver)


def test_a_vm_that_somebody_starts_while_it_is_changed_is_not_changed(peer, driver):
    driver.create(definition(peer))
    late = Other.of(driver, before="_refuse_changed_meanwhile", happens=lambda: driver.power(WEB, PowerAction.ON, 10))
    with pytest.raises(Conflict, match="powered"):
        ensure_present(late, definition(peer, memory_mib=128), dry_run=False)
    assert changes(driver.find(WEB).definition, definition(peer)) == ()


# --- hosts that share a pool ----------------------------------------------------------------------------------------


def refused(peer: LibvirtPeer, driver: LibvirtDriver, match: str) -> None:
    """Whoever makes or removes the VM is told of the volumes, and nothing is done to them."""
    want, files = definition(peer), peer.files(driver)
    for attempt in (
        lambda: driver.check(want),
        lambda: driver.create(want),
        lambda: driver.check_delete(WEB),
        lambda: driver.delete(WEB),
        lambda: ensure_present(driver, want, dry_run=True),
        lambda: ensure_present(driver, want, dry_run=False),
        lambda: ensure_absent(driver, WEB, dry_run=True),
        lambda: ensure_absent(driver, WEB, dry_run=False),
    ):
        with pytest.raises(Conflict, match=match) as conflict:
            attempt()
        assert conflict.value.begun is False
    assert (driver.residue(WEB), peer.files(driver)) == ((), files)


def test_disks_of_a_vm_that_is_not_here_may_be_in_use_elsewhere_and_are_left_alone(peer, driver):
    want = definition(peer)
    driver.create(want)
    driver._connection.lookupByName("web").undefine()
    refused(peer, driver, names.disk_volume(want.identity, want.disks[0]))


def test_what_another_host_is_making_is_left_alone(peer, driver):
    want = definition(peer)
    add_volume(driver, names.making_volume(want.identity, ELSEWHERE))
    add_volume(driver, names.disk_volume(want.identity, want.disks[0]))
    refused(peer, driver, names.disk_volume(want.identity, want.disks[0]))
    add_volume(driver, names.making_volume(want.identity, driver._features.host))
    refused(peer, driver, names.disk_volume(want.identity, want.disks[0]))


def test_a_marker_speaks_for_its_own_pool(peer, driver):
    driver._connection.storagePoolDefineXML(
        "<pool type='dir'><name>shared</name><target><path>/shared</path></target></pool>"
    ).create()
    peer.leave_residue(driver, definition(peer))
    add_volume(driver, f"{definition(peer).identity}-data.qcow2", "shared")
    with pytest.raises(Conflict, match=r"of it: [^ ]*-data\.qcow2\."):
        driver.delete(WEB)


@pytest.mark.parametrize("memory_mib", [64, 128])
def test_what_a_create_left_that_was_killed_when_the_vm_was_whole_is_removed(peer, driver, monkeypatch, memory_mib):
    with monkeypatch.context() as killed:
        killed.setattr(Making, "finish", lambda _making: None)
        driver.create(definition(peer, memory_mib=64))
    left = driver.residue(WEB)
    add_volume(driver, names.making_volume(definition(peer).identity, ELSEWHERE))
    files = peer.files(driver)
    want = definition(peer, memory_mib=memory_mib)
    plan = ensure_present(driver, want, dry_run=True)
    assert peer.files(driver) == files
    done = ensure_present(driver, want, dry_run=False)
    assert len(left) == 1
    assert plan.changed and done.changed
    assert (plan.removed, plan.changes) == (left, done.changes)
    assert done.removed == left
    assert (driver.residue(WEB), peer.files(driver)) == ((), files - set(left))
    assert not ensure_present(driver, want, dry_run=False).changed


def test_an_image_for_cloud_init_that_a_killed_change_left_is_named_and_goes_and_the_others_stay(peer, driver):
    want = definition(peer)
    driver.create(want)
    driver._connection.storagePoolDefineXML(
        "<pool type='dir'><name>shared</name><target><path>/shared</path></target></pool>"
    ).create()
    in_use, stale, elsewhere = (names.next_seed_volume(want.identity) for _ in range(3))
    for name in (in_use, stale):
        add_volume(driver, name)
    add_volume(driver, elsewhere, "shared")
    peer.attach(driver, want, f"/default/{in_use}")
    as_it_is, files = driver.find(WEB).definition, peer.files(driver)
    for dry_run in (True, False):
        assert peer.files(driver) == files
        done = ensure_present(driver, as_it_is, dry_run=dry_run)
        assert (done.changed, done.changes, done.removed) == (True, (), (stale,))
    assert peer.files(driver) == files - {stale}
    assert (driver.residue(WEB), elsewhere in driver._storage.owned(want.identity)) == ((), True)


def test_a_disk_may_be_called_as_a_marker_is(peer, driver):
    name = f"making-{driver._features.host}-0badcafe"
    want = definition(peer, disks=[{"name": name, "size_mib": 1, "pool": peer.pool}])
    driver.create(want)
    driver._connection.lookupByName("web").undefine()
    refused(peer, driver, name)


# --- processes of one host ------------------------------------------------------------------------------------------


@pytest.fixture
def locked(peer: LibvirtPeer, driver: LibvirtDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VmDefinition:
    """A VM for whose hypervisor there are locks, though it is the mock."""
    want = definition(peer)
    driver.create(want)
    monkeypatch.setattr(alone, "PARENT", tmp_path)
    monkeypatch.setattr(looking, "is_test", lambda _url: False)
    return want


def test_while_a_vm_is_changed_nobody_else_changes_it(peer, driver, locked):
    more = definition(peer, memory_mib=128)
    with alone.alone(driver._url, locked.identity, "changing"):
        for attempt in (
            lambda: driver.create(locked),
            lambda: driver.update(WEB, more, changes(locked, more)),
            lambda: driver.delete(WEB),
        ):
            with pytest.raises(Busy, match=r"web.*another process") as busy:
                attempt()
            assert (busy.value.retryable, busy.value.begun) == (True, False)
        driver.create(definition(peer, "other"))
    driver.update(WEB, more, changes(driver.find(WEB).definition, more))
    driver.delete(WEB)


def test_a_process_that_died_keeps_nobody_out(driver, locked, tmp_path):
    code = (
        f"import os, pathlib; from {alone.__package__} import alone; alone.PARENT = pathlib.Path({str(tmp_path)!r});"
        f"held = alone.alone({driver._url!r}, {locked.identity!r}, ''); held.__enter__(); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert died.returncode == -9, died.stderr
    driver.delete(WEB)
    assert list((tmp_path / next(tmp_path.glob(".millwright-*"))).iterdir()) == []


def test_a_directory_that_others_can_write_is_no_place_for_locks(driver, locked, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place = alone._directory()
    place.chmod(0o777)
    with pytest.raises(PermissionDenied, match=str(place)):
        driver.delete(WEB)
    place.rmdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionDenied, match=str(place)):
        driver.delete(WEB)
