# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever breaks, wherever a runner dies, and whenever it is cancelled: what the API believes of a VM is so at the
hypervisor.

The core's decisions are carried out on a real driver by the code that the playbooks' modules call; its reports go
through the contract's tables and the API's own rule for a VM's state.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Busy,
    DriverError,
    Unreachable,
    deciding,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake import FakeDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.ensure import (
    Result,
    ensure_absent,
    ensure_power,
    ensure_present,
)
from ansible_collections.millwright.virt.plugins.module_utils.ensure_snapshots import (
    SnapshotResult,
    ensure_no_snapshot,
    ensure_snapshot,
    revert_to_snapshot,
)
from ansible_collections.millwright.virt.plugins.module_utils.ensure_template import TemplateResult, ensure_template
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import (
    OBSERVED,
    PowerAction,
    PowerState,
    VmState,
)
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate
from runner_service.contract.messages import ErrorReport, Job, Mode, Task
from runner_service.contract.operations import OPERATIONS, Operation
from runner_service.contract.states import (
    JOB_TRANSITIONS,
    ROLLBACK_TRANSITIONS,
    TASK_TRANSITIONS,
    Event,
    JobState,
    RollbackState,
    TaskState,
    advance,
)
from runner_service.core.retry import RetryRule
from runner_service.core.steps import Outcome, Start
from tests.drive import UNSEEN, Drive
from tests.requests import DEPLOY, definition, job, vm_id
from webapi.services.vm_states import Before, state_after

TASK = "web.task"
ROLLBACKS = {Event.ROLLBACK_START, Event.ROLLBACK_DONE, Event.ROLLBACK_ERROR}
POWER = {
    Operation.POWER_ON: PowerAction.ON,
    Operation.POWER_OFF: PowerAction.OFF,
    Operation.SHUTDOWN: PowerAction.SHUTDOWN,
    Operation.PAUSE: PowerAction.PAUSE,
    Operation.RESUME: PowerAction.RESUME,
    Operation.RESET: PowerAction.RESET,
}


class Killed(BaseException):
    """The runner is no more."""


class Ended(BaseException):
    """The run was ended from outside, and nobody saw what it had done."""


@dataclass(frozen=True)
class Accident:
    """What goes wrong in one run: at its nth call of the driver (0: when it is opened), before or after the call did
    its work, or in the middle of it, where a driver may leave files behind."""

    call: int
    when: str
    what: type[BaseException]
    leaves: bool = False

    def strike(self, call: int, when: str) -> None:
        if (call, when) == (self.call, self.when):
            raise self.what("it broke") if issubclass(self.what, DriverError) else self.what


class Line:
    """The real driver, at the end of a line that an accident may cut."""

    def __init__(self, store: Store, accident: Accident | None):
        self._accident = accident
        self._calls = 0
        store.tell({})
        if accident and accident.when == "middle":
            work = [{"operation": name, "leave": accident.leaves} for name in ("create", "update", "delete", "power_*")]
            store.tell({"failures": work})
        self._driver = self._call(
            lambda: FakeDriver.open(Connection(hypervisor_type="fake", url=f"fake://{store.directory}"))
        )

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        return (lambda *given, **named: self._call(lambda: found(*given, **named))) if callable(found) else found

    def _call(self, act: Callable[[], Any]) -> Any:
        call, self._calls = self._calls, self._calls + 1
        if self._accident is None:
            return act()
        self._accident.strike(call, "before")
        try:
            result = act()
        except DriverError:
            if self._accident.when == "middle" and not issubclass(self._accident.what, DriverError):
                raise self._accident.what from None
            raise
        self._accident.strike(call, "after")
        return result


def carried_out(driver: Any, job: Job, *, dry_run: bool) -> Result | SnapshotResult | TemplateResult:
    """As the module that the job's playbook calls does it."""
    assert job.vm is not None
    ref = VmRef.of(job.vm)
    match job.operation:
        case Operation.CONFIGURE:
            return ensure_present(driver, job.vm, dry_run=dry_run)
        case Operation.RECONFIGURE:
            return ensure_present(driver, job.vm, dry_run=dry_run, create=False)
        case Operation.UNCONFIGURE:
            return ensure_absent(driver, ref, dry_run=dry_run)
        case Operation.GET_STATE:
            found = driver.find(ref)
            return Result(changed=False, before=found, after=found)
    if job.operation in POWER:
        return ensure_power(driver, ref, POWER[job.operation], timeout=1, dry_run=dry_run)
    return made_beside(driver, ref, job.operation, dry_run=dry_run)


def made_beside(driver: Any, ref: VmRef, operation: Operation, *, dry_run: bool) -> SnapshotResult | TemplateResult:
    """What is made of a VM."""
    match operation:
        case Operation.SNAPSHOT_CREATE:
            return ensure_snapshot(driver, ref, WantedSnapshot(name="first"), dry_run=dry_run)
        case Operation.SNAPSHOT_REVERT:
            return revert_to_snapshot(driver, ref, "first", dry_run=dry_run)
        case Operation.SNAPSHOT_DELETE:
            return ensure_no_snapshot(driver, ref, "first", children=False, dry_run=dry_run)
        case Operation.CAPTURE:
            return ensure_template(driver, ref, WantedTemplate(name="golden"), dry_run=dry_run)
    raise KeyError(operation)


def outcome_of(store: Store, start: Start, accident: Accident | None) -> Outcome:
    try:
        with deciding():
            driver = Line(store, accident)
        told = carried_out(driver, start.job, dry_run=start.check).to_dict()
    except Ended:
        return UNSEEN
    except DriverError as error:
        told = error.to_dict()
        report = ErrorReport(
            code=told["code"], message=told["msg"], retryable=told["retryable"], left=tuple(told["left"]),
            begun=told["begun"],
        )  # fmt: skip
        return Outcome(error=report)
    return Outcome(changed=told["changed"], vm=told.get("vm"), before=told.get("before"))


@dataclass
class Belief:
    """What the API believes of the one VM, and of the request on its way."""

    state: VmState = VmState.ALLOCATED
    memory_mib: int = 64
    #: Whether more is known than the power state: not of a VM that was UNKNOWN once, until it is made anew.
    sure: bool = True
    task: TaskState = TaskState.QUEUED
    jobs: dict[str, JobState] = field(default_factory=dict)
    rollbacks: dict[str, RollbackState] = field(default_factory=dict)

    def ask(self, operations: tuple[Operation, ...], memory_mib: int) -> Task:
        previous = definition("web", memory_mib=self.memory_mib)
        children = tuple(
            job("web", operation, definition=definition("web", memory_mib=memory_mib), previous=previous)
            for operation in operations
        )
        self.task = TaskState.QUEUED
        self.jobs = {child.id: JobState.PENDING for child in children}
        self.rollbacks = {child.id: RollbackState.NONE for child in children}
        chain = Task(id=TASK, children=children)
        return Task(id="root", mode=Mode.CONCURRENT, children=(chain,))

    def take(self, node: str, event: Event, outcome: Outcome) -> None:
        """A report. Raises IllegalTransition for one that the API would refuse."""
        if node == TASK:
            self.task = advance(TASK_TRANSITIONS, self.task, event)
        elif node in self.jobs:
            if event in ROLLBACKS:
                self.rollbacks[node] = advance(ROLLBACK_TRANSITIONS, self.rollbacks[node], event)
            else:
                self.jobs[node] = advance(JOB_TRANSITIONS, self.jobs[node], event)
            operation = Operation(node.partition(".")[2])
            self.state = state_after(operation, event, outcome.vm, outcome.error, Before(self.state)) or self.state
            self.sure = self.state is not VmState.UNKNOWN and (self.sure or self.state is VmState.ALLOCATED)
            # What it was when the snapshot was taken, the API keeps beside it.
            self.sure = self.sure and operation is not Operation.SNAPSHOT_REVERT

    def settle(self, memory_mib: int) -> None:
        """The task has ended: what it asked for has become the VM's definition, or was given up."""
        if self.task is TaskState.FINISHED_SUCCESSFULLY:
            self.memory_mib = memory_mib


def fits(store: Store, belief: Belief) -> bool:
    """Whether the hypervisor is as the API believes; a VM of which it knows that it cannot tell may be anything."""
    world = store.read()
    machine = world.machines.get(vm_id("web"))
    if belief.state is VmState.UNKNOWN:
        return True
    if belief.state is VmState.ALLOCATED:
        return machine is None and not list(world.files_of(vm_id("web")))
    power = PowerState.OFF if belief.state is VmState.CONFIGURED else None
    return (
        machine is not None
        and (machine.power is power or OBSERVED[machine.power] is belief.state)
        and (not belief.sure or (machine.memory_mib == belief.memory_mib and bool(list(world.files_of(machine.uuid)))))
    )


class Attempt(Drive):
    """One delivery of a request; its reports reach the API one by one, until the runner dies."""

    def __init__(self, task: Task, attempt: int, run: Callable[..., Outcome], tell: Callable[[Any], None]):
        self._run, self._tell_api = run, tell
        super().__init__(task, self._ran, attempt=attempt, retry=RetryRule(max_tries=2))

    def _ran(self, start: Start) -> Outcome:
        return self._run(start, stopped=start.job.id in self.stopped)

    def cancelled_after(self, moments: int) -> None:
        """Go on for so many starts and ends of runs, then cancel."""
        for _ in range(moments):
            if self.waiting:
                self.start()
            elif self.running:
                self.end()
        self.cancel()

    def _take(self, steps: Any) -> None:
        told = len(self.reports)
        super()._take(steps)
        for report in self.reports[told:]:
            self._tell_api((*report, self.outcomes[report] or Outcome()))


def carry_out(
    store: Store, belief: Belief, task: Task, accidents: Sequence[Accident | None], dies_after: Sequence[int] = (),
    cancelled_after: int | None = None,
) -> None:  # fmt: skip
    """Deliver the request until a runner brings it to its end; each run has its accident, and each runner in turn dies
    after so many reports. It is cancelled after so many moments of the first runner, or else as soon as it comes again.
    """
    next_accident, next_death = iter(accidents), iter(dies_after)
    for attempt in range(1, 20):
        reports = iter(range(next(next_death, 10_000)))

        def tell(report: tuple[str, Event, Outcome], reports: Any = reports) -> None:
            belief.take(*report)
            # What has ended is acknowledged in the same moment, and does not come again.
            if next(reports, None) is None and belief.task in (TaskState.QUEUED, TaskState.STARTED):
                raise Killed

        def run(start: Start, *, stopped: bool) -> Outcome:
            accident = next(next_accident, None)
            if stopped:
                accident = replace(accident or HALFWAY, what=Ended)
            return outcome_of(store, start, accident)

        try:
            drive = Attempt(task, attempt, run, tell)
            if cancelled_after is not None:
                drive.cancelled_after(cancelled_after if attempt == 1 else 0)
            drive.to_the_end()
        except Killed:
            continue
        return
    raise AssertionError("it never ends")


HALFWAY = Accident(2, "middle", Ended)
ACTIONS: dict[str, tuple[Operation, ...]] = {
    "deploy": DEPLOY,
    "there and back": (Operation.SNAPSHOT_CREATE, Operation.SNAPSHOT_REVERT),
    **{operation.value: (operation,) for operation in OPERATIONS if OPERATIONS[operation].legal_from},
}
accident_lists = st.lists(
    st.none()
    | st.builds(
        Accident,
        call=st.integers(0, 5),
        when=st.sampled_from(["before", "middle", "after"]),
        what=st.sampled_from([Killed, Ended, Unreachable, Busy, DriverError]),
        leaves=st.booleans(),
    ),
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_hypervisor_is_as_the_api_believes(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store, belief = Store(Path(directory)), Belief()
        for _ in range(data.draw(st.integers(1, 5), "requests")):
            legal = [name for name, first in ACTIONS.items() if belief.state in OPERATIONS[first[0]].legal_from]
            action = data.draw(st.sampled_from(legal), "action")
            memory = data.draw(st.sampled_from([64, 128]), "memory") if action == "reconfigure" else belief.memory_mib
            accidents = data.draw(accident_lists, "accidents")
            dies_after = data.draw(st.lists(st.integers(0, 8), max_size=2), "dies after")
            cancelled_after = data.draw(st.none() | st.integers(0, 12), "cancelled after")
            carry_out(store, belief, belief.ask(ACTIONS[action], memory), accidents, dies_after, cancelled_after)
            belief.settle(memory)
            assert fits(store, belief), (action, belief, store.read().machines)
        carry_out(store, belief, belief.ask((Operation.UNCONFIGURE,), belief.memory_mib), [])
        assert belief.state is VmState.ALLOCATED, "an undeploy always gets there in the end"
        assert fits(store, belief)


#: How a VM comes to the state in which an operation is asked for.
WAYS: dict[VmState, tuple[Operation, ...]] = {
    VmState.ALLOCATED: (),
    VmState.CONFIGURED: (Operation.CONFIGURE,),
    VmState.OFF: (Operation.CONFIGURE, Operation.POWER_ON, Operation.POWER_OFF),
    VmState.ON: DEPLOY,
    VmState.PAUSED: (*DEPLOY, Operation.PAUSE),
}
ONE_ACCIDENT = [
    Accident(call, when, what)
    for what in (Killed, Busy, DriverError)
    for call, when in [(0, "before"), *((call, "after") for call in range(6)), (2, "middle")]
] + [Accident(2, "middle", what, leaves=True) for what in (Killed, Ended, Busy, DriverError)]
ONE_ACCIDENT += [Accident(call, "after", Ended) for call in (0, 2, 4)]
CUT = Accident(0, "before", Unreachable)


in_any_state = pytest.mark.parametrize(
    ("before", "action"),
    [
        (state, action)
        for state in WAYS
        for action, (first, *_) in ACTIONS.items()
        if state in OPERATIONS[first].legal_from
    ],
)


def brought_to(state: VmState, directory: Path) -> tuple[Store, Belief]:
    """A hypervisor with the VM in a state."""
    store, belief = Store(directory / uuid.uuid4().hex), Belief()
    store.directory.mkdir()
    for operation in WAYS[state]:
        carry_out(store, belief, belief.ask((operation,), 64), [])
    return store, belief


@in_any_state
def test_an_accident_at_any_call_of_any_operation_is_told_as_it_is(
    before: VmState, action: str, tmp_path: Path
) -> None:
    for accident in ONE_ACCIDENT:
        for accidents in ([accident], [accident, accident], [accident, CUT]):
            store, belief = brought_to(before, tmp_path)
            memory = 128 if action == "reconfigure" else 64
            carry_out(store, belief, belief.ask(ACTIONS[action], memory), accidents)
            belief.settle(memory)
            assert fits(store, belief), (accidents, belief, store.read().machines)


@in_any_state
def test_an_operation_that_is_cancelled_at_any_moment_is_told_as_it_is(
    before: VmState, action: str, tmp_path: Path
) -> None:
    memory = 128 if action == "reconfigure" else 64
    for moment in range(5):
        for accident in (None, Accident(1, "before", Ended), Accident(2, "after", Ended)):
            store, belief = brought_to(before, tmp_path)
            task = belief.ask(ACTIONS[action], memory)
            accidents = [None] * ((moment - 1) // 2) + [accident]
            carry_out(store, belief, task, accidents, cancelled_after=moment)
            belief.settle(memory)
            assert fits(store, belief), (moment, accident, belief, store.read().machines)
