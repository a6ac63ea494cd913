# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What depends on a real database: locks, races, and text."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from sqlalchemy import TextClause, select, text

from runner_service.contract.operations import Operation
from tests.webapi_world import World, small
from webapi.database import db
from webapi.models import Request
from webapi.services import endings


def _at_once(world: World, paths: list[str]) -> list[dict]:
    """The answers to requests that are sent at the same time."""

    def post(path: str) -> dict:
        headers = {"Authorization": f"Bearer {world.token}"}
        response = world.app.test_client().post(f"/api/v1{path}", headers=headers)
        return {"status": response.status_code, "code": response.json.get("code")}

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(post, paths))


def test_of_two_deploys_of_one_vm_at_once_one_is_granted(world: World):
    [vm] = world.site("web")["vms"]
    for _ in range(5):
        answers = _at_once(world, [f"/vms/{vm['id']}/deploy"] * 2)
        assert sorted(answer["status"] for answer in answers) == [202, 409]
        assert {answer["code"] for answer in answers} == {None, "vm.locked"}
        [task] = world.get(f"/tasks?owner_id={vm['id']}&state=QUEUED")["items"]
        world.carry_out(task, failing=[Operation.CONFIGURE])


def test_vms_that_are_deployed_at_once_never_take_more_memory_than_there_is(world: World):
    datacenter = world.datacenter()
    for _ in range(2):
        world.hypervisor(datacenter, memory_mib=200)
    vdc = world.vdc(datacenter)
    vms = world.appliance(vdc, *(small(f"vm{number}", memory_mib=100) for number in range(8)))["vms"]

    answers = _at_once(world, [f"/vms/{vm['id']}/deploy" for vm in vms])

    assert sorted(answer["status"] for answer in answers) == [202] * 4 + [409] * 4
    hosts = [world.vm(vm)["hypervisor_id"] for vm in vms]
    assert all(hosts.count(host) == 2 for host in set(hosts) - {None})


def test_an_appliance_and_one_of_its_vms_are_not_deployed_at_once(world: World):
    shop = world.site("a", "b", "c")
    one = f"/vms/{shop['vms'][1]['id']}/deploy"
    answers = _at_once(world, [f"/virtualappliances/{shop['id']}/deploy", one])
    assert sorted(answer["status"] for answer in answers) == [202, 409]


def test_names_that_differ_in_case_accents_or_spaces_are_different_names(world: World):
    shop = world.site("web", "Web", "wéb", "we b", "🜚")
    for vm in shop["vms"]:
        [found] = world.ask("GET", "/vms", query_string={"name": vm["name"]}).json["items"]
        assert found["id"] == vm["id"]
    assert world.deployed(shop)["state"] == "DEPLOYED"


def test_moments_are_kept_to_the_microsecond_and_in_utc(world: World):
    made = world.post("/datacenters", {"name": "dc"})
    kept = world.get(f"/datacenters/{made['id']}")
    assert kept["created_at"] == made["created_at"]
    assert datetime.fromisoformat(kept["created_at"]).utcoffset().total_seconds() == 0
    assert any(
        datetime.fromisoformat(world.post("/datacenters", {"name": f"dc{number}"})["created_at"]).microsecond % 1000
        for number in range(3)
    )


def test_a_failed_deploy_leaves_rows_as_they_were_and_a_good_one_ends_on(world: World):
    shop = world.site("web", "db")
    world.carry_out(world.post(f"/virtualappliances/{shop['id']}/deploy"), failing=[Operation.POWER_ON])
    assert world.get(f"/virtualappliances/{shop['id']}")["state"] == "NOT_DEPLOYED"
    assert world.deployed(shop)["state"] == "DEPLOYED"


def test_a_thousand_vms_are_deployed_in_one_transaction_and_listed_page_by_page(world: World):
    datacenter = world.datacenter()
    world.hypervisor(datacenter, memory_mib=1_000_000)
    shop = world.appliance(world.vdc(datacenter), *(small(f"vm{number}", memory_mib=16) for number in range(1000)))
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    assert len(task["children"]) == 1000
    seen, after = 0, ""
    while after is not None:
        page = world.get(f"/vms?limit=200&state=ALLOCATED{after and '&after=' + after}")
        seen, after = seen + len(page["items"]), page["next"]
    assert seen == 1000


def test_requests_are_locked_in_the_order_of_their_numbers(world: World):
    """Whatever their ids are: who locks by number, as the outbox does, must not meet who locks the other way round."""
    shop = world.site("a", "b", "c", "d", "e", "f")
    world.post(f"/virtualappliances/{shop['id']}/deploy")
    with world.app.app_context():
        known = db.session.execute(select(Request.number, Request.id).filter_by(outcome=None)).all()
        first, second = next(
            (one, other) for one in known for other in known if one.number < other.number and one.id > other.id
        )
        engine = db.engine
    begun = threading.Event()

    def lock_both() -> None:
        with world.app.app_context():
            begun.set()
            endings.locked_requests([first.id, second.id])
            db.session.rollback()

    with engine.connect() as holder, engine.connect() as third, ThreadPoolExecutor(1) as pool:
        holder.execute(_lock(first.number))
        waiting = pool.submit(lock_both)
        assert begun.wait(10)
        time.sleep(0.5)
        assert not waiting.done()
        third.execute(_lock(second.number))  # It is free: who waits for the first has not got it.
        third.rollback()
        holder.rollback()
        waiting.result(10)


def _lock(number: int) -> TextClause:
    return text("SELECT number FROM requests WHERE number = :number FOR UPDATE NOWAIT").bindparams(number=number)
