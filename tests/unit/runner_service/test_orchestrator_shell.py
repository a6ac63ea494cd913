# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orchestrator's shell with a hypervisor and a broker in memory: requests in, runs and updates out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from runner_service import intake, membership, orchestrator, reporting, suspects
from runner_service.companions import Companions
from runner_service.contract.control import (
    Cancel,
    Drop,
    Heartbeat,
    Sessions,
    TenantSessions,
    WaitingJob,
    WaitsFor,
    Word,
)
from runner_service.contract.messages import ErrorReport, Job, Task, TaskRequest, Update
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from runner_service.core.patience import Patience
from runner_service.core.retry import RetryRule
from runner_service.orchestrator import Orchestrator, OrchestratorRules
from runner_service.ports import ERRAND_UPDATES, Delivery, Errand, NotStarted, Tag, Work
from runner_service.testing import MemoryBroker, MemoryHypervisor
from tests.requests import DEPLOY, UNDEPLOY, appliance, chain, job, request, vm_id
from tests.waiting import wait_until


@dataclass
class Shop:
    """An orchestrator at work, and what is around it."""

    hypervisor: MemoryHypervisor = field(default_factory=MemoryHypervisor)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    deliveries: int = 0
    fence: float = 0.0
    partitions: int = 1
    patience: Patience = Patience()
    solitary: Any = None
    alive: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        rules = OrchestratorRules(
            name="runner-1",
            max_runs=4,
            retry=RetryRule(max_tries=2, first_delay=0.01),
            fence=self.fence,
            partitions=self.partitions,
            patience=self.patience,
        )
        self.orchestrator = Orchestrator(
            self.broker, self.hypervisor, rules, Companions(solitary=self.solitary, alive=self.alive)
        )
        self.thread = threading.Thread(target=self.orchestrator.run)
        self.thread.start()

    def take(self, request: TaskRequest, *, attempt: int = 1, channel: int = 1, again: bool = False,
             partition: int = 0) -> Tag:  # fmt: skip
        self.deliveries += 1
        tag = Tag(channel, self.deliveries)
        delivery = Delivery(request=request, attempt=attempt, tag=tag, again=again or attempt > 1, partition=partition)
        self.orchestrator.take(delivery)
        return tag

    def answer(self, request: TaskRequest, attempt: int, *, go: bool = True, crashes: int = 0) -> None:
        """As the API does, once it was asked."""

        def asked() -> bool:
            found = [update for update in self.broker.updates if update.event is Event.AGAIN]
            return any((update.request_id, update.attempt) == (request.id, attempt) for update in found)

        self.until(asked, "the runner's question")
        self.orchestrator.told(Word(request_id=request.id, attempt=attempt, go=go, crashes=crashes))

    def take_again(self, request: TaskRequest, *, attempt: int = 2, channel: int = 2) -> Tag:
        """A request that is delivered anew, and which the API wants to be carried out."""
        tag = self.take(request, attempt=attempt, channel=channel)
        self.answer(request, attempt)
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


@pytest.mark.parametrize("go", [False, True])
def test_one_that_ended_here_and_comes_again_is_asked_about(shop: Shop, go: bool) -> None:
    """Somebody else may have had it meanwhile: then the API has passed over what we had not yet said of its end."""
    wanted = request(chain("web", *DEPLOY))
    shop.acknowledged(shop.take(wanted))
    before = len(shop.hypervisor.ran)
    tag = shop.take(wanted, attempt=3)
    shop.answer(wanted, 3, go=go)
    shop.acknowledged(tag)
    assert (len(shop.hypervisor.ran) > before) is go
    if go:
        assert shop.broker.updates[-1].attempt == 3
        assert shop.broker.updates[-1].event is Event.DONE


def test_a_connection_that_is_lost_ends_what_runs_and_the_request_is_carried_out_when_it_comes_again(
    shop: Shop,
) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    lost = shop.take(wanted)
    shop.running(1)
    shop.orchestrator.connection_lost()
    again = shop.take_again(wanted)
    shop.hypervisor.gate.set()
    shop.acknowledged(again)
    assert lost not in shop.broker.acknowledged
    assert shop.hypervisor.vms[vm_id("web")]["power"] == "on"
    assert {update.attempt for update in shop.broker.updates[-4:]} == {2}
    assert shop.broker.events_of("web.configure")[:1] == ["START"]


def test_what_a_run_says_after_its_connection_was_lost_counts_nothing(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    shop.take(wanted)
    shop.running(1)
    shop.orchestrator.connection_lost()
    shop.hypervisor.gate.set()
    shop.acknowledged(shop.take(request(chain("db", Operation.DISCOVER), id="hypervisor-2"), channel=2))
    assert shop.broker.events_of("web.configure") == ["START"]
    assert len([ran for ran in shop.hypervisor.ran if ran.endswith(vm_id("web"))]) == 1


def test_a_request_that_waited_for_a_vm_is_forgotten_with_its_connection(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    first, second = request(chain("web", *DEPLOY)), request(chain("web", *UNDEPLOY))
    shop.take(first)
    shop.take(second)
    shop.running(1)
    shop.orchestrator.connection_lost()
    tags = [shop.take_again(first), shop.take_again(second)]
    shop.hypervisor.gate.set()
    shop.acknowledged(*tags)
    assert shop.hypervisor.vms == {}


def test_a_request_that_may_have_been_begun_before_is_not_begun_without_the_apis_word(shop: Shop) -> None:
    tag = shop.take(request(chain("web", *DEPLOY)), again=True)
    shop.until(lambda: shop.broker.updates, "the question")
    asked = shop.broker.updates[-1]
    assert (asked.event, asked.node_id, asked.attempt, asked.sequence) == ("AGAIN", "web.task", 1, 1)
    shop.acknowledged(shop.take(request(chain("db", *DEPLOY))))
    assert tag not in shop.broker.acknowledged
    assert vm_id("web") not in shop.hypervisor.vms


def test_a_request_of_which_the_api_says_that_it_has_ended_is_acknowledged_and_not_carried_out(shop: Shop) -> None:
    wanted = request(chain("web", *DEPLOY))
    tag = shop.take(wanted, attempt=3)
    shop.answer(wanted, 3, go=False)
    shop.acknowledged(tag)
    assert shop.hypervisor.ran == []
    assert [update.event for update in shop.broker.updates] == ["AGAIN"]


def test_a_word_for_another_attempt_is_none(shop: Shop) -> None:
    wanted = request(chain("web", *DEPLOY))
    tag = shop.take(wanted, attempt=3)
    shop.orchestrator.told(Word(request_id=wanted.id, attempt=2, go=False))
    shop.answer(wanted, 3)
    shop.acknowledged(tag)
    assert shop.hypervisor.vms[vm_id("web")]["power"] == "on"


def test_what_is_taken_over_waits_until_the_runner_before_has_surely_ended() -> None:
    shop = Shop(fence=0.5)
    try:
        wanted = request(chain("web", *DEPLOY))
        begun = time.monotonic()
        tags = [shop.take(wanted, attempt=2), shop.take(request(chain("db", *DEPLOY), id="hypervisor-2"))]
        shop.answer(wanted, 2)
        shop.acknowledged(*tags)
        assert time.monotonic() - begun >= 0.5
    finally:
        shop.stop()


def test_a_cancelled_request_is_stopped_and_undone(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    tag = shop.take(wanted)
    shop.running(1)
    shop.orchestrator.told(Cancel(request_id=wanted.id))
    shop.until(lambda: shop.broker.events_of("web.configure")[-1] == "ROLLBACK_START", "the undoing")
    shop.hypervisor.gate.set()
    shop.acknowledged(tag)
    assert shop.broker.events_of("web.task") == ["START", "CANCELLED"]
    assert shop.broker.events_of("web.power_on") == ["ABORTED"]
    assert shop.hypervisor.vms == {}


def test_a_request_that_has_ended_without_us_is_stopped_acknowledged_and_not_undone(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    tag, other = shop.take(wanted), shop.take(request(chain("db", *DEPLOY)))
    shop.running(2)
    said = len(shop.broker.updates)
    shop.orchestrator.told(Drop(request_id=wanted.id))
    shop.acknowledged(tag)
    assert [update for update in shop.broker.updates[said:] if update.request_id == wanted.id] == []
    later = shop.take(request(Task(id="later", children=(job("web", "unconfigure"),))))
    shop.hypervisor.gate.set()
    shop.acknowledged(other, later)
    assert [ran for ran in shop.hypervisor.ran if ran.endswith(vm_id("web"))] == [
        f"configure {vm_id('web')}", f"unconfigure {vm_id('web')}",
    ]  # fmt: skip


def test_a_request_that_has_ended_without_us_is_dropped_while_it_waits_for_its_vm_or_for_the_word(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    first = shop.take(request(chain("web", *DEPLOY)))
    shop.running(1)
    behind, asking = request(Task(id="l", children=(job("web", "power_off"),))), request(chain("db", *DEPLOY))
    tags = [shop.take(behind), shop.take(asking, again=True)]
    for dropped in (behind, asking):
        shop.orchestrator.told(Drop(request_id=dropped.id))
    shop.orchestrator.told(Drop(request_id="nobody-knows-it"))
    shop.acknowledged(*tags)
    shop.hypervisor.gate.set()
    shop.acknowledged(first)
    assert {name: vm["power"] for name, vm in shop.hypervisor.vms.items()} == {vm_id("web"): "on"}


@pytest.fixture
def impatient() -> Iterator[Shop]:
    shop = Shop(patience=Patience(asking=0.05, undoing=0.05))
    yield shop
    shop.stop()


def error_of(shop: Shop, node_id: str, event: Event) -> ErrorReport:
    [update] = [update for update in shop.broker.updates if (update.node_id, update.event) == (node_id, event)]
    assert update.error is not None
    return update.error


def test_a_cancel_does_not_wait_for_a_hanging_question_what_became_of_what_has_no_undoing(impatient: Shop) -> None:
    impatient.hypervisor.gate.clear()
    wanted = request(chain("web", *UNDEPLOY))
    tag = impatient.take(wanted)
    impatient.running(1)
    impatient.orchestrator.told(Cancel(request_id=wanted.id))
    impatient.acknowledged(tag)
    assert [ran.split()[0] for ran in impatient.hypervisor.ran] == ["unconfigure", "would"]
    assert impatient.broker.events_of("web.task") == ["START", "CANCELLED"]
    error = error_of(impatient, "web.unconfigure", Event.ERROR)
    assert (error.code, error.begun) == ("task.cancelled", True), "so that its VM is UNKNOWN, and an event says so"


def test_a_cancel_does_not_wait_for_a_question_that_hung_before(impatient: Shop) -> None:
    impatient.hypervisor.gate.clear()
    wanted = request(chain("web", *UNDEPLOY))
    tag = impatient.take_again(wanted)
    impatient.running(1)
    impatient.orchestrator.told(Cancel(request_id=wanted.id))
    impatient.acknowledged(tag)
    assert impatient.hypervisor.ran == [f"would unconfigure {vm_id('web')}"]
    assert error_of(impatient, "web.unconfigure", Event.ERROR).begun, "by the delivery before, perhaps"


def test_an_undoing_that_hangs_is_given_up_after_a_cancel_and_reported(impatient: Shop) -> None:
    impatient.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    tag = impatient.take(wanted)
    impatient.running(1)
    impatient.orchestrator.told(Cancel(request_id=wanted.id))
    impatient.acknowledged(tag)
    assert [ran.split()[0] for ran in impatient.hypervisor.ran] == ["configure", "unconfigure", "would"]
    assert impatient.broker.events_of("web.configure") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_ERROR"]
    assert impatient.broker.events_of("web.task") == ["START", "CANCELLED"]


def test_an_undoing_that_hung_before_the_cancel_has_its_time_from_then_on(impatient: Shop) -> None:
    def fail(work: Work) -> ErrorReport | None:
        impatient.hypervisor.gate.clear()
        return ErrorReport(code="driver.failed", message="it broke")

    impatient.hypervisor.fail = fail
    wanted = request(chain("web", *DEPLOY))
    tag = impatient.take(wanted)
    impatient.running(2)
    impatient.orchestrator.told(Cancel(request_id=wanted.id))
    impatient.acknowledged(tag)
    assert impatient.broker.events_of("web.configure")[-1] == "ROLLBACK_ERROR"
    assert impatient.broker.events_of("web.task") == ["START", "CANCELLED"]


def test_what_is_not_cancelled_has_its_full_time(impatient: Shop) -> None:
    impatient.hypervisor.gate.clear()
    tags = [impatient.take_again(request(chain("web", *UNDEPLOY)))]
    other = request(chain("db", *UNDEPLOY))
    tags.append(impatient.take(other))
    impatient.running(2)
    impatient.orchestrator.told(Cancel(request_id=other.id))
    impatient.acknowledged(tags[1])
    assert impatient.broker.events_of("web.unconfigure") == ["START"]
    impatient.hypervisor.gate.set()
    impatient.acknowledged(tags[0])
    assert impatient.broker.events_of("web.unconfigure") == ["START", "DONE"]


def test_a_request_that_is_cancelled_while_it_waits_for_its_vm_does_nothing(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    first, second = request(chain("web", *DEPLOY)), request(Task(id="later", children=(job("web", "pause"),)))
    shop.take(first)
    tag = shop.take(second)
    shop.running(1)
    shop.orchestrator.told(Cancel(request_id=second.id))
    shop.hypervisor.gate.set()
    shop.acknowledged(tag)
    assert shop.broker.events_of("later") == ["CANCELLED"]
    assert not any(ran.startswith("pause") for ran in shop.hypervisor.ran)


def test_a_bound_that_is_raised_is_used_at_once(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    tag = shop.take(request(appliance("a", "b", "c", "d"), open_sessions=1))
    shop.running(1)
    shop.orchestrator.told(Sessions(hypervisor_id="hypervisor-1", open_sessions=3))
    shop.running(3)
    shop.hypervisor.gate.set()
    shop.acknowledged(tag)
    assert shop.hypervisor.most_at_once == 3


def test_a_tenants_bound_reaches_what_waits_and_what_comes_later(shop: Shop) -> None:
    def of_tenant(*names: str) -> TaskRequest:
        return replace(request(appliance(*names), open_sessions=4), tenant="t", tenant_sessions=1)

    shop.hypervisor.gate.clear()
    tag = shop.take(of_tenant("a", "b", "c", "d"))
    shop.running(1)
    shop.orchestrator.told(TenantSessions(tenant="t", open_sessions=2))
    shop.running(2)
    shop.hypervisor.gate.set()
    shop.acknowledged(tag)
    shop.orchestrator.told(TenantSessions(tenant="t"))
    shop.hypervisor.gate.clear()
    tag = shop.take(of_tenant("e", "f", "g"))
    shop.until(lambda: shop.hypervisor.most_at_once == 3, "three at once")
    shop.hypervisor.gate.set()
    shop.acknowledged(tag)


def test_the_apis_word_brings_bounds_that_hold(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    again = request(appliance("a", "b", "c"), open_sessions=1)
    tag = shop.take(again, attempt=2)
    bound = Sessions(hypervisor_id="hypervisor-1", open_sessions=3)
    shop.orchestrator.told(Word(request_id=again.id, attempt=2, go=True, sessions=bound))
    shop.running(3)
    shop.hypervisor.gate.set()
    shop.acknowledged(tag)


def test_a_broker_that_is_silent_too_long_is_given_up_with_what_runs(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    shop.take(wanted)
    shop.running(1)
    shop.broker.silent = 60.0
    shop.until(lambda: shop.broker.resets, "the connection to be given up")
    shop.broker.silent = 0.0
    again = shop.take_again(wanted)
    shop.hypervisor.gate.set()
    shop.acknowledged(again)
    assert shop.broker.events_of("web.configure")[0] == "START"


def test_nothing_is_started_while_nothing_is_heard_of_the_broker(shop: Shop) -> None:
    """Not even a retry on a runner on which nothing runs: its request may be somebody else's by now."""

    def fail(_work: Work) -> ErrorReport:
        shop.broker.silent = 60.0
        return ErrorReport(code="driver.busy", message="busy", retryable=True, begun=False)

    shop.hypervisor.fail = fail
    wanted = request(chain("web", *DEPLOY))
    shop.take(wanted)
    shop.until(lambda: shop.broker.resets, "the connection to be given up")
    assert shop.hypervisor.ran == [f"configure {vm_id('web')}"]
    shop.hypervisor.fail = lambda _work: None
    shop.broker.silent = 0.0
    shop.acknowledged(shop.take_again(wanted))


def test_a_status_says_what_waits_for_what(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    tags = [
        shop.take(request(appliance("a", "b", "c"), open_sessions=1)),
        shop.take(request(Task(id="later", children=(job("a", "pause"),)))),
        shop.take(request(Task(id="again", children=(job("d", "pause"),))), again=True),
    ]

    def complete() -> list[WaitingJob]:
        status = shop.broker.statuses[-1]
        return list(status.jobs) if len(status.jobs) == 4 else []

    shop.until(complete, "a status with all that waits")
    waiting = {waits.job_id: (waits.waits_for, waits.place) for waits in complete()}
    assert waiting == {
        "b.configure": ("session", 1),
        "c.configure": ("session", 2),
        "a.pause": ("vm", None),
        "d.pause": ("word", None),
    }
    (lane,) = shop.broker.statuses[-1].lanes
    assert (lane.sessions, lane.in_use, lane.waiting) == (1, 1, 2)
    shop.hypervisor.gate.set()
    shop.acknowledged(*tags[:2])


def _peer(name: str, *, sequence: int = 1, stopping: bool = False) -> Heartbeat:
    return Heartbeat(runner_id=name, sequence=sequence, stopping=stopping)


def test_a_status_names_the_requests_that_a_runner_holds(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "MAX_HELD_NAMED", 2)
    shop.hypervisor.gate.clear()
    wanted = [request(chain(name, *DEPLOY)) for name in ("web", "db", "app")]
    for each in wanted:
        shop.take(each)
    shop.until(lambda: shop.broker.statuses and shop.broker.statuses[-1].requests == 3, "a status with all of them")
    assert shop.broker.statuses[-1].holds == (wanted[0].id, wanted[1].id)
    shop.hypervisor.gate.set()
    shop.until(lambda: shop.broker.statuses[-1].requests == 0, "a status without any")
    assert shop.broker.statuses[-1].holds == ()


def test_a_heartbeat_comes_every_second_and_a_status_when_there_is_something_new(shop: Shop) -> None:
    shop.until(lambda: len(shop.broker.heartbeats) >= 4, "four heartbeats")
    assert [beat.sequence for beat in shop.broker.heartbeats[:4]] == [1, 2, 3, 4]
    assert len(shop.broker.statuses) == 1, "nothing has changed since"
    shop.hypervisor.gate.clear()
    tag = shop.take(request(chain("web", *DEPLOY)))
    shop.until(lambda: shop.broker.statuses[-1].running == 1, "a status that says what runs")
    shop.orchestrator.stop()
    shop.until(lambda: shop.broker.statuses[-1].stopping and shop.broker.heartbeats[-1].stopping, "the last words")
    assert tag not in shop.broker.acknowledged


def test_a_partition_is_given_up_once_what_runs_of_it_has_ended_and_nothing_new_is_started() -> None:
    shop = Shop(partitions=2)
    try:
        shop.until(lambda: shop.broker.consumed == {0, 1}, "both partitions")
        shop.hypervisor.gate.clear()
        tags = {
            partition: shop.take(request(chain(f"vm{partition}", *DEPLOY), id=f"h{partition}"), partition=partition)
            for partition in (0, 1)
        }
        shop.running(2)
        shop.orchestrator.told(_peer("another"))
        shop.until(lambda: len(shop.broker.consumed) == 1, "one partition to be given up")
        [kept] = shop.broker.consumed
        given_up = 1 - kept
        assert shop.broker.released == [], "something of it runs"
        shop.hypervisor.gate.set()
        shop.until(lambda: shop.broker.released == [given_up], "the partition to be released")
        shop.acknowledged(tags[kept])
        assert shop.broker.events_of(f"vm{given_up}.configure") == ["START", "DONE"]
        assert shop.broker.events_of(f"vm{given_up}.power_on") == []
        assert tags[given_up] not in shop.broker.acknowledged
        shop.orchestrator.told(_peer("another", sequence=2, stopping=True))
        shop.until(lambda: shop.broker.consumed == {0, 1}, "both partitions again")
    finally:
        shop.stop()


def test_work_goes_on_while_a_long_run_keeps_a_partition_from_being_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "PATIENCE", 0.0)
    shop, copied = Shop(partitions=2), threading.Event()
    shop.hypervisor.fail = lambda work: copied.wait(60) and None if work.job.id.startswith("long") else None
    try:
        shop.until(lambda: shop.broker.consumed == {0, 1}, "both partitions")
        longs = [_deployed(shop, f"long{partition}", partition) for partition in (0, 1)]
        shop.running(2)
        shop.orchestrator.told(_peer("another"))
        shop.until(lambda: shop.broker.statuses[-1].draining, "one partition to be on its way out")
        shop.acknowledged(*(_deployed(shop, f"short{partition}", partition) for partition in (0, 1)))
        assert shop.broker.released == []
        copied.set()
        shop.until(lambda: len(shop.broker.released) == 1, "the partition to be released")
        [given_up] = shop.broker.released
        shop.acknowledged(longs[1 - given_up])
        shop.until(lambda: not shop.broker.statuses[-1].draining, "nothing to be on its way out")
    finally:
        copied.set()
        shop.stop()


def test_what_was_held_goes_on_when_the_partition_stays_after_all() -> None:
    shop = Shop(partitions=2)
    try:
        shop.until(lambda: shop.broker.consumed == {0, 1}, "both partitions")
        shop.hypervisor.gate.clear()
        tags = [_deployed(shop, f"vm{partition}", partition) for partition in (0, 1)]
        shop.running(2)
        shop.orchestrator.told(_peer("another"))
        shop.until(lambda: shop.broker.statuses[-1].draining, "one partition to be on its way out")
        tags += [_deployed(shop, f"later{partition}", partition) for partition in (0, 1)]
        shop.orchestrator.told(_peer("another", sequence=2, stopping=True))
        shop.until(lambda: not shop.broker.statuses[-1].draining, "it to stay")
        shop.hypervisor.gate.set()
        shop.acknowledged(*tags)
        assert {update.attempt for update in shop.broker.updates} == {1}
    finally:
        shop.stop()


def test_a_cancel_does_not_wait_for_a_hand_over() -> None:
    shop = Shop(partitions=2)
    try:
        shop.until(lambda: shop.broker.consumed == {0, 1}, "both partitions")
        shop.hypervisor.gate.clear()
        wanted = [request(chain(f"vm{partition}", *DEPLOY), id=f"h{partition}") for partition in (0, 1)]
        tags = [shop.take(each, partition=partition) for partition, each in enumerate(wanted)]
        shop.running(2)
        shop.orchestrator.told(_peer("another"))
        shop.until(lambda: shop.broker.statuses[-1].draining, "one partition to be on its way out")
        for each in wanted:
            shop.orchestrator.told(Cancel(request_id=each.id))
        for partition in (0, 1):
            node = f"vm{partition}.configure"
            shop.until(lambda node=node: "ROLLBACK_START" in shop.broker.events_of(node), "the undoing")
        shop.hypervisor.gate.set()
        shop.acknowledged(*tags)
        assert shop.hypervisor.vms == {}
    finally:
        shop.stop()


def _deployed(shop: Shop, name: str, partition: int) -> Tag:
    return shop.take(request(chain(name, *DEPLOY), id=f"h{partition}", open_sessions=2), partition=partition)


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
    assert shop.broker.events_of("web.task") == ["START", "BACK"], "it did not break off"
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


@dataclass
class Coffin:
    """A Solitary that breaks off as often as it is told to, and then carries the request out."""

    breaks: int
    errands: list[Errand] = field(default_factory=list)

    def carry_out(self, errand: Errand, stopped: Callable[[], bool], cancelled: Callable[[], bool]) -> bool:
        self.errands.append(errand)
        return len(self.errands) > self.breaks


@dataclass
class Cell:
    """A Solitary whose process goes on until it is let out, cancelled or stopped; then the request has ended, unless it
    was stopped."""

    open: threading.Event = field(default_factory=threading.Event)
    inside: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def carry_out(self, errand: Errand, stopped: Callable[[], bool], cancelled: Callable[[], bool]) -> bool:
        self.inside.append(errand.request.id)
        while not (self.open.wait(0.005) or stopped()):
            if cancelled():
                self.cancelled.append(errand.request.id)
                return True
        return not stopped()


def _suspect(shop: Shop, wanted: TaskRequest | None = None, *, crashes: int = 3, attempt: int = 5) -> Tag:
    wanted = wanted or request(chain("web", *DEPLOY))
    tag = shop.take(wanted, attempt=attempt)
    shop.answer(wanted, attempt, crashes=crashes)
    return tag


@pytest.fixture
def prison() -> Iterator[Shop]:
    shop = Shop(solitary=Cell())
    yield shop
    shop.solitary.open.set()
    shop.stop()


def test_a_request_that_broke_runners_off_is_carried_out_in_a_process_of_its_own() -> None:
    shop = Shop(solitary=Coffin(breaks=0))
    try:
        shop.acknowledged(_suspect(shop))
        [errand] = shop.solitary.errands
        assert (errand.attempt, errand.sequence) == (5, 1)
        assert vm_id("web") not in shop.hypervisor.vms, "the process of its own did it"
    finally:
        shop.stop()


def test_a_suspect_has_a_session_of_its_lane_and_all_others_go_on(prison: Shop) -> None:
    prison.hypervisor.gate.clear()
    tag = _suspect(prison, request(chain("web", *DEPLOY), open_sessions=2))
    prison.until(lambda: prison.solitary.inside, "the suspect to be begun")
    tags = [prison.take(request(chain(name, Operation.CONFIGURE), open_sessions=2)) for name in ("db", "app")]
    tags.append(prison.take(request(chain("lb", Operation.CONFIGURE), id="hypervisor-2")))
    prison.until(lambda: prison.broker.statuses[-1].running == 3, "the suspect, one beside it, and one elsewhere")
    lanes = {lane.hypervisor_id: (lane.in_use, lane.waiting) for lane in prison.broker.statuses[-1].lanes}
    assert lanes == {"hypervisor-1": (2, 1), "hypervisor-2": (1, 0)}
    prison.hypervisor.gate.set()
    prison.acknowledged(*tags)
    assert tag not in prison.broker.acknowledged
    prison.solitary.open.set()
    prison.acknowledged(tag)


def test_a_suspect_waits_for_a_session_and_for_its_vm_as_any_other(prison: Shop) -> None:
    prison.hypervisor.gate.clear()
    first = prison.take(request(chain("web", Operation.CONFIGURE), open_sessions=1))
    prison.running(1)
    later = request(Task(id="later", children=(job("web", "power_on"),)), open_sessions=1)
    tags = [_suspect(prison, later), _suspect(prison, request(chain("db", *DEPLOY), open_sessions=1))]

    def waiting() -> dict[str, tuple[str, int | None]]:
        return {waits.job_id: (waits.waits_for, waits.place) for waits in prison.broker.statuses[-1].jobs}

    prison.until(lambda: waiting() == {"web.power_on": ("vm", None), "db.configure": ("session", 1)}, "both to wait")
    assert prison.solitary.inside == []
    prison.solitary.open.set()
    prison.hypervisor.gate.set()
    prison.acknowledged(first, *tags)


def test_a_suspect_that_is_cancelled_is_told_so_whether_it_waits_or_runs(prison: Shop) -> None:
    running, waiting = (request(chain(name, *DEPLOY), open_sessions=1) for name in ("web", "db"))
    tags = [_suspect(prison, running), _suspect(prison, waiting)]
    prison.until(lambda: prison.solitary.inside == [running.id], "the first to be begun")
    prison.orchestrator.told(Cancel(request_id=waiting.id))
    prison.orchestrator.told(Cancel(request_id=running.id))
    prison.acknowledged(*tags)
    assert prison.solitary.cancelled == [running.id, waiting.id]


def test_a_suspect_that_is_cancelled_has_its_turn_before_what_only_goes_on(prison: Shop) -> None:
    prison.hypervisor.gate.clear()
    prison.take(request(chain("web", Operation.CONFIGURE), open_sessions=1))
    prison.running(1)
    tags = [prison.take(request(chain("app", Operation.CONFIGURE), open_sessions=1))]
    suspect = request(chain("db", *DEPLOY), open_sessions=1)
    tags.append(_suspect(prison, suspect))
    prison.orchestrator.told(Cancel(request_id=suspect.id))
    prison.hypervisor.gate.set()
    prison.acknowledged(*tags)
    assert prison.broker.acknowledged[1:] == [tags[1], tags[0]]
    assert prison.solitary.cancelled == [suspect.id]


@dataclass
class Brittle(Cell):
    """Its first process breaks off when it is told to."""

    struck: threading.Event = field(default_factory=threading.Event)

    def carry_out(self, errand: Errand, stopped: Callable[[], bool], cancelled: Callable[[], bool]) -> bool:
        if self.inside:
            return super().carry_out(errand, stopped, cancelled)
        self.inside.append(errand.request.id)
        self.struck.wait(10)
        return False


@pytest.mark.parametrize("strikes", [0, 1])
def test_a_suspect_that_is_cancelled_and_gets_no_session_is_ended_without_one(strikes: int) -> None:
    cell = Brittle() if strikes else Cell()
    shop = Shop(solitary=cell, patience=Patience(asking=0.05))
    shop.hypervisor.gate.clear()
    hangs, suspect = (request(chain(name, *DEPLOY), open_sessions=1) for name in ("web", "db"))
    try:
        if isinstance(cell, Brittle):
            tag = _suspect(shop, suspect)
            shop.until(lambda: cell.inside, "the first process")
            hanging = shop.take(hangs)
            shop.until(lambda: shop.broker.statuses[-1].jobs, "what hangs to wait behind it")
            cell.struck.set()
        else:
            hanging, tag = shop.take(hangs), _suspect(shop, suspect)
        shop.running(1)
        shop.orchestrator.told(Cancel(request_id=suspect.id))
        shop.acknowledged(tag)
        assert hanging not in shop.broker.acknowledged
        assert cell.inside == [suspect.id] * strikes
        told = [update for update in shop.broker.updates if update.request_id == suspect.id]
        assert [update.sequence for update in told[1:]] == [
            strikes * ERRAND_UPDATES + 2 + n for n in range(len(told) - 1)
        ]
        for job_id in ("db.configure", "db.power_on"):
            assert shop.broker.events_of(job_id) == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_ERROR"]
        assert shop.broker.events_of("db.task") == ["AGAIN", "START", "CANCELLED"]
        error = error_of(shop, "db.configure", Event.ROLLBACK_ERROR)
        assert (error.code, error.begun) == ("task.cancelled", True), "so that its VM is UNKNOWN, and an event says so"
    finally:
        shop.stop()


@dataclass
class Stillborn(Cell):
    """No process can be made, as often as it is told to."""

    fails: int = 5

    def carry_out(self, errand: Errand, stopped: Callable[[], bool], cancelled: Callable[[], bool]) -> bool:
        if self.fails:
            self.fails -= 1
            raise NotStarted("no room for a process")
        return super().carry_out(errand, stopped, cancelled)


def test_a_suspect_that_has_ended_without_us_is_stopped_and_acknowledged(prison: Shop) -> None:
    wanted = request(chain("web", *DEPLOY))
    tag = _suspect(prison, wanted)
    prison.until(lambda: prison.solitary.inside, "the suspect to be begun")
    prison.orchestrator.told(Drop(request_id=wanted.id))
    prison.acknowledged(tag)
    assert prison.solitary.inside == [wanted.id]
    assert prison.solitary.cancelled == prison.broker.given_up == []


def test_that_no_process_can_be_made_for_a_suspect_is_not_its_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "NEXT_START", 0.01)
    cell = Stillborn()
    cell.open.set()
    shop = Shop(solitary=cell)
    try:
        shop.acknowledged(_suspect(shop))
        assert (cell.fails, len(cell.inside), shop.broker.given_up) == (0, 1, [])
    finally:
        shop.stop()


def test_a_suspect_is_stopped_with_its_connection_and_comes_again(prison: Shop) -> None:
    wanted = request(chain("web", *DEPLOY))
    lost = _suspect(prison, wanted)
    prison.until(lambda: prison.solitary.inside, "the suspect to be begun")
    prison.orchestrator.connection_lost()
    again = prison.take(wanted, attempt=6, channel=2)
    prison.answer(wanted, 6, crashes=3)
    prison.until(lambda: len(prison.solitary.inside) == 2, "the suspect to be begun again")
    prison.solitary.open.set()
    prison.acknowledged(again)
    assert lost not in prison.broker.acknowledged


def test_a_request_that_comes_very_often_is_carried_out_alone_although_no_crash_was_counted() -> None:
    shop = Shop(solitary=Coffin(breaks=0))
    try:
        shop.acknowledged(_suspect(shop, crashes=0, attempt=20))
        assert shop.solitary.errands == []
        shop.acknowledged(_suspect(shop, request(chain("db", *DEPLOY)), crashes=0, attempt=21))
        assert [errand.attempt for errand in shop.solitary.errands] == [21]
    finally:
        shop.stop()


def test_one_that_broke_very_many_runners_off_is_begun_after_a_pause_and_all_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(intake, "PAUSE", 3600.0)
    monkeypatch.setattr(intake, "LONGEST_PAUSE", 3600.0)
    shop = Shop(solitary=Coffin(breaks=0))
    try:
        suspect = request(chain("web", *DEPLOY))
        tag = _suspect(shop, suspect, crashes=6)
        shop.acknowledged(_suspect(shop, request(chain("db", *DEPLOY)), crashes=5))
        shop.until(lambda: shop.broker.statuses[-1].jobs, "it to be named")
        assert shop.broker.statuses[-1].jobs == (WaitingJob(job_id="web.configure", waits_for=WaitsFor.PAUSE),)
        assert tag not in shop.broker.acknowledged
        shop.orchestrator.told(Cancel(request_id=suspect.id))
        shop.acknowledged(tag)
    finally:
        shop.stop()


def test_the_pause_doubles_and_has_an_end() -> None:
    assert [intake.pause_after(crashes) for crashes in (0, 5, 6, 7, 8, 11, 12, 10_000)] == [
        0.0, 0.0, 5.0, 10.0, 20.0, 160.0, 300.0, 300.0,
    ]  # fmt: skip


def test_those_that_were_broken_off_together_do_not_begin_together_again() -> None:
    names = [f"request-{number}" for number in range(20)]
    orders = set()
    for crashes in range(12, 22):
        pauses = {name: intake.own_pause_after(crashes, name) for name in names}
        assert 150.0 <= min(pauses.values()) < 300.0 < max(pauses.values()) < 450.0
        orders.add(tuple(sorted(names, key=pauses.__getitem__)))
    assert len(orders) == 10


def test_a_request_has_a_pause_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "PAUSE", 3600.0)
    monkeypatch.setattr(intake, "LONGEST_PAUSE", 3600.0)
    monkeypatch.setattr(intake, "own_pause_after", lambda crashes, request_id: 0.0)
    shop = Shop(solitary=Coffin(breaks=0))
    try:
        shop.acknowledged(_suspect(shop, crashes=6))
    finally:
        shop.stop()


def test_a_pause_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(intake, "PAUSE", 0.05)
    shop = Shop(solitary=Coffin(breaks=0))
    try:
        shop.acknowledged(_suspect(shop, crashes=6))
    finally:
        shop.stop()


def _defective(monkeypatch: pytest.MonkeyPatch, name: str, vm: str) -> None:
    """What the core has to say of a request about this VM is an exception."""
    sound = getattr(orchestrator, name)

    def unsound(subject: Any, *given: Any, **options: Any) -> Any:
        if any(job.vm_id == vm_id(vm) for job in jobs_of(subject)):
            raise ZeroDivisionError
        return sound(subject, *given, **options)

    monkeypatch.setattr(orchestrator, name, unsound)


def jobs_of(subject: Any) -> list[Job]:
    nodes = subject.jobs() if isinstance(subject, Task) else subject.shape.nodes
    return [node for node in nodes if isinstance(node, Job)]


@pytest.mark.parametrize("place", ["begin", "after"])
def test_a_request_that_meets_a_defect_of_the_core_is_given_up_and_the_runner_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    _defective(monkeypatch, place, "web")
    tags = [shop.take(request(chain(name, *DEPLOY), open_sessions=1)) for name in ("web", "db")]
    behind = shop.take(request(Task(id="behind", children=(job("web", "get_state"),)), id="hypervisor-2"))
    shop.acknowledged(*tags, behind)
    assert [(delivery.tag, "ZeroDivisionError" in reason) for delivery, reason in shop.broker.given_up] == [
        (tags[0], True), (behind, True),
    ]  # fmt: skip
    assert shop.broker.events_of("db.task") == ["START", "DONE"]
    assert not any(ran.endswith(vm_id("web")) for ran in shop.hypervisor.ran)


def test_what_runs_of_a_request_that_meets_a_defect_is_stopped_before_it_is_given_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    tag = shop.take(wanted)
    shop.running(1)
    _defective(monkeypatch, "after", "web")
    shop.orchestrator.told(Cancel(request_id=wanted.id))
    shop.acknowledged(tag)
    assert len(shop.broker.given_up) == 1
    shop.hypervisor.gate.set()
    shop.acknowledged(shop.take(request(chain("db", *DEPLOY))))


def test_a_request_that_brings_its_own_process_down_three_times_is_given_up_with_the_reason() -> None:
    shop = Shop(solitary=Coffin(breaks=3))
    try:
        tag = _suspect(shop)
        shop.acknowledged(tag)
        [(delivery, reason)] = shop.broker.given_up
        assert delivery.attempt == 5
        assert "by itself, 3 times" in reason
        sequences = [errand.sequence for errand in shop.solitary.errands]
        assert sequences == [1, 1_000_001, 2_000_001], "no update of a later try is older than one of an earlier"
        shop.acknowledged(shop.take(request(chain("db", *DEPLOY))))
    finally:
        shop.stop()


def test_one_that_broke_runners_off_less_often_is_carried_out_among_the_others() -> None:
    shop = Shop(solitary=Coffin(breaks=3))
    try:
        shop.acknowledged(_suspect(shop, crashes=2))
        assert shop.solitary.errands == []
        assert shop.hypervisor.vms[vm_id("web")]["power"] == "on"
    finally:
        shop.stop()


def test_a_bound_that_was_told_holds_for_requests_that_were_made_before(shop: Shop) -> None:
    shop.hypervisor.gate.clear()
    first = shop.take(request(appliance("a", "b"), open_sessions=2))
    shop.running(2)
    shop.orchestrator.told(Sessions(hypervisor_id="hypervisor-1", open_sessions=1))
    tags = [shop.take(request(chain(name, Operation.CONFIGURE), open_sessions=4)) for name in ("c", "d", "e")]
    shop.until(lambda: shop.broker.statuses[-1].requests == 4, "the later requests to be with the lane")
    assert len(shop.hypervisor.ran) == 2
    shop.hypervisor.most_at_once = 0
    shop.hypervisor.gate.set()
    shop.acknowledged(first, *tags)
    assert shop.broker.statuses[-1].lanes == () or shop.broker.statuses[-1].lanes[0].sessions == 1


def test_two_copies_that_come_while_the_old_runs_are_dying_are_both_acknowledged_as_the_newest_attempt(
    shop: Shop,
) -> None:
    shop.hypervisor.gate.clear()
    wanted = request(chain("web", *DEPLOY))
    shop.take(wanted)
    shop.running(1)
    shop.orchestrator.connection_lost()
    tags = [shop.take(wanted, attempt=2, channel=2), shop.take(wanted, attempt=4, channel=2)]
    shop.hypervisor.gate.set()
    shop.answer(wanted, 2)
    shop.orchestrator.told(Word(request_id=wanted.id, attempt=4, go=True))
    shop.acknowledged(*tags)
    assert shop.broker.updates[-1].attempt == 4


def test_a_request_is_handed_back_before_its_partition_is_released(shop: Shop) -> None:
    order: list[str] = []
    publish, release = shop.broker.publish, shop.broker.release

    def published(update: Update) -> None:
        order.append(update.event.value)
        publish(update)

    def released(partition: int, done: Callable[[], None]) -> None:
        order.append("released")
        release(partition, done)

    shop.broker.publish, shop.broker.release = published, released  # type: ignore[method-assign]
    shop.hypervisor.gate.clear()
    shop.take(request(appliance("a", "b", "c"), open_sessions=1))
    shop.running(1)
    shop.orchestrator.stop()
    shop.hypervisor.gate.set()
    shop.thread.join(10)
    assert order[-2:] == ["BACK", "released"]


def test_the_guardian_hears_that_we_live_before_anything_is_started_after_a_long_silence() -> None:
    signs: list[int] = []
    shop = Shop(alive=lambda: signs.append(len(shop.hypervisor.ran)))
    try:
        shop.broker.silent = 60.0
        shop.until(lambda: len(signs) > 0, "a sign although the broker is silent: nothing runs")
        signs.clear()
        shop.broker.silent = 0.0
        shop.acknowledged(shop.take(request(chain("web", Operation.CONFIGURE))))
        assert signs[0] == 0, "before the run"
    finally:
        shop.stop()
