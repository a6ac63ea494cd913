# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every JobRunner promises: the same tests for the one in memory and the one that runs Ansible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner_service.contract.messages import Hypervisor, Job
from runner_service.contract.operations import Operation
from runner_service.core.steps import Outcome
from runner_service.ports import JobRunner, Work
from runner_service.testing import MemoryHypervisor, run_one
from runner_service.workers.ansible_worker import AnsibleWorker
from runner_service.workers.run_directories import RunDirectories
from tests.requests import definition, job, vm_id

ROOT = Path(__file__).parents[3]


class Runs:
    """A job runner with a hypervisor of its own."""

    def __init__(self, runner: JobRunner, url: str):
        self.runner = runner
        self.url = url

    def run(self, operation: str, **fields: Any) -> Outcome:
        return self.run_job(job("web", operation, **fields))

    def check(self, operation: str) -> Outcome:
        return self.run_job(job("web", operation), check=True)

    def run_job(self, job: Job, *, check: bool = False) -> Outcome:
        hypervisor = Hypervisor(id="hypervisor-1", type="fake", url=self.url)
        work = Work(request_id="request-1", hypervisor=hypervisor, job=job, check=check)
        return run_one(self.runner, work)


@pytest.fixture(params=["memory", "ansible"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runs]:
    (tmp_path / "hypervisor").mkdir()
    if request.param == "memory":
        yield Runs(MemoryHypervisor(), "memory")
        return
    directories = RunDirectories(tmp_path)
    worker = AnsibleWorker(directories, str(ROOT / ".collections"), None)
    yield Runs(worker, f"fake://{tmp_path / 'hypervisor'}")
    directories.close()


def power(outcome: Outcome) -> str:
    assert outcome.vm is not None, outcome
    return str(outcome.vm["power"])


def test_a_vm_goes_through_its_life_and_a_second_run_changes_nothing(runs: Runs) -> None:
    made = runs.run("configure")
    assert (made.ok, made.changed, power(made), made.before) == (True, True, "off", None)
    assert runs.run("configure").changed is False
    assert power(runs.run("power_on")) == "on"
    again = runs.run("power_on")
    assert (again.changed, power(again)) == (False, "on")
    assert power(runs.run("get_state")) == "on"
    assert power(runs.run("power_off")) == "off"
    assert runs.run("get_state").snapshots == ()
    gone = runs.run("unconfigure")
    assert (gone.ok, gone.changed, gone.vm) == (True, True, None)
    assert runs.run("get_state").snapshots is None
    assert runs.run("unconfigure").changed is False


def test_a_check_run_says_what_would_be_done_and_does_nothing(runs: Runs) -> None:
    would = runs.check("configure")
    assert (would.ok, would.changed) == (True, True), would
    assert runs.run("get_state").vm is None
    assert runs.run("configure").changed
    assert runs.check("configure").changed is False
    assert power(runs.check("power_on")) == "on"
    assert power(runs.run("get_state")) == "off"


def test_a_reconfigure_tells_what_it_found(runs: Runs) -> None:
    runs.run("configure")
    outcome = runs.run("reconfigure", definition=definition("web", memory_mib=128))
    assert outcome.changed
    assert outcome.before is not None
    assert outcome.vm is not None
    assert outcome.before["definition"]["memory_mib"] == 64
    assert outcome.vm["definition"]["memory_mib"] == 128


@pytest.mark.parametrize("operation", ["power_on", "reconfigure"])
def test_what_needs_a_vm_fails_without_it(runs: Runs, operation: str) -> None:
    outcome = runs.run(operation)
    assert outcome.error is not None
    assert outcome.error.code == "driver.vm_not_found"
    assert not outcome.error.retryable


def test_a_discovery_tells_of_the_host(runs: Runs) -> None:
    outcome = runs.run_job(Job(id="job-1", operation=Operation.DISCOVER))
    assert outcome.host is not None
    assert outcome.host["hypervisor_type"] == "fake"


def test_the_vm_is_known_by_its_id(runs: Runs) -> None:
    runs.run("configure")
    outcome = runs.run("get_state")
    assert outcome.vm is not None
    assert outcome.vm.get("uuid", vm_id("web")) == vm_id("web")
