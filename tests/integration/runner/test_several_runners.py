# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several runner processes of one datacenter: they share its work, and what becomes of it when one goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pika
import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store, most_at_once
from runner_service.contract.control import Cancel, Word
from runner_service.contract.messages import Update
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from runner_service.contract.topology import AGAIN_HEADER, REQUESTS_EXCHANGE
from tests.integration.runner.conftest import Api, RunnerProcess
from tests.requests import DEPLOY, chain, request
from tests.waiting import wait_until

NewRunner = Callable[..., RunnerProcess]
CHANGES = ("create", "power_on", "delete", "power_off")


@pytest.fixture
def hypervisors(tmp_path: Path, api: Api) -> list[Store]:
    """One for each partition."""
    stores = []
    for partition in range(api.topology.partitions):
        store = Store(tmp_path / f"hypervisor-{partition}")
        store.directory.mkdir()
        stores.append(store)
    return stores


def id_in(api: Api, partition: int) -> str:
    """A hypervisor's id that belongs to the partition."""
    queue = api.topology.in_queue(partition)
    return next(name for name in (f"h{number}" for number in range(100)) if api.topology.in_queue_for(name) == queue)


def shares(api: Api, *names: str) -> list[tuple[int, ...]]:
    api.read()
    return [api.runners[name].partitions if name in api.runners else () for name in names]


def deploy(api: Api, store: Store, partition: int, *labels: str) -> None:
    for label in labels:
        api.send(request(chain(label, *DEPLOY), id=id_in(api, partition), url=f"fake://{store.directory}"))


def test_two_runners_share_the_partitions_and_one_takes_the_others_when_it_is_killed(
    api: Api, new_runner: NewRunner, hypervisors: list[Store]
) -> None:
    for store in hypervisors:
        store.tell({"delays": {"create": 2}})
    one, two = new_runner("one"), new_runner("two")
    one.start()
    two.start()
    wait_until(lambda: sorted(shares(api, "one", "two")) == [(0,), (1,)], 60, "each to have one partition")
    for partition, store in enumerate(hypervisors):
        deploy(api, store, partition, *(f"vm{partition}{number}" for number in range(3)))
    wait_until(lambda: all(store.operations() for store in hypervisors), 60, "work on both hypervisors")
    one.kill()
    for partition in range(2):
        for number in range(3):
            assert api.wait_for(f"vm{partition}{number}.task").event is Event.DONE
    for store in hypervisors:
        machines = store.read().machines.values()
        assert [machine.power.value for machine in machines] == ["on"] * 3
        assert most_at_once([span for span in store.operations() if span.operation in CHANGES and span.end]) <= 2
    assert shares(api, "two") == [(0, 1)]


def test_a_rolling_restart_under_load_loses_nothing_and_doubles_nothing(
    api: Api, new_runner: NewRunner, hypervisors: list[Store]
) -> None:
    for store in hypervisors:
        store.tell({"delays": {"create": 1}})
    first = [new_runner("one"), new_runner("two")]
    for runner in first:
        runner.start()
    wait_until(lambda: sorted(shares(api, "one", "two")) == [(0,), (1,)], 60, "each to have one partition")
    for partition, store in enumerate(hypervisors):
        deploy(api, store, partition, *(f"vm{partition}{number}" for number in range(4)))
    for runner in first:
        wait_until(lambda: all(store.operations() for store in hypervisors), 60, "work on both hypervisors")
        assert runner.stop() == 0
        runner.start()
    for partition, store in enumerate(hypervisors):
        for number in range(4):
            assert api.wait_for(f"vm{partition}{number}.task").event is Event.DONE
        creates = [span.vm for span in store.operations() if span.operation == "create" and span.end and not span.error]
        assert sorted(creates) == sorted(set(creates)), "no VM was made twice"
        assert len(store.read().machines) == 4


#: Python runs this at its start. So what carries the job of this VM out dies, be it the runner or a process of its own.
POISON = """
import os, signal
from runner_service.workers.ansible_worker import AnsibleWorker
run = AnsibleWorker.run
def deadly(self, batch, *rest):
    if any((work.job.definition or {}).get("name") == "poison" for work in batch.works):
        os.kill(os.getpid(), signal.SIGKILL)
    return run(self, batch, *rest)
AnsibleWorker.run = deadly
"""


@pytest.mark.slow
def test_a_request_that_brings_its_runner_down_is_given_up_and_those_beside_it_are_not(
    api: Api, new_runner: NewRunner, hypervisors: list[Store], tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POISON)
    runner = new_runner()
    runner.environment["PYTHONPATH"] = f"{tmp_path / 'site'}:{runner.environment['PYTHONPATH']}"
    deploy(api, hypervisors[0], 0, "before", "poison", "beside", "behind")
    runner.start()

    def given_up() -> bool:
        """Started again whenever it dies, as a service manager does."""
        api.read()
        assert runner.process is not None
        if runner.process.poll() is not None:
            runner.start()
        return bool(api.reasons)

    wait_until(given_up, 240, "the request to be given up")
    assert "by itself, 3 times" in api.reasons[0]
    assert runner.said.count("serves datacenter") <= 6, "it fell a few times among the others, and then no more"
    for label in ("before", "beside", "behind"):
        assert api.wait_for(f"{label}.task").event is Event.DONE
    assert sorted(machine.name for machine in hypervisors[0].read().machines.values()) == ["before", "behind", "beside"]
    assert len(api.reasons) == 1


def test_a_hanging_run_is_cancelled_and_undone_within_seconds(
    api: Api, runner: RunnerProcess, hypervisors: list[Store]
) -> None:
    store = hypervisors[0]
    store.tell({"delays": {"power_on": 600}})
    wanted = request(chain("web", *DEPLOY), id=id_in(api, 0), url=f"fake://{store.directory}")
    api.send(wanted)
    wait_until(lambda: "power_on" in [span.operation for span in store.operations()], 60, "the hanging operation")
    api.tell(Cancel(request_id=wanted.id))
    assert api.wait_for("web.power_on", Event.ERROR, timeout=5).error.code == "task.cancelled"
    assert api.wait_for("web.task").event is Event.CANCELLED
    assert store.read().machines == {}


def test_an_undoing_that_hangs_is_given_up_soon_after_a_cancel_and_told(
    api: Api, new_runner: NewRunner, hypervisors: list[Store]
) -> None:
    store = hypervisors[0]
    store.tell({"delays": {"power_on": 600, "delete": 600}})
    new_runner(MILLWRIGHT_CANCEL_PATIENCE="1").start()
    wanted = request(chain("web", *DEPLOY), id=id_in(api, 0), url=f"fake://{store.directory}")
    api.send(wanted)
    wait_until(lambda: "power_on" in [span.operation for span in store.operations()], 60, "the hanging operation")
    api.tell(Cancel(request_id=wanted.id))
    told = api.wait_for("web.configure", Event.ROLLBACK_ERROR)
    assert told.error is not None
    assert told.error.code == "runner.stopped"
    assert api.wait_for("web.task").event is Event.CANCELLED


def test_a_suspect_is_cancelled_in_its_own_process_while_others_go_on(
    api: Api, runner: RunnerProcess, hypervisors: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    def suspects(asked: Update) -> None:
        api.tell(Word(request_id=asked.request_id, attempt=asked.attempt, go=True, crashes=3))

    monkeypatch.setattr(api, "answer", suspects)
    store = hypervisors[0]
    store.tell({"delays": {"create": 600}})
    wanted = request(chain("web", *DEPLOY), id=id_in(api, 0), url=f"fake://{store.directory}")
    properties = pika.BasicProperties(headers={AGAIN_HEADER: True})
    api.channel.basic_publish(REQUESTS_EXCHANGE, api.topology.in_queue(0), wanted.encode(), properties, mandatory=True)
    api.read()
    wait_until(lambda: api.read() and store.operations(), 60, "the hanging operation of its process")
    other = request(chain("db", Operation.GET_STATE), id=id_in(api, 0), url=f"fake://{store.directory}")
    api.send(other)
    assert api.wait_for("db.task"), "it has ended meanwhile"
    api.tell(Cancel(request_id=wanted.id))
    assert api.wait_for("web.task").event is Event.CANCELLED
    assert store.read().machines == {}
    wait_until(lambda: api.read() and runner.said.count("has ended") >= 2, 30, "its end at the runner")
    assert "carried out alone" in runner.said
