# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds when something breaks on the way: nothing is lost, nothing is left, nothing stays locked."""

from __future__ import annotations

import signal

import pika
import pytest

from runner_service.contract.topology import REQUESTS_EXCHANGE, Topology
from tests.e2e.sites import jobs, real, small
from tests.waiting import wait_until
from tools.guest.pool import GuestPool

VMS = ("web", "app", "db")


def _kill(site) -> None:
    """As if the power had failed: the runner and all that it had started."""
    site.house.runner.stop(signal.SIGKILL)


def test_a_runner_that_is_killed_in_mid_deploy_and_started_again_ends_with_all_on_and_nothing_double(site):
    fake = site.fake()
    fake.store.tell({"delays": {"create": 3}})
    shop = site.appliance([small(name) for name in VMS])
    task = site.deploy(shop)
    wait_until(lambda: fake.begun("create"), 60, "the first VM to be in the making")

    _kill(site)
    fake.store.tell({})
    site.start_runner()

    assert site.ended(task)["state"] == "FINISHED_SUCCESSFULLY"
    vms = site.vms(shop)
    assert site.states(shop) == dict.fromkeys(VMS, "ON")
    assert fake.machines == {vm["native_name"]: "on" for vm in vms}
    assert fake.volumes == sorted(f"{vm['id']}-{end}" for vm in vms for end in ("root.qcow2", "serial.log"))
    assert site.is_unlocked(shop)


@pytest.mark.qemu
@pytest.mark.slow
def test_a_runner_that_is_killed_leaves_no_real_vm_or_disk_double(site, guest_pool: GuestPool):
    site.register("libvirt", "qemu:///system")
    shop = site.appliance([real(name, guest_pool) for name in VMS], type="libvirt", template=guest_pool.template)
    task = site.deploy(shop)
    wait_until(lambda: guest_pool.volumes(), 60, "the first disk to be made")

    _kill(site)
    site.start_runner()

    assert site.ended(task)["state"] == "FINISHED_SUCCESSFULLY"
    vms = site.vms(shop)
    assert guest_pool.domains() == {vm["native_name"]: True for vm in vms}
    assert guest_pool.volumes() == {f"{vm['id']}-{end}" for vm in vms for end in ("root.qcow2", "serial.log")}
    site.ended(site.undeploy(shop))
    assert (guest_pool.domains(), guest_pool.volumes()) == ({}, set())


def test_a_deploy_whose_second_step_fails_leaves_nothing_and_does_not_touch_the_others(site):
    fake = site.fake()
    fake.store.tell({"failures": [{"operation": "power_on", "vm": "web-*", "error": "driver.failed"}]})
    shop = site.appliance([small(name) for name in VMS])

    task = site.ended(site.deploy(shop))

    assert task["state"] == "FINISHED_UNSUCCESSFULLY"
    assert site.states(shop) == {"web": "NOT_ALLOCATED", "app": "ON", "db": "ON"}
    assert site.is_unlocked(shop)
    web = next(vm for vm in site.vms(shop) if vm["name"] == "web")
    assert not any(name.startswith("web-") for name in fake.machines)
    assert not any(name.startswith(web["id"]) for name in fake.volumes)
    configure, power_on = (job for job in jobs(task) if job["vm_id"] == web["id"])
    assert (configure["state"], configure["rollback_state"]) == ("DONE", "DONE")
    assert (power_on["state"], power_on["error"]["code"]) == ("FAILED", "driver.failed")
    assert "behaviour.json says so" in power_on["error"]["detail"]


def test_a_hypervisor_that_stops_answering_fails_the_job_and_unlocks_the_vm(site):
    fake = site.fake()
    fake.store.tell({"unreachable": True})
    shop = site.appliance([small("web")])

    task = site.ended(site.deploy(shop))

    assert task["state"] == "FINISHED_UNSUCCESSFULLY"
    error = next(job["error"] for job in jobs(task) if job["error"])
    assert error["code"] == "driver.unreachable"
    assert fake.url in error["message"]
    assert site.is_unlocked(shop)
    # It was never reached: nothing can be left there, and the VM is as before.
    assert site.states(shop) == {"web": "NOT_ALLOCATED"}
    assert fake.machines == {}


def test_a_hypervisor_that_never_answered_is_unreachable_with_the_sdks_own_words(site):
    hypervisor = site.register("libvirt", "qemu+tcp://127.0.0.1:9/system")
    assert hypervisor["state"] == "UNREACHABLE"
    assert hypervisor["error"]["code"] == "driver.unreachable"
    assert "127.0.0.1" in hypervisor["error"]["message"]
    assert "refused" in hypervisor["error"]["detail"]


def test_a_message_that_nobody_can_read_is_among_the_dead_letters_with_its_reason(site):
    site.fake()
    topology = Topology(site.datacenter["id"], site.datacenter["partitions"])
    with pika.BlockingConnection(pika.URLParameters(site.house.services.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(REQUESTS_EXCHANGE, topology.in_queue(0), b"{ not a request", mandatory=True)

    def dead():
        return site.client.get("/deadletters", datacenter_id=site.datacenter["id"])["items"]

    [letter] = wait_until(dead, 60, "the message to be among the dead letters")
    assert "not JSON" in letter["reason"]
    assert site.client.get(f"/deadletters/{letter['id']}")["body"] == "{ not a request"
