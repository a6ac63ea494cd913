# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures at libvirt that were broken off, and how one knows its own work; the contract itself is test_capture.py."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from libvirt_peers import POOLS, LibvirtPeer, RealOne, libvirt_mock
from libvirt_peers import libvirt_qemu as qemu_peer
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils import progress
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Conflict, DriverError
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import (
    LibvirtDriver,
    captures,
    capturing,
    copying,
    names,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.ensure_template import ensure_template
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate
from tests.waiting import wait_until

WEB = VmRef(name="web")
GOLDEN = WantedTemplate(name="golden")
HALF = (
    "<volume><name>{name}</name><capacity unit='MiB'>1</capacity><allocation>0</allocation>"
    "<target><format type='qcow2'/></target></volume>"
)
MARK = captures.Captured(pool="default", volume="golden.qcow2", disk="root")


class Broken(BaseException):
    """As if the process were killed: nobody cleans up."""


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[LibvirtPeer]:
    with libvirt_mock(tmp_path) as opened:
        yield opened


@pytest.fixture
def elsewhere(peer: LibvirtPeer) -> Iterator[LibvirtDriver]:
    """A libvirt whose files are out of reach, with a VM."""
    with open_driver(peer.connection) as opened:
        opened.create(definition(peer))
        yield opened


def domain_of(driver: LibvirtDriver) -> libvirt.virDomain:
    return driver._connection.lookupByName("web")


def make_volume(driver: LibvirtDriver, pool: str, name: str) -> None:
    driver._connection.storagePoolLookupByName(pool).createXML(HALF.format(name=name))


def test_elsewhere_a_half_made_template_is_none_and_the_next_try_makes_it_whole(
    peer: LibvirtPeer, elsewhere: LibvirtDriver
):
    captures.note(domain_of(elsewhere), MARK)
    make_volume(elsewhere, peer.pool, "golden.qcow2")
    assert elsewhere.template(WEB, GOLDEN) is None
    done = ensure_template(elsewhere, WEB, GOLDEN, dry_run=False)
    assert (done.changed, done.template.size_mib) == (True, peer.template_mib)
    assert ensure_template(elsewhere, WEB, GOLDEN, dry_run=False).changed is False


def test_elsewhere_a_volume_that_nobody_noted_is_a_conflict(peer: LibvirtPeer, elsewhere: LibvirtDriver):
    make_volume(elsewhere, peer.pool, "golden.qcow2")
    with pytest.raises(Conflict, match="not made by this"):
        ensure_template(elsewhere, WEB, GOLDEN, dry_run=False)
    assert "golden.qcow2" in peer.files(elsewhere)


class PoolThatFails(RealOne):
    """It makes half of a copy, and then fails."""

    def createXMLFrom(self, xml: str, _source: libvirt.virStorageVol, _flags: int) -> libvirt.virStorageVol:
        self._real.createXML(xml, 0)
        return self._real.createXML(xml, 1 << 30)


class PoolThatIsLate(RealOne):
    """Somebody else takes the name just before."""

    def createXMLFrom(self, xml: str, source: libvirt.virStorageVol, flags: int) -> libvirt.virStorageVol:
        self._real.createXML(HALF.format(name="golden.qcow2"))
        return self._real.createXMLFrom(xml, source, flags)


@pytest.mark.parametrize(("kind", "stays"), [(PoolThatFails, False), (PoolThatIsLate, True)])
def test_elsewhere_what_a_failed_copy_made_goes_and_what_somebody_else_made_stays(
    peer: LibvirtPeer, elsewhere: LibvirtDriver, monkeypatch: pytest.MonkeyPatch, kind: type[RealOne], stays: bool
):
    real = elsewhere._storage.pool
    with monkeypatch.context() as patch:
        patch.setattr(elsewhere._storage, "pool", lambda name: kind(real(name)))
        with pytest.raises(DriverError):
            elsewhere.capture(WEB, GOLDEN)
    assert ("golden.qcow2" in peer.files(elsewhere)) is stays
    assert captures.of(domain_of(elsewhere), peer.pool, "golden.qcow2") is None


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is told how far a copy is, at once."""
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress"))
    monkeypatch.setattr(progress, "EVERY", 0.01)
    return tmp_path / "progress"


def test_elsewhere_it_is_told_how_far_the_copy_is(
    peer: LibvirtPeer, elsewhere: LibvirtDriver, monkeypatch: pytest.MonkeyPatch, told: Path
):
    class PoolThatTakesItsTime(RealOne):
        def createXMLFrom(self, xml: str, _source: libvirt.virStorageVol, _flags: int) -> libvirt.virStorageVol:
            made = self._real.createXML(xml.replace("</capacity>", "</capacity><allocation unit='MiB'>3</allocation>"))
            wait_until(told.exists, 20, "a word of the copy")
            return made

    real = elsewhere._storage.pool
    monkeypatch.setattr(elsewhere._storage, "pool", lambda name: PoolThatTakesItsTime(real(name)))
    elsewhere.capture(WEB, GOLDEN)
    assert json.loads(told.read_text()) == {"done": 3, "total": 3}
    assert "libvirt-copy" not in [thread.name for thread in threading.enumerate()]


def test_a_copy_that_nobody_asks_after_is_not_watched(elsewhere: LibvirtDriver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    monkeypatch.setattr(copying, "_watch", _broken)
    with copying.telling(_broken, 1):
        assert "libvirt-copy" not in [thread.name for thread in threading.enumerate()]


def test_what_was_captured_is_known_after_the_vm_was_changed(peer: LibvirtPeer, elsewhere: LibvirtDriver):
    elsewhere.capture(WEB, GOLDEN)
    assert ensure_present(elsewhere, definition(peer, description="another"), dry_run=False).changed
    assert ensure_template(elsewhere, WEB, GOLDEN, dry_run=False).changed is False


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[tuple[LibvirtPeer, LibvirtDriver, Path]]:
    """A libvirt of this host with a VM, and the directory of its pool."""
    with qemu_peer(tmp_path) as peer, open_driver(peer.connection) as driver:
        driver.create(definition(peer))
        yield peer, driver, POOLS / peer.pool


@pytest.mark.qemu
@pytest.mark.slow
def test_here_a_template_has_its_name_when_it_is_whole(
    qemu: tuple[LibvirtPeer, LibvirtDriver, Path], monkeypatch: pytest.MonkeyPatch
):
    peer, driver, place = qemu
    before = peer.files(driver)
    identity = driver.find(WEB).uuid
    unfinished = place / names.unfinished_template(identity, "golden.qcow2")
    # Killed when it was whole and had not its name yet.
    with monkeypatch.context() as patch:
        patch.setattr("os.link", _broken)
        patch.setattr(Path, "unlink", _left)
        patch.setattr(LibvirtDriver, "_remove_from_pool", _left)
        with pytest.raises(Broken):
            driver.capture(WEB, GOLDEN)
    assert (driver.template(WEB, GOLDEN), unfinished.exists()) == (None, True)
    done = ensure_template(driver, WEB, GOLDEN, dry_run=False)
    assert (done.changed, done.template.size_mib) == (True, peer.template_mib)
    assert peer.files(driver) == before | {"golden.qcow2"}
    assert ensure_template(driver, WEB, GOLDEN, dry_run=False).changed is False
    with monkeypatch.context() as patch:
        # As while it makes another volume in the pool, and does not read the pool again.
        patch.setattr(
            "ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.capturing._volume", _none
        )
        assert driver.template(WEB, GOLDEN) == done.template
    # Killed in mid-copy, and libvirt has not seen the file.
    (place / names.unfinished_template(identity, "other.qcow2")).write_bytes(b"half")
    driver.capture(WEB, WantedTemplate(name="other"))
    assert peer.files(driver) == before | {"golden.qcow2", "other.qcow2"}
    # Somebody has put something else there since.
    (place / "golden.qcow2").write_bytes(b"else")
    with pytest.raises(Conflict, match="not made by this"):
        ensure_template(driver, WEB, GOLDEN, dry_run=False)


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.parametrize("snapshot", [None, "before"])
def test_here_it_is_told_how_far_the_copy_is(
    qemu: tuple[LibvirtPeer, LibvirtDriver, Path], monkeypatch: pytest.MonkeyPatch, told: Path, snapshot: str | None
):
    peer, driver, place = qemu
    if snapshot:
        driver.create_snapshot(WEB, WantedSnapshot(name=snapshot))
    name = "_copy_out_of_snapshot" if snapshot else "_copy"
    real, aside = getattr(capturing, name), place / names.unfinished_template(driver.find(WEB).uuid, "golden.qcow2")

    def slow(*arguments: Any) -> Any:
        aside.write_bytes(b"x" * 2 * 1024 * 1024)
        wait_until(told.exists, 20, "a word of the copy")
        aside.unlink()
        return real(*arguments)

    monkeypatch.setattr(capturing, name, slow)
    want = WantedTemplate(name="golden", snapshot=snapshot)
    assert ensure_template(driver, WEB, want, dry_run=False).template.size_mib == peer.template_mib
    assert json.loads(told.read_text())["done"] > 0


@pytest.mark.qemu
@pytest.mark.slow
def test_here_a_name_that_is_taken_meanwhile_is_a_conflict_and_a_half_file_goes_with_its_vm(
    qemu: tuple[LibvirtPeer, LibvirtDriver, Path], monkeypatch: pytest.MonkeyPatch
):
    peer, driver, place = qemu
    real = captures.note

    def note(domain: libvirt.virDomain, told: captures.Captured) -> None:
        real(domain, told)
        (place / "golden.qcow2").write_bytes(b"theirs")

    with monkeypatch.context() as patch:
        patch.setattr(captures, "note", note)
        with pytest.raises(Conflict, match="not made by this"):
            driver.capture(WEB, GOLDEN)
    assert (place / "golden.qcow2").read_bytes() == b"theirs"
    make_volume(driver, peer.pool, names.unfinished_template(driver.find(WEB).uuid, "other.qcow2"))
    ensure_absent(driver, WEB, dry_run=False)
    assert peer.files(driver) == {"template.qcow2", "golden.qcow2"}


def _none(*_said: object) -> None:
    """libvirt does not know it."""


def _broken(*_said: object) -> None:
    raise Broken


def _left(*_said: object, **_more: object) -> None:
    """Nobody is there to remove it."""
