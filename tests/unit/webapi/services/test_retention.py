# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ended long ago is forgotten, in small pieces, and nothing else is."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.orm import ORMExecuteState

from runner_service.contract.topology import Topology
from tests.webapi_world import World
from webapi.database import Base, db, utc_now
from webapi.messaging.pruning import Pruning
from webapi.models import DeadLetter, Event, Job, Request, Task, VirtualMachine
from webapi.services import deadletters, retention
from webapi.services.retention import Counts

LONG_AGO = timedelta(days=100)
KEPT = timedelta(days=90)


def age(model: type[Base], *which: object) -> None:
    """So long ago did the rows come, and end if they have."""
    then = utc_now() - LONG_AGO
    moments = {"created_at": then}
    db.session.execute(update(model).where(*which).values(**moments))
    if model is Task:
        db.session.execute(update(Task).where(Task.ended_at.is_not(None), *which).values(ended_at=then))
    db.session.commit()


def age_all() -> None:
    for model in (Task, Job, Request, Event, DeadLetter):
        age(model)


def forget() -> list[Counts]:
    """Each transaction's share."""
    shares = []
    while some := retention.remove_some(utc_now() - KEPT):
        shares.append(some)
    return shares


def rows() -> dict[str, int]:
    models = (Task, Request, Job, Event, DeadLetter)
    return {model.__tablename__: db.session.scalar(select(func.count()).select_from(model)) for model in models}


@pytest.fixture
def shop(world: World) -> dict:
    return world.deployed(world.site("web", "db"))


def test_what_ended_long_ago_goes_whole_and_the_dry_run_says_so_before(world: World, shop: dict):
    age_all()
    before = rows()
    counted = retention.count_old(utc_now() - KEPT)
    assert rows() == before
    total = sum(forget(), Counts())
    assert counted == total
    assert (total.tasks, total.requests, total.jobs, total.events) == tuple(before.values())[:4]
    assert set(rows().values()) == {0}
    vms = world.get(f"/virtualappliances/{shop['id']}")["vms"]
    assert [(vm["state"], vm["locked_by"]) for vm in vms] == [("ON", None)] * 2


def test_what_ended_lately_stays_with_all_that_is_about_it(world: World, shop: dict):
    age(Event)
    before = rows()
    assert retention.count_old(utc_now() - KEPT) == Counts()
    assert (forget(), rows()) == ([], before)


def test_what_has_not_ended_stays_whatever_its_age(world: World, shop: dict):
    age_all()
    [web, _] = shop["vms"]
    task = world.post(f"/vms/{web['id']}/power", {"action": "off"})
    age_all()
    forget()
    assert world.get(f"/tasks/{task['id']}")["state"] == "QUEUED"
    assert [row["task_id"] for row in world.get("/events")["items"]] == [task["id"]]
    assert world.carry_out(task)["state"] == "FINISHED_SUCCESSFULLY"


@pytest.mark.parametrize("how", ["a VM is locked by it", "a request has not ended", "a part has not ended"])
def test_a_task_that_says_it_has_ended_stays_while_anything_of_it_has_not(world: World, shop: dict, how: str):
    part = db.session.scalars(select(Task).where(Task.parent_id.is_not(None)).limit(1)).one()
    root_id, part_id = part.root_id, part.id
    age_all()
    if how == "a VM is locked by it":
        db.session.execute(update(VirtualMachine).where(VirtualMachine.id == part.owner_id).values(task_id=part_id))
    elif how == "a request has not ended":
        db.session.execute(update(Request).where(Request.task_id == root_id).values(outcome=None))
    else:
        db.session.execute(update(Task).where(Task.id == part_id).values(ended_at=None))
    db.session.commit()
    forget()
    assert len(world.get(f"/tasks/{root_id}")["children"]) == 2
    assert world.get(f"/events?owner_id={shop['id']}")["items"]


def test_large_trees_go_in_small_transactions_and_the_root_last(
    world: World, shop: dict, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "BATCH", 2)
    age_all()
    root = select(Task.id).where(Task.parent_id.is_(None), Task.type == "DEPLOY")
    root_id = db.session.scalar(root)
    shares = []
    while some := retention.remove_some(utc_now() - KEPT):
        shares.append(some)
        left = db.session.scalar(select(func.count()).select_from(Task).where(Task.root_id == root_id))
        assert left == 0 or db.session.get(Task, root_id) is not None
        db.session.expire_all()
    assert {sum(vars(share).values()) for share in shares} <= {1, 2}
    assert set(rows().values()) == {0}


def test_two_that_forget_the_same_at_once_leave_no_job_without_its_task(
    world: World, shop: dict, monkeypatch: pytest.MonkeyPatch
):
    """One of them finds gone what it was about to remove."""
    monkeypatch.setattr(retention, "BATCH", 1)
    age_all()

    def be_ahead(state: ORMExecuteState) -> None:
        if state.is_delete:
            state.session.connection().execute(state.statement)

    event.listen(db.session, "do_orm_execute", be_ahead)
    try:
        while retention.remove_some(utc_now() - KEPT):
            orphans = select(func.count()).select_from(Job).where(Job.task_id.not_in(select(Task.id)))
            assert db.session.scalar(orphans) == 0
            db.session.expire_all()
    finally:
        event.remove(db.session, "do_orm_execute", be_ahead)
    assert set(rows().values()) == {0}


def test_dead_letters_go_with_age_but_not_while_they_are_to_be_sent_again(world: World, shop: dict):
    topology = Topology(world.get("/datacenters")["items"][0]["id"])
    letters = [deadletters.keep(topology, topology.dead_queue, b"{", reason).id for reason in ("old", "asked", "new")]
    age_all()
    db.session.execute(update(DeadLetter).where(DeadLetter.id == letters[1]).values(requeue_asked_at=utc_now()))
    age_new = update(DeadLetter).where(DeadLetter.id == letters[2]).values(created_at=utc_now())
    db.session.execute(age_new)
    db.session.commit()
    forget()
    assert set(db.session.scalars(select(DeadLetter.id))) == set(letters[1:])


def test_a_relay_forgets_until_it_is_stopped(world: World, shop: dict):
    age_all()
    ended = threading.Event()
    stops = iter([False, False, False, True])

    def stopping() -> bool:
        return next(stops, True)

    ended.set()  # Nothing is waited for.
    Pruning(KEPT, ended=ended).run(stopping)
    assert rows()["tasks"] == 0
