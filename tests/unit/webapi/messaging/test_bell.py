# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay's doorbell: rung once work for it is committed, and never in the way of anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy

from tests.webapi_world import World
from webapi.database import db
from webapi.messaging.bell import Bell
from webapi.services import doorbell, outbox


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell("127.0.0.1:0")
    bell.start()
    yield bell
    bell.close()


def test_whoever_asks_for_work_cancels_it_or_ends_it_rings_once_that_is_committed(world: World, bell: Bell):
    shop = world.site("web")
    ear = bell.ear()
    outbox.publish_pending(lambda _: None, bell=bell.address)
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    assert ear.wait(10)
    ear.clear()
    outbox.publish_pending(lambda _: None)
    world.post(f"/tasks/{task['id']}/cancel")
    assert ear.wait(10)
    ear.clear()
    world.carry_out(task)
    assert ear.wait(10)


def test_a_transaction_asks_once_where_the_bell_is_however_often_it_is_to_ring(world: World):
    asked: list[str] = []
    sqlalchemy.event.listen(db.engine, "before_cursor_execute", lambda *got: asked.append(got[2]))
    for _ in range(3):
        doorbell.ring_after_commit()
    db.session.commit()
    assert len([text for text in asked if "bell" in text]) == 1


def test_what_is_rolled_back_rings_nobody(world: World, bell: Bell):
    ear = bell.ear()
    outbox.publish_pending(lambda _: None, bell=bell.address)
    doorbell.ring_after_commit()
    db.session.rollback()
    db.session.commit()
    doorbell.ring("127.0.0.1:1")
    assert not ear.is_set()


@pytest.mark.parametrize("address", ["", "nowhere", "nowhere:1", "127.0.0.1:many", "127.0.0.1:99999", "127.0.0.1:1"])
def test_an_address_that_is_none_is_nobodys(address: str):
    doorbell.ring(address)


def test_all_ears_hear_a_ring_and_nobody_waits_at_a_closed_bell(bell: Bell):
    ears = [bell.ear(), bell.ear()]
    doorbell.ring(bell.address)
    assert all(ear.wait(10) for ear in ears)
    other = Bell("127.0.0.1:0")
    ear = other.ear()
    other.close()
    assert ear.is_set()
