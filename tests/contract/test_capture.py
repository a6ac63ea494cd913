# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of drivers that make templates, over all that say so; and that a template at libvirt is whole."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from libvirt_peers import POOLS, libvirt_qemu
from peers import Peer, definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Capability, VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.capture import CaptureDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Conflict,
    DriverError,
    InvalidTransition,
    NotFound,
    VmNotFound,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent
from ansible_collections.millwright.virt.plugins.module_utils.ensure_template import ensure_template
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate

WEB = VmRef(name="web")
GOLDEN = WantedTemplate(name="golden")


@pytest.fixture
def able(peer: Peer, driver: VmDriver) -> CaptureDriver:
    """A driver that makes templates, and a VM that is off."""
    if Capability.CAPTURE not in driver.capabilities:
        pytest.skip("no templates of VMs here")
    driver.create(definition(peer))
    return driver


@pytest.mark.parametrize("image_format", DiskFormat)
def test_a_template_is_made_once_and_makes_vms_when_its_vm_is_gone(peer: Peer, able: CaptureDriver, image_format):
    before, files = able.find(WEB), peer.files(able)
    want = WantedTemplate(name="golden", format=image_format)
    plan = ensure_template(able, WEB, want, dry_run=True)
    assert (plan.changed, plan.template, peer.files(able)) == (True, None, files)
    done = ensure_template(able, WEB, want, dry_run=False)
    assert plan.to_dict()["diff"] == done.to_dict()["diff"]
    assert (done.template.name, done.template.pool) == (f"golden.{image_format.value}", peer.pool)
    assert done.template.size_mib == peer.template_mib
    made = peer.files(able) - files
    assert made
    assert all(peer.is_of_template(file, done.template.name) for file in made)
    assert peer.files(able) == files | made
    again = ensure_template(able, WEB, want, dry_run=False)
    assert (again.changed, again.template) == (False, done.template)
    assert able.find(WEB) == before
    ensure_absent(able, WEB, dry_run=False)
    made_of_it = {"template": done.template.name, "template_format": image_format.value, "pool": peer.pool}
    other = definition(peer, "other", disks=[made_of_it])
    able.create(other)
    assert changes(able.find(VmRef(name="other")).definition, other) == ()


@pytest.mark.parametrize("action", [PowerAction.ON, PowerAction.PAUSE])
def test_a_vm_must_be_off(able: CaptureDriver, action: PowerAction):
    for step in {PowerAction.ON: 1, action: 2}:
        able.power(WEB, step, 60)
    for attempt in (able.check_capture, able.capture):
        with pytest.raises(InvalidTransition, match="web") as refused:
            attempt(WEB, GOLDEN)
        assert refused.value.begun is False
    assert able.template(WEB, GOLDEN) is None


LACKING = {
    "disk": WantedTemplate(name="golden", disk="no-such-disk"),
    "pool": WantedTemplate(name="golden", pool="no-such-pool"),
}


@pytest.mark.parametrize("what", LACKING)
def test_what_is_not_there_is_named(peer: Peer, able: CaptureDriver, what: str):
    there = {"disk": "root", "pool": peer.pool}[what]
    for dry_run in (True, False):
        with pytest.raises(NotFound, match=f"no-such-{what}.*{there}"):
            ensure_template(able, WEB, LACKING[what], dry_run=dry_run)


def test_a_vm_that_is_not_there_makes_no_template(able: CaptureDriver):
    with pytest.raises(VmNotFound, match="nobody"):
        ensure_template(able, VmRef(name="nobody"), GOLDEN, dry_run=True)


def test_a_name_that_is_taken_is_a_conflict_for_who_did_not_look(able: CaptureDriver):
    able.capture(WEB, GOLDEN)
    with pytest.raises(Conflict, match=r"golden\.qcow2"):
        able.capture(WEB, GOLDEN)


@pytest.fixture
def telling(able: CaptureDriver) -> CaptureDriver:
    """A driver that tells its work from what else has the name."""
    if able.hypervisor_type == "vsphere":
        pytest.skip("vSphere takes any template of the name for the one")
    return able


def test_a_template_of_something_else_is_a_conflict_and_stays(peer: Peer, telling: CaptureDriver):
    telling.create(definition(peer, "other"))
    telling.capture(VmRef(name="other"), GOLDEN)
    files = peer.files(telling)
    for dry_run in (True, False):
        with pytest.raises(Conflict, match=r"golden\.qcow2") as refused:
            ensure_template(telling, WEB, GOLDEN, dry_run=dry_run)
        assert refused.value.begun is False
    assert peer.files(telling) == files
    assert telling.template(WEB, GOLDEN) is None


def test_a_template_of_another_disk_is_not_the_one(peer: Peer, driver: VmDriver):
    if Capability.CAPTURE not in driver.capabilities or driver.hypervisor_type == "vsphere":
        pytest.skip("no templates of VMs here, or not told apart")
    disks = [{"name": name, "size_mib": peer.template_mib, "pool": peer.pool} for name in ("root", "data")]
    driver.create(definition(peer, disks=disks))
    ensure_template(driver, WEB, WantedTemplate(name="golden", disk="data"), dry_run=False)
    with pytest.raises(Conflict):
        ensure_template(driver, WEB, GOLDEN, dry_run=True)


def test_a_wish_that_comes_again_is_told_from_another_of_the_same_name(telling: CaptureDriver):
    first, second = (WantedTemplate(name="golden", made_for=job) for job in ("job-1", "job-2"))
    assert ensure_template(telling, WEB, first, dry_run=False).changed is True
    assert ensure_template(telling, WEB, first, dry_run=False).changed is False
    assert ensure_template(telling, WEB, GOLDEN, dry_run=False).changed is False
    with pytest.raises(Conflict):
        ensure_template(telling, WEB, second, dry_run=True)


def _info(image: Path) -> dict[str, object]:
    told = subprocess.run(["qemu-img", "info", "--output=json", image], check=True, capture_output=True, text=True)
    return json.loads(told.stdout)


def _io(disk: Path, command: str) -> str:
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, disk], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.qemu
@pytest.mark.slow
def test_a_template_is_flat_and_holds_what_the_disk_holds_or_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with libvirt_qemu(tmp_path) as peer, open_driver(peer.connection) as driver:
        want, place = definition(peer), POOLS / peer.pool
        driver.create(want)
        disk = place / f"{want.identity}-root.qcow2"
        _io(disk, "write -P 0x11 0 64k")
        driver.create_snapshot(WEB, WantedSnapshot(name="old"))
        _io(disk, "write -P 0x22 0 64k")
        for name, snapshot, pattern in (("now", None, "0x22"), ("then", "old", "0x11")):
            driver.capture(WEB, WantedTemplate(name=name, snapshot=snapshot))
            image = place / f"{name}.qcow2"
            assert not {"backing-filename", "snapshots"} & _info(image).keys()
            assert "verification failed" not in _io(image, f"read -P {pattern} 0 64k")
        with pytest.raises(NotFound, match=r"'older'.*old"):
            driver.capture(WEB, WantedTemplate(name="never", snapshot="older"))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(DriverError, match="qemu-img"):
            driver.capture(WEB, WantedTemplate(name="never", snapshot="old"))
        assert not list(place.glob("*never*"))
