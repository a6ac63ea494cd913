# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every task tree, whatever fails and in whatever order runs end."""

from __future__ import annotations

from collections import Counter
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from runner_service.contract.messages import Job, Mode, Task
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
from runner_service.core.shape import can_roll_back
from runner_service.core.steps import Outcome, Start
from tests.drive import BROKEN, Drive
from tests.requests import definition

INVERTIBLE = [operation for operation, rule in OPERATIONS.items() if rule.inverse and operation != "reconfigure"]


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


class RandomRun(Drive):
    """Drives a tree to its end in an order, and with failures, that hypothesis chooses."""

    def __init__(self, data: st.DataObject, task: Task):
        ids = [job.id for job in task.jobs()]
        self.broken = data.draw(st.sets(st.sampled_from(ids)), "fail")
        self.cannot_be_undone = data.draw(st.sets(st.sampled_from(ids), max_size=1), "fail to be undone")
        #: The model: which jobs' effects are there.
        self.effects: set[str] = set()
        self.ended_forward: set[str] = set()
        self.order: list[tuple[str, str]] = []
        super().__init__(task, self._verdict)
        while self.waiting or self.running:
            if self.waiting and (not self.running or data.draw(st.booleans())):
                start = self.start(data.draw(st.integers(0, len(self.waiting) - 1)))
                self.order.append(("undo" if start.undo else "start", start.job.id))
            else:
                self.end(data.draw(st.integers(0, len(self.running) - 1)))

    def _verdict(self, start: Start) -> Outcome:
        job_id = start.job.id
        fails = job_id in (self.cannot_be_undone if start.undo else self.broken)
        if not start.undo:
            self.effects.add(job_id)
            self.ended_forward.add(job_id)
            self.order.append(("end", job_id))
        elif not fails:
            self.effects.discard(job_id)
        return Outcome(error=BROKEN) if fails else Outcome(changed=True)


@settings(max_examples=150, deadline=None)
@given(st.data(), trees())
def test_every_node_ends_in_a_final_state_and_every_event_is_a_legal_one(data: st.DataObject, task: Task) -> None:
    run = RandomRun(data, task)
    assert run.finished == 1
    assert run.state.finished
    for job in task.jobs():
        state, rollback = JobState.PENDING, RollbackState.NONE
        for event in run.events(job.id):
            if event.startswith("ROLLBACK"):
                rollback = advance(ROLLBACK_TRANSITIONS, rollback, Event(event))
            else:
                state = advance(JOB_TRANSITIONS, state, Event(event))
        assert state in ENDED_JOB_STATES
        assert rollback is not RollbackState.STARTED
    for part in task.tasks():
        task_state = TaskState.QUEUED
        for event in run.events(part.id):
            task_state = advance(TASK_TRANSITIONS, task_state, Event(event))
        assert task_state in FINAL_TASK_STATES


@settings(max_examples=100, deadline=None)
@given(st.data(), trees())
def test_every_event_is_reported_once_and_all_of_a_tasks_jobs_before_the_tasks_end(
    data: st.DataObject, task: Task
) -> None:
    run = RandomRun(data, task)
    assert not [report for report, times in Counter(run.reports).items() if times > 1]
    last = {node: place for place, (node, _) in enumerate(run.reports)}
    for part in task.tasks():
        assert all(last[job.id] < last[part.id] for job in part.jobs())
        assert all(last[inner.id] < last[part.id] for inner in list(part.tasks())[1:])


@settings(max_examples=100, deadline=None)
@given(st.data(), trees())
def test_nothing_starts_before_what_it_waits_for(data: st.DataObject, task: Task) -> None:
    run = RandomRun(data, task)
    place = {moment: index for index, moment in enumerate(run.order)}
    for part in task.tasks():
        if part.mode is not Mode.SEQUENTIAL:
            continue
        for before, behind in zip(part.children, part.children[1:], strict=False):
            ends = [place["end", job.id] for job in jobs_of(before) if ("end", job.id) in place]
            starts = [place["start", job.id] for job in jobs_of(behind) if ("start", job.id) in place]
            assert not starts or (len(ends) == len(jobs_of(before)) and max(ends) < min(starts))
            undone_before = [place["undo", job.id] for job in jobs_of(before) if ("undo", job.id) in place]
            undone_behind = [place["undo", job.id] for job in jobs_of(behind) if ("undo", job.id) in place]
            assert not undone_before or not undone_behind or max(undone_behind) < min(undone_before)


@settings(max_examples=150, deadline=None)
@given(st.data(), trees())
def test_a_chain_and_an_atomic_task_are_all_or_nothing(data: st.DataObject, task: Task) -> None:
    """But for jobs whose undoing itself failed, which are reported."""
    run = RandomRun(data, task)
    for part in task.tasks():
        if can_roll_back(part):
            ids = {job.id for job in part.jobs()}
            left = run.effects & ids
            assert left == ids or left <= run.cannot_be_undone
    for job_id in run.effects & run.cannot_be_undone:
        undone = [event for event in run.events(job_id) if event.startswith("ROLLBACK")]
        assert undone in ([], ["ROLLBACK_START", "ROLLBACK_ERROR"])


@settings(max_examples=100, deadline=None)
@given(st.data(), st.lists(trees(depth=1), min_size=2, max_size=4))
def test_one_childs_failure_never_touches_its_siblings(data: st.DataObject, parts: list[Task]) -> None:
    children = tuple(renamed(part, f"c{number}-") for number, part in enumerate(parts))
    run = RandomRun(data, Task(id="root", mode=Mode.CONCURRENT, children=children))
    for child in children:
        ids = {job.id for job in child.jobs()}
        if not ids & run.broken:
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
