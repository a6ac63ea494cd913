# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every task tree, whatever fails, dies, is told twice or is cancelled, in whatever order runs end."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from runner_service.contract.messages import ErrorReport, Job, Mode, Task
from runner_service.contract.operations import OPERATIONS, Operation
from runner_service.contract.states import (
    ENDED_JOB_STATES,
    FINAL_TASK_STATES,
    JOB_TRANSITIONS,
    ROLLBACK_TRANSITIONS,
    TASK_TRANSITIONS,
    Event,
    JobState,
    RollbackState,
    TaskState,
    advance,
)
from runner_service.core.orchestrator import after, unasked
from runner_service.core.retry import RetryRule
from runner_service.core.shape import can_roll_back
from runner_service.core.steps import Finish, Outcome, Report, Start, Step
from tests.drive import BROKEN, BUSY, UNSEEN, Drive
from tests.requests import definition

INVERTIBLE = [operation for operation, rule in OPERATIONS.items() if rule.inverse and operation != "reconfigure"]
ROLLBACKS = {Event.ROLLBACK_START, Event.ROLLBACK_DONE, Event.ROLLBACK_ERROR}
REFUSED = ErrorReport(code="driver.invalid_transition", message="not in this state", begun=False)


@st.composite
def trees(draw: st.DrawFn, depth: int = 3, operations: list[Operation] = INVERTIBLE) -> Task:
    """Trees of at most ``depth`` levels of tasks; every job has a VM of its own."""
    numbers = count()

    def node(levels: int) -> Job | Task:
        if levels == 0 or draw(st.booleans()):
            name = f"j{next(numbers)}"
            operation = draw(st.sampled_from(operations))
            return Job(id=name, operation=operation, vm_id=name, definition=definition(name))
        return task(levels)

    def task(levels: int) -> Task:
        mode = draw(st.sampled_from(Mode))
        atomic = mode is Mode.CONCURRENT and draw(st.booleans())
        children = tuple(node(levels - 1) for _ in range(draw(st.integers(1, 4))))
        return Task(id=f"t{next(numbers)}", mode=mode, children=children, atomic=atomic)

    return task(depth)


@dataclass
class World:
    """The model of a hypervisor, and of what may go wrong; each chance is one of so many runs."""

    chance: random.Random
    fails: float = 0.0
    unseen: float = 0.0
    check_fails: float = 0.0
    cannot_be_undone: float = 0.0
    cancels: float = 0.0
    crashes: float = 0.0
    repeats: float = 0.0
    #: Of a cancelled task: what asks or undoes takes too long, and is ended.
    impatience: float = 0.0
    #: Jobs whose work is there, and those of which a part is.
    whole: set[str] = field(default_factory=set)
    part: set[str] = field(default_factory=set)

    @classmethod
    def rough(cls, seed: int) -> World:
        """Anything may happen, in some worlds more than in others."""
        chance = random.Random(seed)
        often = [chance.choice([0.0, 0.0, 0.1, 0.4]) for _ in range(8)]
        return cls(chance, *often[:5], often[5] / 3, *often[6:])

    @property
    def effects(self) -> set[str]:
        return self.whole | self.part

    def happens(self, likelihood: float) -> bool:
        return self.chance.random() < likelihood

    def run(self, start: Start, *, stopped: bool = False) -> Outcome:
        if start.check:
            return UNSEEN if stopped and self.happens(0.5) else self._check(start)
        if self.happens(0.9 if stopped else self.unseen):
            self.act(start)
            return UNSEEN
        if start.undo:
            return self._undo(start)
        return self._do(start.job)

    def _check(self, start: Start) -> Outcome:
        job = start.job
        if self.happens(self.check_fails):
            return Outcome(error=self.chance.choice([BROKEN, BUSY, replace(BROKEN, begun=False)]))
        if start.undo:
            return Outcome(changed=job.id in self.effects)
        rule = OPERATIONS[job.operation]
        if job.id not in self.effects and rule.ends_in and self.happens(self.check_fails):
            return Outcome(error=REFUSED)
        return Outcome(changed=rule.traceless or job.id not in self.whole)

    def _do(self, job: Job) -> Outcome:
        if not self.happens(self.fails):
            changed = not OPERATIONS[job.operation].reads_only
            self._work(job)
            return Outcome(changed=changed)
        if self.happens(0.3):
            return Outcome(error=replace(self.chance.choice([BROKEN, BUSY]), begun=False))
        self.act(Start(job))
        return Outcome(error=self.chance.choice([BROKEN, BUSY]))

    def _undo(self, start: Start) -> Outcome:
        if self.happens(self.cannot_be_undone):
            self.act(start)
            return Outcome(error=self.chance.choice([BROKEN, BUSY]))
        changed = start.job.id in self.effects
        self.whole.discard(start.job.id)
        self.part.discard(start.job.id)
        return Outcome(changed=changed)

    def _work(self, job: Job) -> None:
        if not OPERATIONS[job.operation].reads_only:
            self.part.discard(job.id)
            self.whole.add(job.id)

    def act(self, start: Start) -> None:
        """What a run does that breaks off: all, or nothing, or of what can be done in part a part."""
        if start.check or not self.happens(0.6):
            return
        if start.undo:
            self._undo_of(start.job)
        elif start.job.operation in ("configure", "unconfigure") and self.happens(0.5):
            if start.job.id not in self.whole:
                self.part.add(start.job.id)
        else:
            self._work(start.job)

    def _undo_of(self, job: Job) -> None:
        self.part.discard(job.id)
        if self.happens(0.5) or job.operation != "unconfigure":
            self.whole.discard(job.id)
        elif job.id in self.whole:
            self.whole.discard(job.id)
            self.part.add(job.id)


class RandomRun(Drive):
    """One delivery, driven in an order, and with accidents, that chance chooses: to its end, or until it dies."""

    def __init__(self, world: World, task: Task, *, attempt: int = 1, cancelled: bool = False):
        self.world = world
        self.died = False
        self.cancelled = False
        #: Real runs as they start, and jobs as they are reported as done.
        self.order: list[tuple[str, str]] = []
        super().__init__(task, self._verdict, attempt=attempt, retry=RetryRule(max_tries=2))
        if cancelled:
            self.cancel()
        while (self.waiting or self.running) and not self.died:
            self._go_on()

    def _go_on(self) -> None:
        world, chance = self.world, self.world.chance
        if world.happens(world.crashes):
            self.died = True
            for start in self.running:
                world.act(start)
        elif world.happens(world.cancels):
            self.cancel()
        elif self.told and world.happens(world.repeats):
            assert after(self.state, chance.choice(self.told)) == (self.state, ())
        elif self.waiting and (not self.running or chance.random() < 0.5):
            self._note(self.start(chance.randrange(len(self.waiting))))
        else:
            self.end(chance.randrange(len(self.running)))

    def _note(self, start: Start) -> None:
        if not start.check:
            assert start.undo or not self.cancelled, "no new work begins after a cancel"
            self.order.append(("undo" if start.undo else "start", start.job.id))

    def cancel(self) -> None:
        self.cancelled = True
        super().cancel()

    def _verdict(self, start: Start) -> Outcome:
        given_up = self.cancelled and (start.check or start.undo) and self.world.happens(self.world.impatience)
        return self.world.run(start, stopped=given_up or start.job.id in self.stopped)

    def _take(self, steps: tuple[Step, ...]) -> None:
        known = len(self.reports)
        super()._take(steps)
        self.order += [("done", node) for node, event in self.reports[known:] if event is Event.DONE]

    def states(self, job_id: str) -> tuple[JobState, RollbackState]:
        """What this delivery's reports make of a job."""
        state, rollback = JobState.PENDING, RollbackState.NONE
        for node, event in self.reports:
            if node == job_id and event in ROLLBACKS:
                rollback = advance(ROLLBACK_TRANSITIONS, rollback, event)
            elif node == job_id:
                state = advance(JOB_TRANSITIONS, state, event)
        return state, rollback


def deliveries(world: World, task: Task) -> list[RandomRun]:
    """The request comes again until a runner brings it to its end; the last ones live. What was cancelled stays so."""
    runs = [RandomRun(world, task)]
    while runs[-1].died:
        if len(runs) > 3:
            world.crashes = 0.0
        runs.append(RandomRun(world, task, attempt=len(runs) + 1, cancelled=any(run.cancelled for run in runs)))
    return runs


seeds = st.integers(0, 2**32)
all_kinds = trees(operations=list(OPERATIONS))


@settings(max_examples=300, deadline=None)
@given(seeds, all_kinds)
def test_every_node_ends_in_a_final_state_and_every_event_is_a_legal_one(seed: int, task: Task) -> None:
    runs = deliveries(World.rough(seed), task)
    assert runs[-1].finished == 1
    assert runs[-1].state.finished
    reports = [(attempt, *report) for attempt, run in enumerate(runs) for report in run.reports]
    for part in reversed(list(task.tasks())):
        own = {job.id for job in part.children if isinstance(job, Job)}
        task_state = TaskState.QUEUED
        states, rollbacks = dict.fromkeys(own, JobState.PENDING), dict.fromkeys(own, RollbackState.NONE)
        heard = dict.fromkeys(own, 0)
        for attempt, node, event in reports:
            if heard.get(node, attempt) < attempt:
                heard[node], rollbacks[node] = attempt, RollbackState.NONE
            if task_state in FINAL_TASK_STATES:
                break
            if node == part.id:
                task_state = advance(TASK_TRANSITIONS, task_state, event)
            elif node in own and event in ROLLBACKS:
                rollbacks[node] = advance(ROLLBACK_TRANSITIONS, rollbacks[node], event)
            elif node in own:
                states[node] = advance(JOB_TRANSITIONS, states[node], event)
        assert task_state in FINAL_TASK_STATES
        assert set(states.values()) <= ENDED_JOB_STATES
        assert RollbackState.STARTED not in rollbacks.values()


@settings(max_examples=200, deadline=None)
@given(seeds, all_kinds)
def test_every_event_is_reported_once_and_all_of_a_tasks_jobs_before_the_tasks_end(seed: int, task: Task) -> None:
    for run in deliveries(World.rough(seed), task):
        assert not [report for report, times in Counter(run.reports).items() if times > 1]
        last = {node: place for place, (node, _) in enumerate(run.reports)}
        for part in task.tasks():
            if run.events(part.id)[1:] or not run.died:
                assert all(last[job.id] < last[part.id] for job in part.jobs())
                assert all(last[inner.id] < last[part.id] for inner in list(part.tasks())[1:])


@settings(max_examples=200, deadline=None)
@given(seeds, trees())
def test_nothing_starts_before_what_it_waits_for(seed: int, task: Task) -> None:
    for run in deliveries(World.rough(seed), task):
        for part in task.tasks():
            if part.mode is Mode.SEQUENTIAL:
                for before, behind in zip(part.children, part.children[1:], strict=False):
                    assert_in_order(run, jobs_of(before), jobs_of(behind))


def assert_in_order(run: RandomRun, before: list[Job], behind: list[Job]) -> None:
    place: dict[tuple[str, str], int] = {}
    for index, moment in enumerate(run.order):
        place.setdefault(moment, index)
    starts = [place["start", job.id] for job in behind if ("start", job.id) in place]
    assert not starts or max(place["done", job.id] for job in before) < min(starts)
    undone_before = [place["undo", job.id] for job in before if ("undo", job.id) in place]
    undone_behind = [place["undo", job.id] for job in behind if ("undo", job.id) in place]
    assert not undone_before or not undone_behind or max(undone_behind) < min(undone_before)


@settings(max_examples=400, deadline=None)
@given(seeds, trees())
def test_what_is_there_of_a_job_is_what_was_reported_of_it(seed: int, task: Task) -> None:
    """But for jobs whose undoing itself failed, which are reported."""
    world = World.rough(seed)
    run = deliveries(world, task)[-1]
    for job in task.jobs():
        state, rollback = run.states(job.id)
        if rollback is RollbackState.FAILED:
            continue
        there = state is JobState.DONE and rollback is RollbackState.NONE
        assert (job.id in world.whole) is there
        assert job.id not in world.part


NEVER_UNDONE = [Operation.UNCONFIGURE, Operation.SHUTDOWN]


@settings(max_examples=200, deadline=None)
@given(seeds, trees(operations=[*NEVER_UNDONE, Operation.CONFIGURE]))
def test_what_has_no_undoing_is_done_or_not_begun_unless_it_is_told_as_begun_and_failed(seed: int, task: Task) -> None:
    world = World.rough(seed)
    run = deliveries(world, task)[-1]
    for job in task.jobs():
        if job.operation in NEVER_UNDONE:
            state, _ = run.states(job.id)
            outcome = run.outcomes.get((job.id, Event.ERROR))
            begun = outcome is not None and outcome.error is not None and outcome.error.begun
            assert state is JobState.FAILED or (job.id in world.whole) is (state is JobState.DONE)
            assert begun or job.id not in world.part


@settings(max_examples=300, deadline=None)
@given(seeds, trees())
def test_a_chain_and_an_atomic_task_are_all_or_nothing(seed: int, task: Task) -> None:
    """But for jobs whose undoing itself failed, which are reported; and for snapshots that were there when a later
    delivery looked: they may be somebody else's, with the only copy of what they hold, and are never deleted."""
    world = World.rough(seed)
    *before, run = deliveries(world, task)
    not_undone = {node for node, event in run.reports if event is Event.ROLLBACK_ERROR}
    found = {job.id for job in task.jobs() if before and job.operation is Operation.SNAPSHOT_CREATE}
    for part in task.tasks():
        if can_roll_back(part):
            ids = {job.id for job in part.jobs()}
            left = world.effects & ids
            assert left == ids or left <= not_undone | found


@settings(max_examples=200, deadline=None)
@given(seeds, all_kinds)
def test_what_is_cancelled_ends_so_unless_it_had_ended_before(seed: int, task: Task) -> None:
    world = World.rough(seed)
    world.cancels = world.cancels or 0.1
    run = deliveries(world, task)[-1]
    assert (run.events(task.id)[-1] == "CANCELLED") is run.cancelled
    cancelled = [node for node, event in run.reports if event is Event.CANCELLED]
    for node in cancelled:
        outcome = run.outcomes[node, Event.CANCELLED]
        assert outcome is not None
        assert outcome.error is not None
        assert outcome.error.code == "task.cancelled"


@settings(max_examples=100, deadline=None)
@given(seeds, st.lists(trees(depth=1), min_size=2, max_size=4))
def test_one_childs_failure_never_touches_its_siblings(seed: int, parts: list[Task]) -> None:
    children = tuple(renamed(part, f"c{number}-") for number, part in enumerate(parts))
    run = RandomRun(
        World(random.Random(seed), fails=0.3), Task(id="root", mode=Mode.CONCURRENT, children=children)
    )  # fmt: skip
    for child in children:
        ids = {job.id for job in child.jobs()}
        if not any(event is Event.ERROR for node, event in run.reports if node in ids):
            assert all(run.events(job_id) == ["START", "DONE"] for job_id in ids)
            assert run.events(child.id) == ["START", "DONE"]


def jobs_of(node: Job | Task) -> list[Job]:
    return [node] if isinstance(node, Job) else list(node.jobs())


def renamed(task: Task, prefix: str) -> Task:
    children = tuple(
        renamed(child, prefix)
        if isinstance(child, Task)
        else Job(id=prefix + child.id, operation=child.operation, vm_id=child.vm_id, definition=child.definition)
        for child in task.children
    )
    return Task(id=prefix + task.id, mode=task.mode, atomic=task.atomic, children=children)


@settings(max_examples=100, deadline=None)
@given(all_kinds)
def test_of_what_nobody_can_ask_about_every_node_ends_and_what_may_be_there_has_failed(task: Task) -> None:
    steps = unasked(task)
    reports = [step for step in steps if isinstance(step, Report)]
    assert steps == (*reports, Finish())
    told = {
        node.id: [report.event for report in reports if report.node_id == node.id]
        for node in (*task.jobs(), *task.tasks())
    }
    for job in task.jobs():
        rule = OPERATIONS[job.operation]
        if rule.can_be_checked:
            assert told[job.id][:2] == [Event.START, Event.ERROR]
            # A reconfigure has a way back only if somebody knows the definition of before.
            undone = rule.inverse and job.operation is not Operation.RECONFIGURE
            assert told[job.id][2:] == [Event.ROLLBACK_START, Event.ROLLBACK_ERROR] * bool(undone)
        else:
            assert told[job.id] == [Event.ABORTED]
    assert all(told[part.id][-1] is Event.CANCELLED for part in task.tasks())
    assert all(told[part.id].count(Event.CANCELLED) == 1 for part in task.tasks())
