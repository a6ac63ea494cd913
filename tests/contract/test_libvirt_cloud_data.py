# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other data for cloud-init at libvirt: another image in the same drive."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
import pycdlib
import pytest
from libvirt_peers import RealOne
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Conflict,
    DriverError,
    InvalidTransition,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.devices import Domain, seed_node
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

WEB = VmRef(name="web")
OLD = {"user_data": "#cloud-config\npassword: canary-1\n"}
NEW = {"user_data": "#cloud-config\npassword: canary-2\n"}


def wanted(driver: LibvirtDriver, cloud_init: dict[str, str], bus: str = "virtio", **more: Any) -> VmDefinition:
    disk = {"name": "root", "size_mib": 8, "pool": driver.peer.pool, "bus": bus}
    return definition(driver.peer, disks=[disk], cloud_init=cloud_init, **more)


def image_of(driver: LibvirtDriver, flags: int = libvirt.VIR_DOMAIN_XML_INACTIVE) -> Path:
    """What is in the drive."""
    drive = seed_node(Domain(driver._connection.lookupByName("web").XMLDesc(flags)).root)
    return Path(drive.find("source").get("file"))


def images(driver: LibvirtDriver) -> set[str]:
    return {name for name in driver.peer.files(driver) if "cloud-init" in name}


def text_in(image: Path, name: str = "user-data") -> str:
    read, disc = io.BytesIO(), pycdlib.PyCdlib()
    disc.open(str(image))
    disc.get_file_from_iso_fp(read, joliet_path=f"/{name}")
    disc.close()
    return read.getvalue().decode()


@pytest.mark.parametrize("bus", ["virtio", "scsi", "sata"])
def test_the_new_data_are_in_the_same_drive_and_the_old_image_is_gone(qemu: LibvirtDriver, bus: str):
    want = wanted(qemu, OLD, bus)
    qemu.create(want)
    before = image_of(qemu)
    drive = seed_node(Domain(qemu._connection.lookupByName("web").XMLDesc(0)).root).find("target").attrib
    ensure_present(qemu, wanted(qemu, {**NEW, "meta_data": "instance-id: two\n"}, bus), dry_run=False)
    image = image_of(qemu)
    assert image != before
    assert image.name.startswith(f"{want.identity}-")
    assert images(qemu) == {image.name}
    assert (text_in(image), text_in(image, "meta-data")) == (NEW["user_data"], "instance-id: two\n")
    assert seed_node(Domain(qemu._connection.lookupByName("web").XMLDesc(0)).root).find("target").attrib == drive
    qemu.power(WEB, PowerAction.ON, 60)


def test_user_data_that_nothing_is_said_of_are_those_of_the_old_image(qemu: LibvirtDriver):
    qemu.create(wanted(qemu, OLD))
    ensure_present(qemu, wanted(qemu, {"meta_data": "instance-id: two\n"}), dry_run=False)
    assert text_in(image_of(qemu)) == OLD["user_data"]
    assert text_in(image_of(qemu), "meta-data") == "instance-id: two\n"


def test_user_data_that_nobody_knows_any_more_have_to_be_said(qemu: LibvirtDriver):
    qemu.create(wanted(qemu, OLD))
    image_of(qemu).write_bytes(b"no image")
    for dry_run in (True, False):
        with pytest.raises(Conflict, match=r"say cloud_init\.user_data as well") as refused:
            ensure_present(qemu, wanted(qemu, {"meta_data": "instance-id: two\n"}), dry_run=dry_run)
        assert not refused.value.begun
    assert ensure_present(qemu, wanted(qemu, {**NEW, "meta_data": "instance-id: two\n"}), dry_run=False).changed
    assert text_in(image_of(qemu)) == NEW["user_data"]


def test_a_guest_that_runs_gets_them_where_its_drive_takes_discs(qemu: LibvirtDriver):
    qemu.create(wanted(qemu, OLD, "sata"))
    qemu.power(WEB, PowerAction.ON, 60)
    done = ensure_present(qemu, wanted(qemu, NEW, "sata"), dry_run=False)
    assert done.hot == ("cloud_init.user_data",)
    image = image_of(qemu)
    assert image == image_of(qemu, 0)
    assert images(qemu) == {image.name}
    assert text_in(image) == NEW["user_data"]
    assert not ensure_present(qemu, wanted(qemu, NEW, "sata"), dry_run=False).changed
    qemu.power(WEB, PowerAction.OFF, 60)
    qemu.power(WEB, PowerAction.ON, 60)


def test_a_guest_that_runs_with_another_drive_keeps_them(qemu: LibvirtDriver):
    qemu.create(wanted(qemu, OLD))
    qemu.power(WEB, PowerAction.ON, 60)
    before = images(qemu)
    with pytest.raises(InvalidTransition, match=r"changing cloud_init\.user_data needs it powered off"):
        ensure_present(qemu, wanted(qemu, NEW), dry_run=False)
    assert images(qemu) == before


class KeepsItsDefinition(RealOne):
    """A connection whose hypervisor refuses a new definition while a guest runs with the new disc already."""

    def defineXML(self, xml: str) -> libvirt.virDomain:
        if "new" in xml:
            xml = xml.replace("<memory ", "<memory-of-an-elephant ")
        return self._real.defineXML(xml)


def test_a_hot_change_that_fails_gives_the_guest_the_old_disc_back(qemu: LibvirtDriver):
    qemu.create(wanted(qemu, OLD, "sata"))
    qemu.power(WEB, PowerAction.ON, 60)
    before, files, image = qemu.find(WEB), images(qemu), image_of(qemu)
    want = wanted(qemu, NEW, "sata", description="new")
    with qemu.peer._instead(qemu, KeepsItsDefinition(qemu._connection)), pytest.raises(DriverError) as failed:
        ensure_present(qemu, want, dry_run=False)
    assert (failed.value.begun, failed.value.left) == (True, ())
    assert (image_of(qemu), image_of(qemu, 0)) == (image, image)
    assert (qemu.find(WEB).definition, images(qemu)) == (before.definition, files)
    assert text_in(image) == OLD["user_data"]


def test_an_image_that_a_killed_change_left_goes_with_the_next(qemu: LibvirtDriver):
    want = wanted(qemu, OLD)
    qemu.create(want)
    qemu.peer._volume(qemu, f"{want.identity}-cloud-init-0123abcd.iso")
    ensure_present(qemu, wanted(qemu, NEW), dry_run=False)
    assert images(qemu) == {image_of(qemu).name}


def test_an_image_that_a_killed_change_left_goes_without_another_change_and_one_that_was_taken_out_stays(
    qemu: LibvirtDriver,
):
    want = wanted(qemu, OLD)
    qemu.create(want)
    before, stale = images(qemu), f"{want.identity}-cloud-init-0123abcd.iso"
    qemu.peer._volume(qemu, stale)
    for dry_run in (True, False):
        done = ensure_present(qemu, want, dry_run=dry_run)
        assert (done.changed, done.changes, done.removed) == (True, (), (stale,))
    assert images(qemu) == before
    told = Domain(qemu._connection.lookupByName("web").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    told.root.find("devices").remove(seed_node(told.root))
    qemu._connection.defineXML(ElementTree.tostring(told.root, encoding="unicode"))
    qemu.remove_residue(WEB)
    assert (qemu.residue(WEB), images(qemu)) == ((), before)


def test_a_drive_that_somebody_took_out_comes_back_with_its_data(qemu: LibvirtDriver):
    want = wanted(qemu, OLD)
    qemu.create(want)
    xml = qemu._connection.lookupByName("web").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    told = Domain(xml)
    told.root.find("devices").remove(seed_node(told.root))
    qemu._connection.defineXML(ElementTree.tostring(told.root, encoding="unicode"))
    done = ensure_present(qemu, want, dry_run=False)
    assert [change.path for change in done.changes] == ["cloud_init"]
    assert images(qemu) == {image_of(qemu).name}
    assert text_in(image_of(qemu)) == OLD["user_data"]
    assert changes(qemu.find(WEB).definition, want) == ()
