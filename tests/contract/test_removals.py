# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes with a VM that is removed, and what stays: disks that Millwright did not make, and what stands on disks."""

from __future__ import annotations

import pytest
from peers import Peer, definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import NOT_OURS, VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Conflict
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

WEB = VmRef(name="web")


def made(driver: VmDriver, peer: Peer, name: str = "web") -> VmDefinition:
    """A VM that nothing can be linked to but by hand: its disk is its own."""
    want = definition(peer, name, disks=[{"name": "root", "size_mib": 4, "pool": peer.pool}], nics=[])
    driver.create(want)
    return want


def has(peer: Peer, driver: VmDriver, path: str) -> bool:
    return path.rpartition("/")[2] in {file.rpartition("/")[2] for file in peer.files(driver)}


def test_a_disk_of_somebody_elses_stays_and_is_named(peer: Peer, driver: VmDriver):
    theirs = peer.attach_foreign(driver, made(driver, peer))
    plan = ensure_absent(driver, WEB, dry_run=True)
    done = ensure_absent(driver, WEB, dry_run=False)
    assert plan.kept == done.kept
    assert [(disk.path, disk.why) for disk in done.kept] == [(theirs, NOT_OURS)]
    assert done.to_dict()["kept"] == [{"path": theirs, "why": NOT_OURS}]
    assert (driver.find(WEB), has(peer, driver, theirs)) == (None, True)
    again = ensure_absent(driver, WEB, dry_run=False)
    assert (again.changed, again.kept) == (False, ())


def test_a_disk_of_somebody_elses_goes_if_that_is_wanted(peer: Peer, driver: VmDriver):
    files = peer.files(driver)
    want = made(driver, peer)
    ours = peer.files(driver) - files
    theirs = peer.attach_foreign(driver, want)
    plan = ensure_absent(driver, WEB, dry_run=True, foreign_disks=True)
    assert (plan.changed, plan.kept, has(peer, driver, theirs)) == (True, (), True)
    done = ensure_absent(driver, WEB, dry_run=False, foreign_disks=True)
    assert (done.changed, done.kept) == (True, ())
    assert (driver.find(WEB), peer.files(driver) & ours, has(peer, driver, theirs)) == (None, set(), False)
    assert not ensure_absent(driver, WEB, dry_run=False, foreign_disks=True).changed


def test_a_disk_that_another_vm_has_stays_whatever_is_wanted(peer: Peer, driver: VmDriver):
    theirs = peer.attach_foreign(driver, made(driver, peer))
    other = made(driver, peer, "db")
    peer.attach(driver, other, theirs)
    for dry_run in (True, False):
        done = ensure_absent(driver, WEB, dry_run=dry_run, foreign_disks=True)
        assert [disk.path for disk in done.kept] == [theirs]
        assert "'db' has it as well" in done.kept[0].why
        assert "it goes with the last of them" in done.kept[0].why
    assert (driver.find(WEB), has(peer, driver, theirs)) == (None, True)
    assert ensure_absent(driver, VmRef.of(other), dry_run=False, foreign_disks=True).kept == ()
    assert not has(peer, driver, theirs)


@pytest.mark.parametrize("foreign_disks", [False, True])
def test_a_vm_on_whose_disk_another_one_stands_is_not_deleted(peer: Peer, driver: VmDriver, foreign_disks: bool):
    peer.make_overlay(driver, made(driver, peer), "leech")
    files = peer.files(driver)
    for attempt in (
        lambda: ensure_absent(driver, WEB, dry_run=True, foreign_disks=foreign_disks),
        lambda: ensure_absent(driver, WEB, dry_run=False, foreign_disks=foreign_disks),
        lambda: driver.delete(WEB, foreign_disks=foreign_disks),
    ):
        with pytest.raises(Conflict, match=r"'leech' .*'web'") as refused:
            attempt()
        assert not refused.value.begun
    assert driver.find(WEB) is not None
    assert peer.files(driver) == files


def test_a_linked_vm_is_deleted_whatever_stands_on_its_template(peer: Peer, driver: VmDriver):
    for name in ("web", "db"):
        driver.create(definition(peer, name))
    assert ensure_absent(driver, WEB, dry_run=False).changed
    assert ensure_absent(driver, VmRef(name="db"), dry_run=False).changed
