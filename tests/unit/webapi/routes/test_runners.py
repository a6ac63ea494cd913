# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runners as they are shown, by what they last said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from runner_service.contract.control import Heartbeat, LaneStatus, RunnerStatus, WaitingJob, WaitsFor, encode_control
from runner_service.contract.topology import Topology
from tests.webapi_world import World
from webapi.database import db, utc_now
from webapi.messaging.statuses import Statuses
from webapi.models import Runner
from webapi.services import runners


@pytest.fixture
def datacenter(world: World) -> dict:
    return world.datacenter()


def status(**more: Any) -> RunnerStatus:
    base = {"runner_id": "r1", "name": "far", "sequence": 1, "started_at": "2026-11-22T12:00:00+00:00"}
    return RunnerStatus(**base | more)


def hear(datacenter: dict, said: RunnerStatus, *, ago: float = 0) -> None:
    runners.write_down([runners.Heard(datacenter["id"], said, utc_now() - timedelta(seconds=ago))])


def test_a_datacenter_is_told_apart_in_which_a_runner_comes_or_comes_back(world: World, datacenter: dict):
    def newcomers(said: RunnerStatus, *, ago: float = 0) -> set[str]:
        return runners.write_down([runners.Heard(datacenter["id"], said, utc_now() - timedelta(seconds=ago))])

    assert newcomers(status(), ago=9) == {datacenter["id"]}
    assert newcomers(status(sequence=2), ago=8) == set()
    assert newcomers(status(sequence=3)) == {datacenter["id"]}
    assert runners.write_down([], []) == set()


def test_a_runner_is_shown_with_what_it_owns_and_its_lanes_by_name(world: World, datacenter: dict):
    host = world.hypervisor(datacenter)
    lanes = (
        LaneStatus(hypervisor_id="gone", sessions=2, in_use=1, waiting=0),
        LaneStatus(hypervisor_id=host["id"], sessions=2, in_use=2, waiting=5),
    )
    waiting = (WaitingJob(job_id="j", waits_for=WaitsFor.SESSION, place=1),)
    said = status(
        partitions=(0, 2), draining=(2,), max_runs=8, running=3, requests=4, waiting=5, lanes=lanes, jobs=waiting
    )
    hear(datacenter, said)
    [shown] = world.get("/runners")["items"]
    assert world.get("/runners/r1") == shown
    wanted = {
        "name": "far", "state": "alive", "datacenter_name": datacenter["name"], "partitions": [0, 2], "draining": [2],
        "max_runs": 8, "running": 3, "requests": 4, "waiting": 5, "sessions_in_use": 3,
        "started_at": "2026-11-22T12:00:00+00:00",
    }  # fmt: skip
    assert {name: shown[name] for name in wanted} == wanted
    assert [(lane["hypervisor_name"], lane["in_use"], lane["waiting"]) for lane in shown["lanes"]] == [
        (host["name"], 2, 5), (None, 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stopping", "ago", "state"),
    [(False, 1, "alive"), (True, 1, "stopping"), (False, 6, "silent"), (True, 6, "stopped")],
)
def test_who_is_not_heard_of_for_five_seconds_is_silent_or_has_stopped(
    world: World, datacenter: dict, stopping: bool, ago: float, state: str
):
    hear(datacenter, status(stopping=stopping), ago=ago)
    assert world.get("/runners/r1")["state"] == state


def test_a_status_that_was_overtaken_changes_nothing(world: World, datacenter: dict):
    for sequence, running in ((1, 1), (3, 3), (2, 2)):
        hear(datacenter, status(sequence=sequence, running=running))
    assert world.get("/runners/r1")["running"] == 3


def test_who_was_not_heard_of_for_an_hour_is_forgotten(world: World, datacenter: dict):
    hear(datacenter, status(runner_id="old"), ago=3601)
    hear(datacenter, status(runner_id="young"), ago=3500)
    runners.write_down([])
    assert [each["id"] for each in world.get("/runners")["items"]] == ["young"]


def test_runners_are_filtered_and_paged(world: World, datacenter: dict):
    other = world.datacenter()
    for number in range(3):
        hear(datacenter, status(runner_id=f"r{number}", name=f"n{number}"))
    hear(other, status(runner_id="elsewhere"))
    first = world.get("/runners?limit=3")
    assert [each["id"] for each in first["items"]] == ["r0", "r1", "r2"]
    assert [each["id"] for each in world.get(f"/runners?after={first['next']}")["items"]] == ["elsewhere"]
    assert [each["id"] for each in world.get(f"/runners?datacenter_id={other['id']}")["items"]] == ["elsewhere"]
    assert [each["id"] for each in world.get("/runners?name=n1")["items"]] == ["r1"]
    assert world.refused("GET", "/runners/nobody", status=404)["code"] == "not_found"


def test_a_runner_that_another_relay_met_at_the_same_moment_is_written_down_next_time(
    world: World, datacenter: dict, monkeypatch: pytest.MonkeyPatch
):
    hear(datacenter, status())
    with monkeypatch.context() as patch:
        patch.setattr(runners.rows, "lock_all", lambda *_: [])
        hear(datacenter, status(sequence=2, running=2))
    hear(datacenter, status(sequence=3, running=3))
    assert world.get("/runners/r1")["running"] == 3


# -- as they come in


def test_a_second_of_statuses_is_one_write_for_each_runner_and_rubbish_is_dropped(
    world: World, datacenter: dict, caplog: pytest.LogCaptureFixture
):
    topology = Topology(datacenter["id"])
    statuses = Statuses()
    said = [encode_control(status(sequence=number, running=number)) for number in (1, 2, 3)]
    for body in [*said, b"{ no", b'{"kind": "runner_status", "body": {"name": 5}}', said[0][:-1]]:
        statuses.on_status(topology, None, None, None, body)
    assert db.session.scalars(select(Runner)).all() == []
    statuses.write_down()
    assert world.get("/runners/r1")["running"] == 3
    assert caplog.text.count("status of a runner dropped") == 3


def test_a_heartbeat_keeps_a_runner_alive_whose_status_says_nothing_new(world: World, datacenter: dict):
    hear(datacenter, status(sequence=7, running=2), ago=60)
    assert world.get("/runners/r1")["state"] == "silent"
    statuses = Statuses()
    for beat in (Heartbeat(runner_id="r1", sequence=8), Heartbeat(runner_id="nobody", sequence=1)):
        statuses.on_status(Topology(datacenter["id"]), None, None, None, encode_control(beat))
    statuses.write_down()
    runner = world.get("/runners/r1")
    assert (runner["state"], runner["running"]) == ("alive", 2)
    statuses.on_status(
        Topology(datacenter["id"]), None, None, None,
        encode_control(Heartbeat(runner_id="r1", sequence=9, stopping=True)),
    )  # fmt: skip
    statuses.write_down()
    assert world.get("/runners/r1")["state"] == "stopping"
    hear(datacenter, status(sequence=10, running=3))
    assert world.get("/runners/r1")["running"] == 3


def test_of_a_runner_whose_statuses_come_out_of_order_the_newest_is_kept(world: World, datacenter: dict):
    statuses = Statuses()
    for sequence in (2, 1):
        body = encode_control(status(sequence=sequence, running=sequence))
        statuses.on_status(Topology(datacenter["id"]), None, None, None, body)
    statuses.write_down()
    assert world.get("/runners/r1")["running"] == 2
