# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orchestrator's shell with a hypervisor and a broker in memory: requests in, runs and updates out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from runner_service.contract.messages import ErrorReport, Task, TaskRequest
from runner_service.contract.operations import Operation
from runner_service.core.retry import RetryRule
from runner_service.orchestrator import Orchestrator, OrchestratorRules
from runner_service.ports import Delivery, Tag, Work
from runner_service.testing import MemoryBroker, MemoryHypervisor
from tests.requests import DEPLOY, UNDEPLOY, appliance, chain, job, request, vm_id
from tests.waiting import wait_until


@dataclass
class Shop:
    """An orchestrator at work, and what is around it."""

    hypervisor: MemoryHypervisor = field(default_factory=MemoryHypervisor)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    deliveries: int = 0

    def __post_init__(self) -> None:
        rules = OrchestratorRules(name="runner-1", max_runs=4, retry=RetryRule(max_tries=2, first_delay=0.01))
        self.orchestrator = Orchestrator(self.broker, self.hypervisor, rules)
        self.thread = threading.Thread(target=self.orchestrator.run)
        self.thread.start()

    def take(self, request: TaskRequest, *, attempt: int = 1, connection: int = 1) -> Tag:
        self.deliveries += 1
        tag = Tag(connection, self.deliveries)
        self.orchestrator.take(Delivery(request=request, attempt=attempt, tag=tag))
        return tag

    def acknowledged(self, *tags: Tag) -> None:
        self.until(lambda: set(tags) <= set(self.broker.acknowledged), f"acknowledgement of {tags}")

    def until(self, predicate: Callable[[], object], what: str) -> None:
        wait_until(predicate, 10, what, every=0.005)

    def running(self, count: int) -> None:
        self.until(lambda: len(self.hypervisor.ran) == count, f"{count} runs begun, not {self.hypervisor.ran}")

    def stop(self) -> None:
        self.hypervisor.gate.set()
        self.orchestrator.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.stop()


def test_a_request_is_acknowledged_after_its_last_update(shop: Shop) -> None:
    tag = shop.take(request(appliance("web", "db")))
    shop.acknowledged(tag)
    assert {name: vm["power"] for name, vm in shop.hypervisor.vms.items()} == {vm_id("web"): "on", vm_id("db"): "on"}
    last = shop.broker.updates[-1]
    assert (last.node_id, last.event, last.runner) == ("appliance", "DONE", "runner-1")
    assert [update.sequence for update in shop.broker.updates] == list(range(1, len(shop.broker.updates) + 1))


def test_requests_for_the_same_vm_are_handled_in_the_order_of_their_arrival(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    shop.take(request(chain("web", *DEPLOY)))
    last = shop.take(
        request(
            Task(
                id="later",
                children=(
                    job(
                        "web",
                        "power_off",
                    ),
                    job("web", "unconfigure"),
                ),
            )
        )
    )
    other = shop.take(request(chain("db", *DEPLOY), id="hypervisor-2"))
    shop.running(2)
    shop.hypervisor.gate.set()
    shop.acknowledged(last, other)
    of_web = [ran.split()[0] for ran in shop.hypervisor.ran if ran.endswith(vm_id("web"))]
    assert of_web == ["configure", "power_on", "power_off", "unconfigure"]


def test_a_hypervisor_has_no_more_sessions_open_than_it_may_have(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    tag = shop.take(request(appliance("a", "b", "c", "d"), open_sessions=2))
    shop.running(2)
    shop.hypervisor.gate.set()
    shop.acknowledged(tag)
    assert shop.hypervisor.most_at_once == 2


def test_a_duplicate_of_a_request_in_progress_is_not_carried_out_again(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    first, second = shop.take(wanted), shop.take(wanted)
    shop.hypervisor.gate.set()
    shop.acknowledged(first, second)
    assert len(shop.hypervisor.ran) == 2


def test_a_duplicate_of_a_request_that_ended_is_acknowledged_and_forgotten(shop: Shop) -> None:
    wanted = request(chain("web", *DEPLOY))
    shop.acknowledged(shop.take(wanted))
    shop.acknowledged(shop.take(request(chain("web", *UNDEPLOY))))
    shop.acknowledged(shop.take(wanted))
    assert shop.hypervisor.vms == {}, "the old request did not make the VM anew"


def test_a_request_that_comes_again_over_a_new_connection_goes_on_under_the_new_attempt(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    lost = shop.take(wanted)
    shop.running(1)
    shop.orchestrator.connection_lost()
    again = shop.take(wanted, attempt=2, connection=2)
    shop.hypervisor.gate.set()
    shop.acknowledged(again)
    assert lost not in shop.broker.acknowledged
    assert len(shop.hypervisor.ran) == 2, "nothing ran twice"
    assert shop.broker.updates[-1].attempt == 2


def test_without_its_connection_a_request_starts_nothing_more(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    shop.take(wanted)
    shop.running(1)
    shop.orchestrator.connection_lost()
    shop.hypervisor.gate.set()
    shop.until(lambda: shop.broker.events_of("web.configure") == ["START", "DONE"], "the end of the running job")
    shop.acknowledged(shop.take(request(chain("db", *DEPLOY), id="hypervisor-2"), connection=2))
    assert f"power_on {vm_id('web')}" not in shop.hypervisor.ran
    shop.acknowledged(shop.take(wanted, attempt=2, connection=2))
    assert shop.hypervisor.vms[vm_id("web")]["power"] == "on"


def test_a_request_that_waited_for_a_vm_is_forgotten_with_its_connection(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    first, second = request(chain("web", *DEPLOY)), request(chain("web", *UNDEPLOY))
    shop.take(first)
    shop.take(second)
    shop.running(1)
    shop.orchestrator.connection_lost()
    tags = [shop.take(first, attempt=2, connection=2), shop.take(second, attempt=2, connection=2)]
    shop.hypervisor.gate.set()
    shop.acknowledged(*tags)
    assert shop.hypervisor.vms == {}


def test_an_error_that_passes_is_tried_again_without_a_session(shop: Shop) -> None:
    busy = [ErrorReport(code="driver.busy", message="later", retryable=True)]

    def fail(_work: Work) -> ErrorReport | None:
        return busy.pop() if busy else None

    shop.hypervisor.fail = fail
    shop.acknowledged(shop.take(request(chain("web", *DEPLOY), open_sessions=1)))
    assert [ran.split()[0] for ran in shop.hypervisor.ran] == ["configure", "configure", "power_on"]
    assert shop.broker.events_of("web.configure") == ["START", "DONE"]


def test_a_job_that_waits_for_its_next_try_finds_its_lane_although_another_request_has_ended(shop: Shop) -> None:
    def fail(work: Work) -> ErrorReport | None:
        tried = len([ran for ran in shop.hypervisor.ran if work.job.vm_id and ran.endswith(work.job.vm_id)])
        late = work.job.vm_id == vm_id("web") and tried == 1
        return ErrorReport(code="driver.busy", message="later", retryable=True) if late else None

    shop.hypervisor.fail = fail
    tags = [shop.take(request(chain("web", Operation.CONFIGURE)))]
    tags += [shop.take(request(chain(f"db{number}", Operation.GET_STATE))) for number in range(5)]
    shop.acknowledged(*tags)
    assert shop.broker.events_of("web.configure") == ["START", "DONE"]


def test_a_defect_of_the_worker_fails_the_job_and_not_the_runner(shop: Shop) -> None:
    def fail(work: Work) -> ErrorReport | None:
        raise ZeroDivisionError

    shop.hypervisor.fail = fail
    shop.acknowledged(shop.take(request(Task(id="t", children=(job("web", Operation.GET_STATE),)))))
    error = shop.broker.updates[-1].error
    assert error is not None
    assert (error.code, error.message) == ("runner.failed", "ZeroDivisionError in the runner")


def test_stopping_lets_running_jobs_end_and_starts_none(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    tag = shop.take(request(chain("web", *DEPLOY)))
    shop.running(1)
    shop.orchestrator.stop()
    shop.take(request(chain("db", *DEPLOY)))
    shop.hypervisor.gate.set()
    shop.thread.join(10)
    assert len(shop.hypervisor.ran) == 1
    assert shop.broker.events_of("web.configure") == ["START", "DONE"]
    assert tag not in shop.broker.acknowledged


def test_runs_that_are_ended_at_the_end_of_the_grace_time_are_no_failures(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    shop.take(request(chain("web", *DEPLOY)))
    shop.running(1)
    shop.orchestrator.stop()
    shop.orchestrator.cancel_runs()
    shop.thread.join(10)
    assert shop.broker.events_of("web.configure") == ["START"]
    assert shop.broker.events_of("web.task") == ["START"]
