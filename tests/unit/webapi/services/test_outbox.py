# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests are published in turn, and say so if they may have been published before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from runner_service.contract.messages import TaskRequest
from runner_service.contract.states import Event
from tests.webapi_world import Runner, World, small
from webapi.database import db, utc_now
from webapi.models import Request
from webapi.services import missing, outbox
from webapi.services.outbox import Outgoing


@pytest.fixture
def three(world: World) -> list[str]:
    """Requests that wait, in order."""
    shop = world.site("a", "b", "c")
    outbox.publish_pending(lambda _: None)
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    return [request.id for request in world.requests(task)]


def ids(published: list[Outgoing], three: list[str]) -> list[tuple[str, bool]]:
    return [(next(name for name in three if name.encode() in outgoing.body), outgoing.again) for outgoing in published]


def dying(after: int, published: list[Outgoing]) -> Callable[[Outgoing], None]:
    """Publishes so many, then the relay is killed."""

    def publish(outgoing: Outgoing) -> None:
        if len(published) == after:
            raise SystemExit
        published.append(outgoing)

    return publish


def test_what_was_never_set_about_is_published_as_such_in_order(three: list[str]):
    published: list[Outgoing] = []
    assert outbox.publish_pending(published.append) == 3
    assert ids(published, three) == [(name, False) for name in three]
    assert outbox.publish_pending(published.append) == 0


def test_what_a_dead_relay_had_set_about_is_published_as_perhaps_published_before(world: World, three: list[str]):
    with pytest.raises(SystemExit):
        outbox.publish_pending(dying(1, []))
    host = world.get("/hypervisors")["items"][0]
    later = world.requests(world.post(f"/hypervisors/{host['id']}/discover"))[0].id
    published: list[Outgoing] = []
    assert outbox.publish_pending(published.append) == 4
    assert ids(published, [*three, later]) == [*((name, True) for name in three), (later, False)]


def test_a_transaction_that_is_tried_again_publishes_again_as_such(three: list[str]):
    published: list[Outgoing] = []
    batch = outbox._set_about(utc_now())
    with pytest.raises(SystemExit):
        outbox._publish_marked(batch, dying(2, published))
    outbox._publish_marked(batch, published.append)
    assert [again for _, again in ids(published, three)] == [False, False, True, True, True]


def test_a_relay_whose_marks_another_one_has_replaced_knows_that_it_is_not_alone(three: list[str]):
    mine = outbox._set_about(utc_now())
    outbox._set_about(utc_now())
    published: list[Outgoing] = []
    outbox._publish_marked(mine, published.append)
    assert ids(published, three) == [(name, True) for name in three]


def test_what_came_between_marking_and_publishing_waits_for_the_next_round(world: World, three: list[str]):
    batch = outbox._set_about(utc_now())
    host = world.get("/hypervisors")["items"][0]
    world.post(f"/hypervisors/{host['id']}/discover")
    published: list[Outgoing] = []
    assert outbox._publish_marked(batch, published.append) == 3
    assert outbox.publish_pending(published.append) == 1
    assert not published[-1].again


def test_a_batch_is_marked_before_the_first_of_it_is_published(three: list[str]):
    def look(_: Outgoing) -> None:
        unmarked = select(Request).filter_by(publishing_at=None, published_at=None)
        assert db.session.scalars(unmarked).all() == []

    assert outbox.publish_pending(look) == 3


# -- turns


def tenants(published: list[Outgoing]) -> list[str]:
    return [TaskRequest.decode(outgoing.body).tenant for outgoing in published]


@pytest.fixture
def two_tenants(world: World) -> tuple[dict, dict]:
    """Appliances of two tenants on one hypervisor."""
    datacenter = world.datacenter()
    world.hypervisor(datacenter, memory_mib=100_000)
    outbox.publish_pending(lambda _: None)
    many = world.appliance(world.vdc(datacenter), *(small(f"vm{number}", memory_mib=16) for number in range(30)))
    return many, world.appliance(world.vdc(datacenter), small("web"))


def test_a_power_on_behind_many_deploys_of_another_tenant_goes_out_at_once(world: World, two_tenants):
    many, one = two_tenants
    world.deployed(one)
    deploy = world.post(f"/virtualappliances/{many['id']}/deploy")
    published: list[Outgoing] = []
    while outbox.publish_pending(published.append, window=9):
        pass
    assert len(published) == 3
    world.post(f"/vms/{one['vms'][0]['id']}/power", {"action": "reset"})
    assert outbox.publish_pending(published.append, window=9) == 1
    assert tenants(published)[-1] == one["virtualdatacenter_id"]
    # What ends makes room for the next.
    world.runner(deploy).work()
    assert outbox.publish_pending(published.append, window=9) == 1
    assert tenants(published)[-1] == many["virtualdatacenter_id"]


def test_what_is_lost_takes_nobodys_turn_and_what_is_only_missing_may_come_yet(world: World, two_tenants):
    world.post(f"/virtualappliances/{two_tenants[0]['id']}/deploy")
    while outbox.publish_pending(lambda _: None, window=9):
        pass
    for missing_for, published in ((missing.LOST_AFTER / 2, 0), (missing.LOST_AFTER * 2, 3)):
        out = update(Request).where(Request.published_at.is_not(None))
        db.session.execute(out.values(missing_since=utc_now() - missing_for))
        db.session.commit()
        bodies: list[Outgoing] = []
        while outbox.publish_pending(bodies.append, window=9):
            pass
        assert len(bodies) == published


def test_a_power_on_of_the_same_tenant_goes_out_at_once_too(world: World, two_tenants):
    many, _ = two_tenants
    [first, *rest] = many["vms"]
    world.carry_out(world.post(f"/vms/{first['id']}/deploy"))
    for vm in rest:
        world.post(f"/vms/{vm['id']}/deploy")
    while outbox.publish_pending(lambda _: None, window=9):
        pass
    task = world.post(f"/vms/{first['id']}/power", {"action": "reset"})
    published: list[Outgoing] = []
    assert outbox.publish_pending(published.append, window=9) == 1
    assert task["id"].encode() in published[0].body


def test_what_is_cancelled_while_it_waits_for_its_turn_never_goes_out_and_holds_nobody_up(world: World, two_tenants):
    many, one = two_tenants
    deploy = world.post(f"/virtualappliances/{many['id']}/deploy")
    outbox.publish_pending(lambda _: None, window=9)
    world.post(f"/tasks/{deploy['id']}/cancel")
    world.post(f"/virtualappliances/{one['id']}/deploy")
    published: list[Outgoing] = []
    assert outbox.publish_pending(published.append, window=9) == 1
    assert tenants(published) == [one["virtualdatacenter_id"]]
    assert outbox.publish_pending(published.append, window=9) == 0
    for request in world.requests(deploy):
        Runner(request).say(request.task, Event.CANCELLED)
    assert world.get(f"/tasks/{deploy['id']}")["state"] == "CANCELLED"
