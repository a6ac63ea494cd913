# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots and templates of a real VM, asked of the API and carried out at libvirt."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.sites import Site, real
from tools.guest.pool import GuestPool, host
from webapi.cli.client import Json

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

BEFORE, AFTER = "0x11", "0x22"


class Disk:
    """The disk of a VM that is off, as whoever runs its host sees it."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, pattern: str) -> None:
        self._ask(f"write -P {pattern} 0 64k")

    def holds(self, pattern: str) -> bool:
        return "verification failed" not in self._ask(f"read -P {pattern} 0 64k")

    def _ask(self, command: str) -> str:
        words = ["qemu-io", "-f", "qcow2", "-c", command, str(self.path)]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def done(site: Site, task: Json) -> None:
    ended = site.ended(task)
    assert ended["state"] == "FINISHED_SUCCESSFULLY", ended


def listed(site: Site, vm: Json) -> list[str]:
    return [one["name"] for one in site.client.get(f"/vms/{vm['id']}/snapshots")["items"]]


def test_a_vm_goes_back_to_its_snapshot_and_becomes_a_template(site: Site, guest_pool: GuestPool):
    site.register("libvirt", "qemu:///system")
    shop = site.appliance([real("web", guest_pool)], type="libvirt", template=guest_pool.template)
    done(site, site.deploy(shop))
    [vm] = site.vms(shop)
    this = f"/vms/{vm['id']}"
    done(site, site.client.post(f"{this}/power", {"action": "off"}))
    disk = Disk(Path(guest_pool.target) / f"{vm['id']}-root.qcow2")

    disk.write(BEFORE)
    done(site, site.client.post(f"{this}/snapshots", {"name": "before"}))
    assert listed(site, vm) == ["before"]
    disk.write(AFTER)
    done(site, site.client.post(f"{this}/snapshots/before/revert"))
    assert disk.holds(BEFORE)

    with host() as connection:
        domain = connection.lookupByUUIDString(vm["id"])
        domain.snapshotLookupByName("before").delete()
        domain.snapshotCreateXML("<domainsnapshot><name>by-hand</name></domainsnapshot>")
    done(site, site.client.post(f"{this}/refresh"))
    assert listed(site, vm) == ["by-hand"]
    done(site, site.client.delete_later(f"{this}/snapshots/by-hand"))
    assert listed(site, vm) == []

    done(site, site.client.post(f"{this}/capture", {"name": "golden"}))
    [template] = site.client.get("/templates", name="golden")["items"]
    golden = Path(guest_pool.target) / template["path"]
    assert Disk(golden).holds(BEFORE)
    site.client.delete(f"/templates/{template['id']}")
    again = site.ended(site.client.post(f"{this}/capture", {"name": "golden"}))
    [job] = again["children"]
    assert (again["state"], job["error"]["code"]) == ("FINISHED_UNSUCCESSFULLY", "driver.conflict")
    assert site.states(shop) == {"web": "OFF"}

    done(site, site.undeploy(shop))
    assert (guest_pool.domains(), guest_pool.volumes()) == ({}, {golden.name})
