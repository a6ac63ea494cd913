# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is heard of a batch: each job's end when it comes, and an honest word on those that had none."""

from __future__ import annotations

from typing import Any

from runner_service.contract.messages import Hypervisor
from runner_service.core.steps import Outcome
from runner_service.ports import NOT_BEGUN, Ear, Work
from runner_service.workers.hearing import Hearing
from runner_service.workers.inventory import host_of
from runner_service.workers.verdict import failed
from tests.requests import job

TASK = "Millwright: power_on"


def work(name: str) -> Work:
    hypervisor = Hypervisor(id="h-1", type="fake", url="fake:///x")
    return Work(request_id="r", hypervisor=hypervisor, job=job(name, "power_on"))


class Batch:
    """A hearing of VMs a, b and c, and what it has told, in order."""

    def __init__(self) -> None:
        self.works = {name: work(name) for name in "abc"}
        self.names = {asked.job.id: name for name, asked in self.works.items()}
        self.told: list[tuple[str, Outcome]] = []
        self.begun: list[str] = []
        self.ear = Ear(cancelled=lambda: False, ended=self.tell, begun=self.begin)
        self.hearing = Hearing(list(self.works.values()), lambda _work: ("hunter2",), TASK, self.ear)

    def begin(self, asked: Work) -> None:
        self.begun.append(self.names[asked.job.id])

    def tell(self, asked: Work, outcome: Outcome) -> None:
        self.told.append((self.names[asked.job.id], outcome))

    def hear(self, kind: str, name: str, task: str = TASK, **result: Any) -> None:
        told = {"host": host_of(self.works[name]), "task": task, "res": result}
        assert self.hearing.hear({"event": kind, "event_data": told}) is False, "no event is written to a file"

    @property
    def codes(self) -> dict[str, str | None]:
        return {name: outcome.error.code if outcome.error else None for name, outcome in self.told}

    @property
    def outcomes(self) -> dict[str, Outcome]:
        assert len(dict(self.told)) == len(self.told), "nothing is told twice"
        return dict(self.told)


def test_each_end_is_told_when_it_is_heard() -> None:
    batch = Batch()
    assert batch.begun == []
    batch.hear("runner_on_start", "a")
    batch.hear("runner_on_start", "b")
    assert (batch.told, batch.begun) == ([], ["a", "b"])
    batch.hear("runner_on_ok", "b", changed=True)
    assert batch.codes == {"b": None}
    batch.hear("runner_on_failed", "a", code="driver.busy", msg="busy")
    batch.hear("runner_on_start", "c")
    batch.hear("runner_on_ok", "c")
    batch.hearing.over(lambda _job: None)
    assert batch.codes == {"b": None, "a": "driver.busy", "c": None}


def test_what_comes_after_the_end_is_passed_over() -> None:
    batch = Batch()
    batch.hear("runner_on_ok", "a", changed=True)
    batch.hear("runner_on_failed", "a", "later", code="driver.failed")
    batch.hear("runner_on_ok", "a", changed=False)
    assert batch.outcomes["a"].changed is True


def test_other_tasks_and_other_hosts_say_nothing_of_a_job() -> None:
    batch = Batch()
    batch.hear("runner_on_ok", "a", "Gathering facts")
    batch.hearing.hear({"event": "runner_on_ok", "event_data": {"host": "stranger", "task": TASK, "res": {}}})
    batch.hearing.hear({"event": "playbook_on_stats", "event_data": {}})
    assert batch.told == []
    batch.hear("runner_on_ok", "a", changed=True)
    assert [entry["task"] for entry in (batch.outcomes["a"].trace or {})["results"]] == ["Gathering facts", TASK]


def test_when_it_breaks_off_those_under_way_are_unseen_and_those_behind_have_not_begun() -> None:
    batch = Batch()
    batch.hear("runner_on_start", "a")
    batch.hear("runner_on_ok", "a")
    batch.hear("runner_on_start", "b")
    batch.hearing.over(lambda _job: None)
    assert batch.codes == {"a": None, "b": "runner.no_result", "c": NOT_BEGUN}
    assert batch.outcomes["b"].unseen
    error = batch.outcomes["c"].error
    assert error is not None
    assert (error.begun, batch.outcomes["c"].unseen) == (False, False)


def test_why_it_was_ended_is_said_of_those_under_way() -> None:
    batch = Batch()
    batch.hear("runner_on_start", "b")
    batch.hearing.over(lambda heard: failed("runner.deadline", heard.work.job.id, unseen=True))
    assert batch.codes == {"a": NOT_BEGUN, "b": "runner.deadline", "c": NOT_BEGUN}


def test_a_run_in_which_nothing_began_is_nobodys_turn_missed() -> None:
    """Or a playbook that cannot begin at all would be tried for ever."""
    batch = Batch()
    batch.hearing.hear({"event": "error", "stdout": "no such playbook, hunter2"})
    batch.hearing.over(lambda _job: None)
    assert set(batch.codes.values()) == {"runner.no_result"}
    error = batch.outcomes["a"].error
    assert error is not None
    assert error.detail == "no such playbook, ********"


def test_secrets_are_in_no_trace() -> None:
    batch = Batch()
    batch.hear("runner_on_ok", "a", vm={"name": "hunter2"})
    assert "hunter2" not in repr(batch.outcomes["a"].trace)


def test_what_ansible_printed_shows_no_job_the_secrets_of_another() -> None:
    batch = Batch()
    secrets = {batch.works["a"].id: ("secret-of-a",), batch.works["b"].id: ("secret-of-b",)}
    hearing = Hearing(list(batch.works.values()), lambda asked: secrets.get(asked.id, ()), TASK, batch.ear)
    hearing.hear({"event": "verbose", "stdout": "it printed secret-of-a and secret-of-b"})
    hearing.over(lambda _job: None)
    assert len(batch.outcomes) == 3
    for outcome in batch.outcomes.values():
        assert outcome.error is not None
        assert outcome.error.detail == "it printed ******** and ********"
