# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds of sessions: whose holds, what runners are told, and when."""

from __future__ import annotations

from typing import Any

import pytest

from runner_service.contract.messages import MAX_JOBS
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from tests.webapi_world import HOST, World
from webapi.errors import TooLarge
from webapi.messaging.control import BOUNDS_AGAIN_SECONDS, Bounds
from webapi.models import Hypervisor
from webapi.models.sessionlimits import PLATFORM, Bound
from webapi.services import sessions, tasks
from webapi.services.sessions import Limits


@pytest.mark.parametrize(
    ("own", "of_type", "of_platform", "cores", "bound"),
    [
        (None, None, None, None, 2),
        (None, None, 6, None, 6),
        (None, 4, 6, None, 4),
        (3, 4, 6, None, 3),
        (3, 4, 6, 2, 2),
        (None, 4, 6, 2, 2),
        (None, None, None, 1, 1),
        (8, None, None, 64, 8),
        (8, None, None, 0, 8),
    ],
)
def test_a_hypervisors_own_bound_goes_before_its_types_and_the_platforms_and_none_beyond_its_cores(
    own: int | None, of_type: int | None, of_platform: int | None, cores: int | None, bound: int
):
    said = {"fake": of_type, PLATFORM: of_platform}
    limits = Limits({scope: Bound(open_sessions=number) for scope, number in said.items() if number})
    host = None if cores is None else {"cores": cores}
    assert limits.bound(Hypervisor(type="fake", open_sessions=own, host=host)).open_sessions == bound


def put(world: World, platform: int, power_passes: bool = False, **types: int) -> Any:
    body = {
        "platform": {"open_sessions": platform, "power_passes": power_passes},
        "types": {name: {"open_sessions": number} for name, number in types.items()},
    }
    return world.ask("PUT", "/sessions", body)


def test_a_platform_that_says_nothing_has_two(world: World):
    assert world.get("/sessions") == {"platform": {"open_sessions": 2, "power_passes": False}, "types": {}}


def test_bounds_are_said_anew_as_a_whole(world: World):
    put(world, 3, fake=5, libvirt=4)
    assert put(world, 3, fake=6).json == world.get("/sessions")
    assert world.get("/sessions")["types"] == {"fake": {"open_sessions": 6, "power_passes": False}}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "platform"),
        ({"platform": {}}, "platform.open_sessions"),
        ({"platform": {"open_sessions": 0}}, "platform.open_sessions"),
        ({"platform": {"open_sessions": 257}}, "platform.open_sessions"),
        ({"platform": {"open_sessions": 2}, "types": {"fake": {"open_sessions": 0}}}, "types.fake.value.open_sessions"),
        ({"platform": {"open_sessions": 2}, "types": {"hal": {"open_sessions": 1}}}, "types.hal.key"),
        ({"platform": {"open_sessions": 2, "colour": 1}}, "platform.colour"),
    ],
)
def test_wrong_bounds_are_refused_with_where_they_are_wrong(world: World, body: dict, path: str):
    error = world.refused("PUT", "/sessions", body, status=422)
    assert path in [problem["path"] for problem in error["problems"]]


def test_a_hypervisor_shows_its_own_bound_and_the_one_that_holds(world: World):
    host = world.hypervisor(world.datacenter())
    assert (host["open_sessions"], host["effective_sessions"]) == (None, 2)
    put(world, 3)
    assert world.get("/hypervisors")["items"][0]["effective_sessions"] == 3
    changed = world.ask("PATCH", f"/hypervisors/{host['id']}", {"open_sessions": 20})
    assert (changed.json["open_sessions"], changed.json["effective_sessions"]) == (20, 8), "it has eight cores"
    assert world.get(f"/hypervisors/{host['id']}") == changed.json
    back = world.ask("PATCH", f"/hypervisors/{host['id']}", {"open_sessions": None}).json
    assert (back["open_sessions"], back["effective_sessions"]) == (None, 3)


@pytest.mark.parametrize("noun", ["hypervisors", "virtualdatacenters"])
def test_a_wrong_bound_of_ones_own_is_refused(world: World, noun: str):
    datacenter = world.datacenter()
    row = world.hypervisor(datacenter) if noun == "hypervisors" else world.vdc(datacenter)
    for body in ({}, {"open_sessions": 0}, {"open_sessions": 257}, {"open_sessions": "many"}, {"name": "x"}):
        world.refused("PATCH", f"/{noun}/{row['id']}", body, status=422)
    world.refused("PATCH", f"/{noun}/nobody", {"open_sessions": 1}, status=404)


def test_a_request_says_the_bounds_and_whose_work_it_is(world: World):
    put(world, 3, power_passes=True)
    shop = world.site("web")
    vdc = shop["virtualdatacenter_id"]
    changed = world.ask("PATCH", f"/virtualdatacenters/{vdc}", {"open_sessions": 1}).json
    assert changed == world.get(f"/virtualdatacenters/{vdc}")
    assert changed["open_sessions"] == 1
    [request] = world.requests(world.post(f"/virtualappliances/{shop['id']}/deploy"))
    assert (request.tenant, request.tenant_sessions) == (vdc, 1)
    assert (request.hypervisor.open_sessions, request.hypervisor.power_passes) == (3, True)
    host = world.get("/hypervisors")["items"][0]
    [discovery] = world.requests(world.post(f"/hypervisors/{host['id']}/discover"))
    assert (discovery.tenant, discovery.tenant_sessions) == ("", None)


def test_no_request_has_more_jobs_than_runners_take(world: World, monkeypatch: pytest.MonkeyPatch):
    assert MAX_JOBS == 5_000
    monkeypatch.setattr(tasks, "MAX_JOBS", 1)
    shop = world.site("web")
    error = world.refused("POST", f"/virtualappliances/{shop['id']}/deploy", status=413)
    assert (error["code"], "would have 2 jobs; runners take at most 1" in error["message"]) == (TooLarge.code, True)
    assert world.get(f"/virtualappliances/{shop['id']}")["vms"][0]["locked_by"] is None


# -- what runners are told


def told(bounds: Bounds, now: float) -> dict[str, tuple[int, bool]]:
    return {message.hypervisor_id: (message.open_sessions, message.power_passes) for _, message in bounds.due(now)}


def test_bounds_are_told_at_first_when_they_change_and_from_time_to_time(world: World):
    datacenter = world.datacenter()
    one, two = (world.hypervisor(datacenter)["id"] for _ in range(2))
    bounds = Bounds()
    assert told(bounds, 0.0) == {one: (2, False), two: (2, False)}
    assert told(bounds, 2.0) == {}
    world.ask("PATCH", f"/hypervisors/{one}", {"open_sessions": 5})
    assert told(bounds, 4.0) == {one: (5, False)}
    put(world, 3, power_passes=True)
    assert told(bounds, 6.0) == {one: (5, True), two: (3, True)}
    assert told(bounds, 8.0) == {}
    assert told(bounds, BOUNDS_AGAIN_SECONDS) == {one: (5, True), two: (3, True)}
    assert told(bounds, BOUNDS_AGAIN_SECONDS + 2) == {}


def test_a_bound_that_a_discovery_lowers_is_told_at_once(world: World):
    host = world.hypervisor(world.datacenter())["id"]
    world.ask("PATCH", f"/hypervisors/{host}", {"open_sessions": 8})
    bounds = Bounds()
    assert told(bounds, 0.0) == {host: (8, False)}
    for cores, due in ((4, {host: (4, False)}), (4, {}), (float("nan"), None)):
        runner = world.runner(world.post(f"/hypervisors/{host}/discover"))
        [discover] = runner.root.children
        assert discover.operation is Operation.DISCOVER
        runner.say(runner.root, Event.START)
        runner.say(discover, Event.START)
        runner.say(discover, Event.DONE, host=HOST | {"cores": cores})
        runner.say(runner.root, Event.DONE)
        bounds._looked = float("-inf")
        if due is None:
            sessions.fingerprint()  # What is no JSON for the database does not stop it.
        else:
            assert told(bounds, 2.0) == due


def test_bounds_go_to_the_runners_of_the_hypervisors_datacenter(world: World):
    here, there = world.datacenter(), world.datacenter()
    hosts = {world.hypervisor(each)["id"]: each["id"] for each in (here, there)}
    told_where = {message.hypervisor_id: topology.datacenter_id for topology, message in Bounds().due(0.0)}
    assert told_where == hosts


@pytest.mark.parametrize(("given", "status"), [(3, 201), (None, 201), (0, 422), (257, 422), ("many", 422)])
def test_a_virtual_datacenter_is_made_with_a_bound_of_its_own(world: World, given: object, status: int):
    body = {"datacenter_id": world.datacenter()["id"], "name": "v", "hypervisor_type": "fake", "open_sessions": given}
    answer = world.ask("POST", "/virtualdatacenters", body)
    assert answer.status_code == status
    if status == 201:
        assert answer.json["open_sessions"] == given
