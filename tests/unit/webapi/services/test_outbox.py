# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests are published in order, and say so if they may have been published before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from tests.webapi_world import World
from webapi.database import db, utc_now
from webapi.models import Request
from webapi.services import outbox
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
    fresh = outbox._set_about(mark := utc_now())
    with pytest.raises(SystemExit):
        outbox._publish_marked(mark, fresh, dying(2, published))
    outbox._publish_marked(mark, fresh, published.append)
    assert [again for _, again in ids(published, three)] == [False, False, True, True, True]


def test_a_relay_whose_marks_another_one_has_replaced_knows_that_it_is_not_alone(three: list[str]):
    mine = utc_now()
    fresh = outbox._set_about(mine)
    outbox._set_about(utc_now())
    published: list[Outgoing] = []
    outbox._publish_marked(mine, fresh, published.append)
    assert ids(published, three) == [(name, True) for name in three]


def test_what_came_between_marking_and_publishing_waits_for_the_next_round(world: World, three: list[str]):
    fresh = outbox._set_about(mark := utc_now())
    host = world.get("/hypervisors")["items"][0]
    world.post(f"/hypervisors/{host['id']}/discover")
    published: list[Outgoing] = []
    assert outbox._publish_marked(mark, fresh, published.append) == 3
    assert outbox.publish_pending(published.append) == 1
    assert not published[-1].again


def test_a_batch_is_marked_before_the_first_of_it_is_published(three: list[str]):
    def look(_: Outgoing) -> None:
        unmarked = select(Request).filter_by(publishing_at=None, published_at=None)
        assert db.session.scalars(unmarked).all() == []

    assert outbox.publish_pending(look) == 3
