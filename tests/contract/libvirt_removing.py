# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM with disks of others at libvirt, for the tests of its removal."""

from __future__ import annotations

import libvirt
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

WEB = VmRef(name="web")


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
