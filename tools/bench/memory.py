# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to remember all that waits: each case fills the memory of a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from runner_service.contract.messages import Hypervisor, TaskRequest
from runner_service.core.lanes import Lanes, Priority, Ticket
from runner_service.core.orchestrator import begin
from runner_service.core.steps import Start
from tools.bench.decisions import Busy
from tools.bench.figures import Figure, Sizes, at_most
from tools.bench.transitions import appliance

ROOT = Path(__file__).resolve().parents[2]
MEMORY_MB = 1_000


def fill_lanes(hypervisors: int, waiting: int) -> object:
    return Busy(hypervisors, waiting)


def fill_lanes_with_loners(hypervisors: int, waiting: int) -> object:
    """The worst for memory: every job is its tenant's and its request's only one."""
    lanes = Lanes(1)
    for number in range(hypervisors):
        lanes.open(f"hypervisor-{number}", 2)
    for number in range(waiting):
        ticket = Ticket(f"request-{number}", f"job-{number}")
        tenant = f"tenant-{number}"
        lanes.offer(f"hypervisor-{number % hypervisors}", ticket, priority=Priority.ORDINARY, tenant=tenant)
    return lanes


def fill_with_requests(hypervisors: int, waiting: int) -> object:
    """With all that the core knows of the requests: a deploy for each hypervisor, of which one job per VM waits."""
    lanes, requests = Lanes(1), []
    for number in range(hypervisors):
        hypervisor = Hypervisor(id=f"hypervisor-{number}", type="fake", url="fake:///nowhere")
        task = appliance(f"task-{number}", waiting // hypervisors)
        request_id = f"request-{number}"
        request = TaskRequest(id=request_id, hypervisor=hypervisor, task=task, requested_at="2026-11-22T12:00:00Z")
        state, steps = begin(task)
        lanes.open(hypervisor.id, 2)
        starts = {step.job.id: step for step in steps if isinstance(step, Start)}
        for job_id in starts:
            lanes.offer(hypervisor.id, Ticket(request_id, job_id), priority=Priority.ORDINARY)
        requests.append((request, state, starts))
    return lanes, requests


FILLS: dict[str, Callable[[int, int], object]] = {
    "lanes": fill_lanes,
    "lanes, each job of another tenant": fill_lanes_with_loners,
    "lanes, requests and trees": fill_with_requests,
}


def peak_memory(fill: str, hypervisors: int, waiting: int) -> float:
    """In MB, of this process. The kernel's VmHWM, as what getrusage says begins with the parent's."""
    kept = FILLS[fill](hypervisors, waiting)
    status = Path("/proc/self/status").read_text().splitlines()
    del kept
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6


def measure_memory(sizes: Sizes) -> Iterator[Figure]:
    for fill in FILLS:
        command = [sys.executable, "-m", "tools.bench.memory", fill, str(sizes.hypervisors), str(sizes.waiting)]
        printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        yield at_most(MEMORY_MB, f"memory, waiting jobs: {fill}", sizes.waiting, float(printed), "MB")


if __name__ == "__main__":
    print(peak_memory(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
