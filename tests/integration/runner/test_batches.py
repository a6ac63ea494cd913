# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches through real Ansible: ends as they come, at most so many at once, and each VM's failure its own."""

from __future__ import annotations

import base64
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from nacl.public import PrivateKey, SealedBox

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.vm.fingerprint import is_fingerprint_of
from runner_service.contract.messages import Hypervisor, Job
from runner_service.contract.operations import OPERATIONS, Operation
from runner_service.core.steps import Outcome
from runner_service.ports import NOT_BEGUN, Batch, Ear, Work
from runner_service.workers.ansible_worker import AnsibleWorker
from runner_service.workers.run_directories import RunDirectories
from tests.requests import definition, vm_id
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
COLLECTIONS = str(Path(__file__).parents[3] / ".collections")


class Told:
    """What a worker said, in order, and when."""

    def __init__(self, hypervisor: Store, worker: AnsibleWorker):
        self.hypervisor = hypervisor
        self.worker = worker
        self.outcomes: dict[str, Outcome] = {}
        self.at: dict[str, float] = {}
        self.stop = threading.Event()

    def run(self, *names: str, sessions: int = 2) -> float:
        """Configure VMs of these names; when it was over."""
        works = tuple(self.work(name) for name in names)
        ear = Ear(cancelled=self.stop.is_set, ended=self.tell)
        self.worker.run(Batch(works=works, sessions=sessions), ear)
        assert set(self.outcomes) == set(names)
        return time.monotonic()

    def work(self, name: str) -> Work:
        job = Job(id=name, operation=Operation.CONFIGURE, vm_id=vm_id(name), definition=definition(name))
        hypervisor = Hypervisor(id="h-1", type="fake", url=f"fake://{self.hypervisor.directory}")
        return Work(request_id="r-1", job=job, hypervisor=hypervisor)

    def tell(self, work: Work, outcome: Outcome) -> None:
        assert work == self.work(work.job.id), "as it was given"
        assert work.job.id not in self.outcomes, "once"
        self.outcomes[work.job.id], self.at[work.job.id] = outcome, time.monotonic()

    @property
    def codes(self) -> dict[str, str | None]:
        return {name: outcome.error.code if outcome.error else None for name, outcome in self.outcomes.items()}


@pytest.fixture
def told(tmp_path: Path, hypervisor: Store) -> Iterator[Told]:
    (tmp_path / "runs").mkdir()
    directories = RunDirectories(tmp_path / "runs")
    yield Told(hypervisor, AnsibleWorker(directories, COLLECTIONS, None))
    directories.close()


def test_ends_are_told_as_they_come_and_never_more_run_than_may(told: Told, hypervisor: Store) -> None:
    hypervisor.tell({"delays": {"create": 1}})
    end = told.run("a", "b", "c", "d", "e")
    assert set(told.codes.values()) == {None}
    assert told.at["e"] - told.at["a"] > 1, "the last pair had to wait for the first ones"
    assert end - told.at["a"] > 1, "the first one's end did not wait for the last one's"
    assert most_at_once(hypervisor) == 2
    assert set(hypervisor.read().machines) == {vm_id(name) for name in "abcde"}


def most_at_once(hypervisor: Store) -> int:
    spans = [span for span in hypervisor.operations() if span.operation == "create"]
    return max(sum(one.start <= other.start < (one.end or 0) for one in spans) for other in spans)


def test_one_vms_failure_is_its_own(told: Told, hypervisor: Store) -> None:
    hypervisor.tell({"failures": [{"operation": "create", "vm": "b"}]})
    told.run("a", "b", "c")
    assert told.codes == {"a": None, "b": "driver.failed", "c": None}
    trace = told.outcomes["b"].trace
    assert trace is not None
    assert [entry["ok"] for entry in trace["results"]] == [False]


def test_a_module_process_that_dies_takes_no_one_along_but_those_beside_it(told: Told, hypervisor: Store) -> None:
    hypervisor.tell({"delays": {"create": 2}})

    def kill() -> None:
        span = wait_until(lambda: [one for one in hypervisor.operations() if one.operation == "create"], 60, "a start")[
            0
        ]
        os.kill(span.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    told.run("a", "b", "c", "d")
    killer.join()
    assert all(code in (None, "runner.no_result", NOT_BEGUN) for code in told.codes.values())
    assert "runner.no_result" in told.codes.values()
    for name, outcome in told.outcomes.items():
        assert (vm_id(name) in hypervisor.read().machines) >= outcome.ok
        assert outcome.error is None or outcome.unseen is not (outcome.error.code == NOT_BEGUN)


def test_past_its_deadline_one_ends_the_batch_and_the_rest_can_be_run_again(
    told: Told, hypervisor: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPERATIONS, Operation.CONFIGURE, replace(OPERATIONS[Operation.CONFIGURE], deadline=5))
    hypervisor.tell({"delays": {"create": 60}})
    told.run("a", "b", "c", sessions=1)
    assert told.codes == {"a": "runner.deadline", "b": NOT_BEGUN, "c": NOT_BEGUN}
    assert told.outcomes["a"].unseen


def test_of_a_batch_each_guest_has_its_own_secrets_and_nobody_else_has_any(tmp_path: Path, hypervisor: Store) -> None:
    key, names = PrivateKey.generate(), ("a", "b", "bad")
    runs = tmp_path / "runs"
    runs.mkdir()
    directories = RunDirectories(runs)
    told = Told(hypervisor, AnsibleWorker(directories, COLLECTIONS, key))
    hypervisor.tell({"failures": [{"operation": "create", "vm": "bad"}]})
    secrets = {name: f"#cloud-config\npassword: canary-of-{name}\n" for name in names}

    def sealed(name: str) -> Work:
        asked = told.work(name)
        box = base64.b64encode(SealedBox(key.public_key).encrypt(secrets[name].encode())).decode()
        definition = {**(asked.job.definition or {}), "cloud_init": {"meta_data": f"instance-id: {name}"}}
        return replace(asked, job=replace(asked.job, definition=definition, sealed_user_data=box))

    outcomes: dict[str, Outcome] = {}
    batch = Batch(works=tuple(map(sealed, names)), sessions=2)
    ear = Ear(cancelled=told.stop.is_set, ended=lambda work, outcome: outcomes.update({work.job.id: outcome}))
    told.worker.run(batch, ear)
    assert {name: outcome.ok for name, outcome in outcomes.items()} == {"a": True, "b": True, "bad": False}
    machines = hypervisor.read().machines
    for name in ("a", "b"):
        made = machines[vm_id(name)].definition
        assert made is not None
        assert is_fingerprint_of(made["cloud_init"]["user_data"], secrets[name])
    assert "canary-of" not in repr(outcomes), "nor in their traces"
    left = [*hypervisor.directory.rglob("*"), *runs.rglob("*")]
    assert not any(b"canary-of" in path.read_bytes() for path in left if path.is_file())
    directories.close()


def test_nobody_hears_of_a_batch_that_is_stopped_before_it_begins(told: Told, hypervisor: Store) -> None:
    told.stop.set()
    told.run("a", "b")
    assert set(told.codes.values()) == {NOT_BEGUN}
    assert hypervisor.operations() == []
