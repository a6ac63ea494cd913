# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement on what was seen after the chaos: a pure function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from tools.chaos.seen import Finding, HostSeen, Kind, MachineSeen, Snapshot, Span, TaskSeen, VmSeen

#: States in which a task has its end, and in which a hypervisor has a VM, with the power that belongs to them.
ENDED = frozenset({"FINISHED_SUCCESSFULLY", "FINISHED_UNSUCCESSFULLY", "ABORTED", "CANCELLED"})
POWER_OF = {"CONFIGURED": "off", "OFF": "off", "ON": "on", "PAUSED": "paused"}
#: A bound that was changed holds after so many seconds: the relay tells the runners, and what has begun may go on.
TOLD_WITHIN = 8.0
#: If something was struck meanwhile, the relay's next word may be missed too; it tells all bounds every 30 s.
TOLD_WITHIN_IN_CHAOS = 45.0
#: What the fake driver says beside an error that it was told to raise.
INJECTED = "behaviour.json says so"


def judge(seen: Snapshot) -> list[Finding]:
    """All that breaks a promise."""
    found = [*_lost(seen), *_stuck(seen), *_unmade(seen), *_unexplained(seen)]
    for host in seen.hosts:
        found += [*_disagreeing(seen, host), *_orphaned(seen, host), *_doubled(host)]
        found += [*_over_the_bound(seen, host), *_over_a_tenants_bound(seen, host)]
    return found


def _lost(seen: Snapshot) -> Iterator[Finding]:
    for task in seen.tasks:
        if task.state not in ENDED:
            yield Finding(Kind.LOST, f"task {task.id} ({task.type}) is {task.state}")
    for missing in sorted(seen.granted - {task.id for task in seen.tasks}):
        yield Finding(Kind.LOST, f"task {missing} was granted and is not known")


def _stuck(seen: Snapshot) -> Iterator[Finding]:
    alive = {task.id for task in seen.tasks if task.state not in ENDED}
    for vm in seen.vms:
        if vm.locked_by and vm.locked_by not in alive:
            yield Finding(Kind.STUCK, f"VM {vm.native_name} is locked by {vm.locked_by}, which does not live")


def _unmade(seen: Snapshot) -> Iterator[Finding]:
    dark = frozenset(host.name for host in seen.hosts if host.was_dark)
    for task in seen.tasks:
        if task.vm_id and _failed(task) and not _was_to_fail(task, dark):
            kind = Kind.UNMADE if task.type == "DEPLOY" else Kind.UNFOUNDED
            jobs = "; ".join(f"{job.operation} {job.state} {job.code} {job.message}".strip() for job in task.jobs)
            yield Finding(kind, f"{task.type} {task.id} of VM {task.vm_id} is {task.state}: {task.error} [{jobs}]")


def _failed(task: TaskSeen) -> bool:
    return task.state in ENDED and task.state != "FINISHED_SUCCESSFULLY" and not task.cancelled


def _was_to_fail(task: TaskSeen, dark: frozenset[str]) -> bool:
    """A final failure was told of this VM, its hypervisor was told not to answer, or its guest was deaf."""
    return any(
        (job.code == "driver.failed" and INJECTED in job.detail)
        or (job.hypervisor in dark and job.code == "driver.unreachable")
        or (job.operation == "shutdown" and job.code == "driver.timed_out")
        for job in task.jobs
    )


def _unexplained(seen: Snapshot) -> Iterator[Finding]:
    there = {machine.id for host in seen.hosts for machine in host.machines}
    for vm in seen.vms:
        own = (task for task in seen.tasks if task.vm_id == vm.id and not _did_nothing(task))
        tasks = sorted(own, key=lambda task: task.created_at)
        if vm.state == "UNKNOWN" and not any(_explains(task, is_there=vm.id in there) for task in tasks[-1:]):
            last = f"{tasks[-1].type} is {tasks[-1].state}" if tasks else "there was none"
            yield Finding(Kind.UNEXPLAINED, f"VM {vm.native_name} is UNKNOWN; its last task: {last}")


def _did_nothing(task: TaskSeen) -> bool:
    """It was cancelled before it had begun: its VM is as an earlier task has left it."""
    return task.state == "CANCELLED" and all(job.state == "ABORTED" for job in task.jobs)


def _explains(task: TaskSeen, *, is_there: bool) -> bool:
    """Why a VM is UNKNOWN after its last task: that went wrong, or it looked and told that the hypervisor has no such
    VM, which somebody had left half made."""
    return _went_wrong(task) or (task.type == "REFRESH" and not is_there)


def _went_wrong(task: TaskSeen) -> bool:
    """Of a task that was cancelled, its jobs say what became of them."""
    failed = any("FAILED" in (job.state, job.rollback_state) for job in task.jobs)
    return task.state == "FINISHED_UNSUCCESSFULLY" or (task.cancelled and failed)


def _disagreeing(seen: Snapshot, host: HostSeen) -> Iterator[Finding]:
    machines = {machine.id: machine for machine in host.machines}
    for vm in seen.vms:
        if vm.hypervisor_id != host.id or vm.state not in POWER_OF:
            continue
        text = _difference(vm, machines.get(vm.id), {name for name in host.volumes if name.startswith(f"{vm.id}-")})
        if text:
            yield Finding(Kind.DISAGREE, f"VM {vm.native_name} is {vm.state} in the database; {host.name} has {text}")
    for vm in seen.vms:
        if vm.state == "ALLOCATED" and vm.hypervisor_id == host.id and not vm.locked_by:
            yield Finding(Kind.DISAGREE, f"VM {vm.native_name} keeps a place at {host.name}, and no task needs it")


def _difference(vm: VmSeen, machine: MachineSeen | None, volumes: set[str]) -> str:
    """What the hypervisor has of the VM that the database says otherwise; empty: nothing."""
    if machine is None:
        return "no such VM"
    if machine.power != POWER_OF[vm.state]:
        return f"it {machine.power}"
    if machine.memory_mib != vm.memory_mib:
        return f"it with {machine.memory_mib} MiB instead of {vm.memory_mib}"
    if volumes != vm.volumes:
        return f"its disks {sorted(volumes)} instead of {sorted(vm.volumes)}"
    return ""


def _orphaned(seen: Snapshot, host: HostSeen) -> Iterator[Finding]:
    here = {vm.id for vm in seen.vms if vm.hypervisor_id == host.id and vm.state != "NOT_ALLOCATED"}
    states = {vm.id: vm.state for vm in seen.vms}
    for machine in host.machines:
        if machine.id not in here:
            told = states.get(machine.id, "not known")
            yield Finding(Kind.ORPHANED, f"{host.name} has VM {machine.name}, which in the database is {told}")
    for volume in sorted(host.volumes):
        if not any(volume.startswith(f"{vm_id}-") for vm_id in here):
            told = next((state for vm_id, state in states.items() if volume.startswith(f"{vm_id}-")), "not known")
            yield Finding(Kind.ORPHANED, f"{host.name} has {volume}, whose VM in the database is {told}")


def _doubled(host: HostSeen) -> Iterator[Finding]:
    by_vm: dict[str, list[Span]] = {}
    for span in host.spans:
        by_vm.setdefault(span.vm, []).append(span)
    for vm, spans in by_vm.items():
        for before, after in pairwise(sorted(spans, key=lambda span: span.start)):
            if after.start < before.end:
                text = f"{before.operation} and {after.operation} of {vm} at once, {before.end - after.start:.2f} s"
                yield Finding(Kind.DOUBLED, f"{host.name}: {text} (processes {before.pid}, {after.pid})")
        for span in spans:
            if span.operation == "create" and span.error == "driver.conflict":
                yield Finding(Kind.DOUBLED, f"{host.name}: create of {vm}, which was there already")


def _over_the_bound(seen: Snapshot, host: HostSeen) -> Iterator[Finding]:
    def allowed(at: float) -> int:
        earliest = at - _delay(seen, at)
        return max(bound.sessions for bound in host.bounds if bound.since <= at and bound.until >= earliest)

    for text in _excesses(host.spans, allowed):
        yield Finding(Kind.OVER_THE_BOUND, f"{host.name}: {text}")


def _delay(seen: Snapshot, at: float) -> float:
    """How long ago the runners may have last heard what holds."""
    in_chaos = any(at - TOLD_WITHIN_IN_CHAOS <= struck <= at for struck in seen.struck)
    return TOLD_WITHIN_IN_CHAOS if in_chaos else TOLD_WITHIN


def _over_a_tenants_bound(seen: Snapshot, host: HostSeen) -> Iterator[Finding]:
    """A virtual datacenter's bound is one within every hypervisor, and is not changed here."""
    bounds = {vm.vdc: vm.vdc_sessions for vm in seen.vms if vm.vdc_sessions is not None}
    for vdc, sessions in bounds.items():
        names = {vm.native_name for vm in seen.vms if vm.vdc == vdc}
        spans = [span for span in host.spans if span.vm in names]
        for text in _excesses(spans, lambda _, sessions=sessions: sessions):
            yield Finding(Kind.OVER_THE_BOUND, f"{host.name}, for {vdc}: {text}")


def _excesses(spans: Iterable[Span], allowed: Callable[[float], int]) -> Iterator[str]:
    """Each process that began although all sessions were in use. One that goes on under a lowered bound is none."""
    before: set[int] = set()
    for at, running in moments(spans):
        processes = {span.pid for span in running}
        if processes - before and len(processes) > (most := allowed(at)):
            text = ", ".join(f"{span.operation} of {span.vm} ({span.pid})" for span in running)
            yield f"{len(processes)} of {most} sessions at once: {text}"
        before = processes


def moments(spans: Iterable[Span]) -> Iterator[tuple[float, list[Span]]]:
    """Every moment at which something began or ended, and what ran from then on. Ends come before beginnings."""
    lasting = [(number, span) for number, span in enumerate(spans) if span.end > span.start]
    edges = [(span.start, 1, number, span) for number, span in lasting]
    edges += [(span.end, 0, number, span) for number, span in lasting]
    running: dict[int, Span] = {}
    for at, begins, number, span in sorted(edges, key=lambda edge: edge[:3]):
        if begins:
            running[number] = span
        else:
            running.pop(number, None)
        yield at, list(running.values())
