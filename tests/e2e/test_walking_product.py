# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walking product: from a request to the API to machines at a hypervisor, and back."""

from __future__ import annotations

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import most_at_once
from tests.e2e.sites import real, small
from tests.waiting import wait_until
from tools.guest.pool import GuestPool

BOOT_TIMEOUT = 120

VMS = ("web", "app", "db")


def test_an_appliance_of_three_vms_is_deployed_and_undeployed(site):
    fake = site.fake()
    shop = site.appliance([small(name) for name in VMS])

    task = site.ended(site.deploy(shop))

    assert task["state"] == "FINISHED_SUCCESSFULLY"
    assert site.states(shop) == dict.fromkeys(VMS, "ON")
    assert site.client.get(f"/virtualappliances/{shop['id']}")["state"] == "DEPLOYED"
    native = sorted(vm["native_name"] for vm in site.vms(shop))
    assert sorted(fake.finished("create")) == sorted(fake.finished("power_on")) == native

    assert site.ended(site.undeploy(shop))["state"] == "FINISHED_SUCCESSFULLY"
    assert site.states(shop) == dict.fromkeys(VMS, "NOT_ALLOCATED")
    assert (fake.machines, fake.volumes) == ({}, [])


def test_a_hypervisor_never_sees_more_operations_at_once_than_its_open_sessions(site):
    fake = site.fake(open_sessions=2)
    fake.store.tell({"delays": {"create": 1, "power_on": 1}})
    task = site.ended(site.deploy(site.appliance([small(f"vm{number}") for number in range(3)])))
    assert task["state"] == "FINISHED_SUCCESSFULLY"
    spans = [span for span in fake.store.operations() if span.operation in ("create", "power_on")]
    assert most_at_once(spans) == 2


def test_a_running_vm_is_paused_resumed_reconfigured_and_shut_down(site):
    site.fake()
    shop = site.appliance([small("web")])
    site.ended(site.deploy(shop))
    (vm,) = site.vms(shop)

    def power(action: str) -> str:
        site.ended(site.client.post(f"/vms/{vm['id']}/power", {"action": action}))
        return site.states(shop)["web"]

    assert [power(action) for action in ("pause", "resume", "shutdown")] == ["PAUSED", "ON", "OFF"]
    wanted = {**site.vms(shop)[0]["definition"], "memory_mib": 256}
    assert site.ended(site.client.put(f"/vms/{vm['id']}", {"definition": wanted}))["state"] == "FINISHED_SUCCESSFULLY"
    assert site.vms(shop)[0]["definition"]["memory_mib"] == 256


@pytest.mark.qemu
@pytest.mark.slow
def test_real_guests_boot_shut_down_when_asked_and_leave_nothing(site, guest_pool: GuestPool):
    assert site.register("libvirt", "qemu:///system")["state"] == "MANAGED"
    shop = site.appliance([real(name, guest_pool) for name in VMS], type="libvirt", template=guest_pool.template)

    assert site.ended(site.deploy(shop))["state"] == "FINISHED_SUCCESSFULLY"
    ids = {vm["id"] for vm in site.vms(shop)}
    wait_until(lambda: _saying(guest_pool, "UP") == ids, BOOT_TIMEOUT, "three guests to say that they are up")

    tasks = [
        site.client.post(f"/vms/{vm}/power", {"action": "shutdown", "timeout": BOOT_TIMEOUT}) for vm in sorted(ids)
    ]
    assert {site.ended(task)["state"] for task in tasks} == {"FINISHED_SUCCESSFULLY"}
    assert _saying(guest_pool, "DOWN") == ids
    assert site.states(shop) == dict.fromkeys(VMS, "OFF")

    assert site.ended(site.undeploy(shop))["state"] == "FINISHED_SUCCESSFULLY"
    assert (guest_pool.domains(), guest_pool.volumes()) == ({}, set())


def _saying(pool: GuestPool, word: str) -> set[str]:
    return {vm for vm, text in pool.consoles().items() if f"MILLWRIGHT-GUEST-{word} {vm}" in text}
