# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a waiting job waits for: a table, and what a reader of a task sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import plain
from runner_service.contract.control import LaneStatus, RunnerStatus, WaitingJob, WaitsFor
from runner_service.contract.states import Event
from runner_service.contract.topology import partition_of
from tests.webapi_world import BROKEN, Runner, World, jobs_of
from webapi.database import utc_now
from webapi.services import outbox, places, runners
from webapi.services.places import Waiting, said_by, wait_of

JOB = Waiting(
    id="j1", hypervisor_id="h1", hypervisor_name="kvm1", partition=2, published=True, lost=False, behind_another=False
)  # fmt: skip


def status(*jobs: WaitingJob, lanes: tuple[LaneStatus, ...] = (), **more: Any) -> RunnerStatus:
    return RunnerStatus(
        **{"runner_id": "r1", "name": "far", "sequence": 1, "started_at": "2026-11-22T12:00:00+00:00"} | more,
        jobs=jobs, lanes=lanes,
    )  # fmt: skip


def job(waits_for: str, **more: Any) -> WaitingJob:
    return WaitingJob(job_id="j1", waits_for=WaitsFor(waits_for), **more)


LANE = LaneStatus(hypervisor_id="h1", sessions=2, in_use=2, waiting=9)
SERVING = status(partitions=(2,))


@pytest.mark.parametrize(
    ("waiting", "statuses", "what", "place", "text"),
    [
        (JOB, [status(job("session", place=7), lanes=(LANE,))], "session", 7,
         "a session of kvm1, place 7 (2 of 2 in use)"),
        (JOB, [status(job("session", place=7))], "session", 7, "a session of kvm1, place 7"),
        (JOB, [status(job("session"), lanes=(LANE,))], "session", None, "a session of kvm1 (2 of 2 in use)"),
        (JOB, [status(job("vm", behind="q1"))], "vm", None, "another task of its VM to end"),
        (JOB, [status(job("retry"))], "retry", None, "the time of its next try"),
        (JOB, [status(job("word"))], "word", None, "the API's word"),
        (JOB, [status(job("fence"))], "fence", None, "a runner that was cut off"),
        (JOB, [status(job("alone"))], "alone", None, "all other work"),
        # The latest status holds.
        (JOB, [status(job("retry")), status(job("session", place=1))], "session", 1, "place 1"),
        # What a runner says holds, whatever else may be concluded.
        (replace(JOB, behind_another=True, published=False), [status(job("retry"))], "retry", None, "next try"),
        (replace(JOB, behind_another=True), [SERVING], "turn", None, "the job before it"),
        (replace(JOB, behind_another=True, published=False), [], "turn", None, "the job before it"),
        (replace(JOB, published=False), [SERVING], "relay", None, "a relay"),
        (JOB, [], "runner", None, "no runner serves partition 2"),
        (JOB, [status(partitions=(0, 1, 3))], "runner", None, "no runner serves partition 2"),
        (JOB, [status(partitions=(2,), draining=(2,))], "handover", None, "another runner to take its partition over"),
        (JOB, [status(job("session"), partitions=(2,), draining=(2,))], "session", None, "a session of kvm1"),
        (JOB, [status(partitions=(2,), draining=(1,))], "queue", None, "take it from the queue"),
        (JOB, [status(partitions=(0,)), SERVING], "queue", None, "take it from the queue"),
    ],
)  # fmt: skip
def test_what_a_job_waits_for(waiting: Waiting, statuses: list[RunnerStatus], what: str, place: int | None, text: str):
    shown = wait_of(waiting, said_by([plain(each) for each in statuses])).shown()
    assert (shown["for"], shown["place"]) == (what, place)
    assert text in shown["text"]


def test_everything_that_a_runner_can_say_has_words():
    assert set(places._TEXTS) | {WaitsFor.SESSION} == set(WaitsFor)


# -- as it is read


def waits(world: World, task: dict) -> list[str | None]:
    found = [job["waits_for"] for job in jobs_of(world.get(f"/tasks/{task['id']}"))]
    return [wait and wait["for"] for wait in found]


@pytest.fixture
def deploy(world: World) -> dict:
    shop = world.site("web", "db")
    outbox.publish_pending(lambda _: None)
    return world.post(f"/virtualappliances/{shop['id']}/deploy")


def speak(world: World, *, jobs: tuple[WaitingJob, ...] = (), **more: Any) -> None:
    datacenter = world.get("/datacenters")["items"][0]
    runners.write_down([runners.Heard(datacenter["id"], status(*jobs, **more), utc_now())])


def test_every_pending_job_of_a_task_says_what_it_waits_for_until_the_task_has_ended(world: World, deploy: dict):
    host = world.get("/hypervisors")["items"][0]
    assert waits(world, deploy) == ["relay", "turn", "relay", "turn"]
    assert [job["waits_for"]["for"] for job in jobs_of(deploy)] == ["relay", "turn", "relay", "turn"]
    outbox.publish_pending(lambda _: None)
    assert waits(world, deploy) == ["runner", "turn", "runner", "turn"]
    speak(world, partitions=(partition_of(host["id"], 4),))
    assert waits(world, deploy) == ["queue", "turn", "queue", "turn"]
    web = world.runner(deploy)
    second = jobs_of(deploy)[2]["id"]
    named = WaitingJob(job_id=second, waits_for=WaitsFor.SESSION, place=3)
    lane = LaneStatus(hypervisor_id=host["id"], sessions=2, in_use=1, waiting=4)
    runners.write_down([
        runners.Heard(host["datacenter_id"], replace(status(named, lanes=(lane,)), sequence=2), utc_now())
    ])  # fmt: skip
    Runner(web.request).work()
    assert waits(world, deploy) == [None, None, "session", "turn"]
    wait = jobs_of(world.get(f"/tasks/{deploy['id']}"))[2]["waits_for"]
    assert wait == {"for": "session", "place": 3, "text": f"a session of {host['name']}, place 3 (1 of 2 in use)"}
    world.runner(deploy).work()
    assert waits(world, deploy) == [None] * 4


def test_a_part_that_is_read_alone_says_it_too(world: World, deploy: dict):
    assert waits(world, deploy["children"][1]) == ["relay", "turn"]


def test_what_has_begun_says_what_it_waits_for_when_its_runner_does(world: World, deploy: dict):
    """For its next try, or, once another one of its task has failed, to be undone."""
    outbox.publish_pending(lambda _: None)
    runner = world.runner(deploy)
    configure, power_on = runner.root.children[0].children
    runner.say(runner.root, Event.START)
    runner.say(runner.root.children[0], Event.START)
    runner.say(configure, Event.START)
    assert waits(world, deploy)[:2] == [None, "turn"]
    speak(world, jobs=(WaitingJob(job_id=configure.id, waits_for=WaitsFor.RETRY),))
    assert waits(world, deploy)[:2] == ["retry", "turn"]
    runner.say(configure, Event.DONE, changed=True)
    assert waits(world, deploy)[0] is None, "it has ended, and nobody undoes it"
    runner.say(power_on, Event.START)
    runner.say(power_on, Event.ERROR, error=BROKEN)
    undoing = WaitingJob(job_id=configure.id, waits_for=WaitsFor.SESSION, place=1)
    speak(world, sequence=2, jobs=(undoing,))
    assert waits(world, deploy)[:2] == ["session", None]
