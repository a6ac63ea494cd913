# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many transitions of jobs the core decides on in a second."""

from __future__ import annotations

import cProfile
import json
import pstats
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from runner_service.contract.messages import ErrorReport, Job, Mode, Task
from runner_service.contract.operations import Operation
from runner_service.core.orchestrator import after, begin
from runner_service.core.steps import Ended, Outcome, Start, Started
from tools.bench.figures import Figure, Sizes, at_least

TRANSITIONS_PER_SECOND = 50_000
TRIES = 5


FAILS = Outcome(error=ErrorReport(code="driver.failed", message="it broke"))
GOES_WELL = Outcome(changed=True)

Fails = Callable[[Start], bool]


def vm(name: str) -> Task:
    """The deploy of one VM. Each job has a definition of its own, as one that was decoded has."""
    jobs = []
    for operation in (Operation.CONFIGURE, Operation.POWER_ON):
        definition = json.loads(
            json.dumps({"name": name, "uuid": name, "memory_mib": 64, "disks": [{"name": "root", "size_mib": 8}]})
        )
        jobs.append(Job(id=f"{name}.{operation}", operation=operation, vm_id=name, definition=definition))
    return Task(id=f"{name}.task", children=tuple(jobs))


def appliance(name: str, vms: int, *, atomic: bool = False) -> Task:
    children = tuple(vm(f"{name}.vm-{number}") for number in range(vms))
    return Task(id=name, mode=Mode.CONCURRENT, children=children, atomic=atomic)


def every_tenth_power_on(start: Start) -> bool:
    return start.job.operation is Operation.POWER_ON and start.job.id.partition(".power")[0].endswith("0")


def last_power_on(vms: int) -> Fails:
    return lambda start: start.job.id == f"appliance.vm-{vms - 1}.{Operation.POWER_ON}" and not start.undo


def script(task: Task, fails: Fails) -> list[Started | Ended]:
    """What happens to the tree if jobs run one after the other, in the order in which they are handed out."""
    happenings: list[Started | Ended] = []
    state, steps = begin(task)
    waiting = deque(step for step in steps if isinstance(step, Start))
    while waiting:
        start = waiting.popleft()
        outcome = FAILS if fails(start) and not start.undo else GOES_WELL
        for happening in (Started(start.job.id), Ended(start.job.id, outcome)):
            happenings.append(happening)
            state, steps = after(state, happening)
            waiting.extend(step for step in steps if isinstance(step, Start))
    assert state.finished
    return happenings


def play(task: Task, happenings: Iterable[Started | Ended]) -> None:
    state, _ = begin(task)
    for happening in happenings:
        state, _ = after(state, happening)


def core_cases(vms: int) -> dict[str, tuple[Task, list[Started | Ended]]]:
    plain, atomic = appliance("appliance", vms), appliance("appliance", vms, atomic=True)
    return {
        "all goes well": (plain, script(plain, lambda _start: False)),
        "every tenth VM fails": (plain, script(plain, every_tenth_power_on)),
        "atomic, the last VM fails": (atomic, script(atomic, last_power_on(vms))),
    }


def transitions_per_second(task: Task, happenings: list[Started | Ended], seconds: float) -> float:
    """A transition is a job's, or its undoing's, start or end; reading the tree at its beginning counts as time. Other
    work of the machine can only make it slower, so that the best of a few tries is nearest to the truth."""
    return max(_speed(task, happenings, seconds / TRIES) for _ in range(TRIES))


def _speed(task: Task, happenings: list[Started | Ended], seconds: float) -> float:
    done, began = 0, time.thread_time()
    while not done or time.thread_time() - began < seconds:
        play(task, happenings)
        done += len(happenings)
    return done / (time.thread_time() - began)


def measure_core(sizes: Sizes) -> Iterator[Figure]:
    for vms in sizes.appliances:
        for name, (task, happenings) in core_cases(vms).items():
            speed = transitions_per_second(task, happenings, sizes.seconds)
            yield at_least(TRANSITIONS_PER_SECOND, f"transitions, VMs: {name}", vms, speed, "1/s")


def profile_of_core(vms: int, into: Path) -> None:
    """Where the core's time goes, case by case."""
    with into.open("w") as stream:
        for name, (task, happenings) in core_cases(vms).items():
            profile = cProfile.Profile()
            profile.runcall(play, task, happenings)
            stream.write(f"{vms} VMs, {name}: {len(happenings)} transitions\n")
            pstats.Stats(profile, stream=stream).strip_dirs().sort_stats("tottime").print_stats(15)
