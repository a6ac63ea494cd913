# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement on what was seen after the chaos."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.chaos.audit import INJECTED, TOLD_WITHIN, TOLD_WITHIN_IN_CHAOS, judge, moments
from tools.chaos.seen import Bound, HostSeen, JobSeen, Kind, MachineSeen, Snapshot, Span, TaskSeen, VmSeen

VOLUMES = frozenset({"web-root.qcow2", "web-serial.log"})
WEB = VmSeen("web", "web-1", "ON", None, "h", memory_mib=64, volumes=VOLUMES)
MACHINE = MachineSeen("web", "web-1", "on", memory_mib=64)
HOST = HostSeen("h", "host-0", bounds=(Bound(2),), machines=(MACHINE,), volumes=VOLUMES)
DEPLOY = TaskSeen("t", "DEPLOY", "FINISHED_SUCCESSFULLY", "2026-01-01", vm_id="web")
GONE = replace(WEB, state="NOT_ALLOCATED", hypervisor_id=None)


def _found(vm: VmSeen = WEB, host: HostSeen = HOST, *tasks: TaskSeen, granted: tuple[str, ...] = ()) -> list[Kind]:
    return [finding.kind for finding in judge(Snapshot(tasks or (DEPLOY,), (vm,), (host,), frozenset(granted)))]


def _span(operation: str, vm: str, start: float, end: float, **more: Any) -> Span:
    return Span(operation, vm, **{"pid": hash((operation, vm, start)), "start": start, "end": end, **more})


def _with(*spans: Span) -> HostSeen:
    return replace(HOST, spans=spans)


def _failed(code: str, detail: str = "") -> TaskSeen:
    job = JobSeen("configure", "host-0", "FAILED", code, detail)
    return replace(DEPLOY, state="FINISHED_UNSUCCESSFULLY", jobs=(job,))


def test_what_is_as_the_database_says_is_no_finding():
    assert _found() == []


def test_a_task_without_an_end_is_lost_and_so_is_one_that_was_granted_and_is_not_known():
    assert _found(WEB, HOST, replace(DEPLOY, state="STARTED")) == [Kind.LOST]
    assert _found(granted=("t", "other")) == [Kind.LOST]


def test_a_lock_is_stuck_unless_its_task_lives():
    locked = replace(WEB, locked_by="t")
    assert _found(locked) == [Kind.STUCK]
    assert _found(locked, HOST, replace(DEPLOY, state="STARTED")) == [Kind.LOST]


def test_power_memory_disks_and_the_vm_itself_must_be_as_the_database_says():
    others = [
        replace(HOST, machines=()),
        replace(HOST, machines=(replace(MACHINE, power="off"),)),
        replace(HOST, machines=(replace(MACHINE, memory_mib=128),)),
        replace(HOST, volumes=frozenset({"web-root.qcow2"})),
    ]
    assert [_found(WEB, host) for host in others] == [[Kind.DISAGREE]] * 4


def test_an_unknown_vm_may_be_anything_if_its_last_task_told_that_it_failed():
    unknown = replace(WEB, state="UNKNOWN")
    assert _found(unknown, replace(HOST, machines=()), _failed("driver.failed", INJECTED)) == []
    assert _found(unknown) == [Kind.UNEXPLAINED]


def test_so_may_one_whose_cancelled_task_could_not_be_undone():
    unknown, gone = replace(WEB, state="UNKNOWN"), replace(HOST, machines=())
    cancelled = replace(DEPLOY, state="CANCELLED", cancelled=True, jobs=(JobSeen("configure", "host-0", "DONE"),))
    assert _found(unknown, gone, cancelled) == [Kind.UNEXPLAINED]
    left = replace(cancelled.jobs[0], rollback_state="FAILED")
    assert _found(unknown, gone, replace(cancelled, jobs=(left,))) == []


def test_a_task_that_was_cancelled_before_it_began_explains_nothing():
    unknown, gone = replace(WEB, state="UNKNOWN"), replace(HOST, machines=())
    never = JobSeen("unconfigure", "host-0", "ABORTED")
    undeploy = replace(
        DEPLOY, id="u", type="UNDEPLOY", state="CANCELLED", cancelled=True, created_at="9", jobs=(never,)
    )
    failed = _failed("driver.failed", INJECTED)
    for deploy, found in ((failed, []), (DEPLOY, [Kind.UNEXPLAINED])):
        seen = Snapshot(tasks=(deploy, undeploy), vms=(unknown,), hosts=(gone,), granted=frozenset())
        assert [finding.kind for finding in judge(seen)] == found


def test_so_may_one_that_was_looked_for_and_is_not_there():
    unknown, refresh = replace(WEB, state="UNKNOWN"), replace(DEPLOY, type="REFRESH")
    assert _found(unknown, replace(HOST, machines=()), refresh) == []
    assert _found(unknown, HOST, refresh) == [Kind.UNEXPLAINED]


def test_what_a_hypervisor_has_of_a_vm_that_is_not_there_is_orphaned():
    assert _found(GONE) == [Kind.ORPHANED] * 3
    assert _found(replace(WEB, hypervisor_id="elsewhere")) == [Kind.ORPHANED] * 3


def test_a_place_that_nobody_needs_is_a_disagreement():
    assert Kind.DISAGREE in _found(replace(WEB, state="ALLOCATED"))


def test_two_operations_on_one_vm_at_once_are_doubled():
    assert _found(WEB, _with(_span("create", "web-1", 0, 2), _span("create", "web-1", 1, 3))) == [Kind.DOUBLED]
    assert _found(WEB, _with(_span("create", "web-1", 0, 2), _span("delete", "web-1", 1, 3))) == [Kind.DOUBLED]
    assert _found(WEB, _with(_span("create", "web-1", 0, 2), _span("create", "web-1", 2, 3))) == []
    assert _found(WEB, _with(_span("create", "web-1", 0, 1, error="driver.conflict"))) == [Kind.DOUBLED]


def test_each_stretch_over_the_bound_is_one_finding():
    spans = [_span("create", name, start, 10) for start, name in enumerate("abc")]
    assert _found(WEB, _with(*spans[:2])) == []
    assert _found(WEB, _with(*spans)) == [Kind.OVER_THE_BOUND]
    later = [_span("delete", name, 20, 30) for name in "abc"]
    assert _found(WEB, _with(*spans, *later)) == [Kind.OVER_THE_BOUND] * 2


def test_what_runs_when_a_bound_is_lowered_may_go_on_and_nothing_follows_it():
    lowered = replace(HOST, bounds=(Bound(2, until=100), Bound(1, since=99)))
    before = [_span("create", name, 90, 100 + 3 * TOLD_WITHIN) for name in "ab"]
    assert _found(WEB, replace(lowered, spans=tuple(before))) == []
    at = 100 + 2 * TOLD_WITHIN
    after = [before[0], _span("create", "c", at, at + 1)]
    assert _found(WEB, replace(lowered, spans=tuple(after))) == [Kind.OVER_THE_BOUND]


def test_a_lowered_bound_may_take_a_while_to_be_heard_and_longer_if_somebody_was_struck():
    lowered = replace(HOST, bounds=(Bound(2, until=100), Bound(1, since=99)))

    def found(at: float, *struck: float) -> list[Kind]:
        spans = tuple(_span("create", name, at, at + 1) for name in "ab")
        snapshot = Snapshot((DEPLOY,), (WEB,), (replace(lowered, spans=spans),), struck=struck)
        return [finding.kind for finding in judge(snapshot)]

    assert found(100 + TOLD_WITHIN - 1) == []
    assert found(100 + TOLD_WITHIN + 1) == [Kind.OVER_THE_BOUND]
    assert found(100 + TOLD_WITHIN + 1, 95) == []
    assert found(100 + TOLD_WITHIN_IN_CHAOS + 1, 95, 101) == [Kind.OVER_THE_BOUND]


def test_a_raised_bound_may_be_used_from_the_moment_at_which_it_was_asked_for():
    raised = replace(HOST, bounds=(Bound(1, until=100), Bound(2, since=50)))
    assert _found(WEB, replace(raised, spans=tuple(_span("create", name, 50, 60) for name in "ab"))) == []
    assert _found(WEB, replace(raised, spans=tuple(_span("create", name, 49, 60) for name in "ab"))) == [
        Kind.OVER_THE_BOUND
    ]


def test_a_virtual_datacenters_bound_is_one_for_its_vms_alone():
    web = replace(WEB, vdc="small", vdc_sessions=1)
    host = _with(_span("update", "web-1", 0, 2), _span("create", "other-1", 1, 3))
    other = VmSeen("other", "other-1", "NOT_ALLOCATED", None, None, vdc="small", vdc_sessions=1)
    snapshot = Snapshot((DEPLOY,), (web, other), (host,))
    assert [finding.kind for finding in judge(snapshot)] == [Kind.OVER_THE_BOUND]
    free = replace(other, vdc="free", vdc_sessions=None)
    assert judge(replace(snapshot, vms=(web, free))) == []


def test_one_process_takes_one_session_whatever_it_does():
    spans = [_span("create", name, 0, 10, pid=1) for name in "abc"]
    assert _found(WEB, _with(*spans)) == []


def test_a_session_that_ends_when_another_begins_is_free_for_it():
    spans = (_span("create", "a", 0, 1), _span("create", "b", 1, 2), _span("create", "c", 1.5, 1.5))
    assert max(len(running) for _, running in moments(spans)) == 1


def test_a_deploy_may_only_fail_of_what_it_was_told_to_fail_of():
    assert _found(GONE, replace(HOST, machines=(), volumes=frozenset()), _failed("driver.busy", INJECTED)) == [
        Kind.UNMADE
    ]
    assert _found(GONE, replace(HOST, machines=(), volumes=frozenset()), _failed("driver.failed", INJECTED)) == []


def test_so_may_any_other_task():
    empty, task = replace(HOST, machines=(), volumes=frozenset()), _failed("runner.no_result")
    assert _found(GONE, empty, replace(task, type="UNDEPLOY")) == [Kind.UNFOUNDED]
    deaf = replace(task, type="SHUTDOWN", jobs=(JobSeen("shutdown", "host-0", "FAILED", "driver.timed_out"),))
    assert _found(GONE, empty, deaf) == []


def test_a_hypervisor_that_answers_nobody_for_a_while_excuses_its_own_deploys_only():
    empty = replace(HOST, machines=(), volumes=frozenset())
    task = _failed("driver.unreachable", INJECTED)
    assert _found(GONE, replace(empty, was_dark=True), task) == []
    assert _found(GONE, replace(empty, was_dark=True, name="host-1"), task) == [Kind.UNMADE]


def test_a_deploy_that_was_cancelled_need_not_make_its_vm():
    cancelled = replace(DEPLOY, state="CANCELLED", cancelled=True)
    empty = replace(HOST, machines=(), volumes=frozenset())
    assert _found(GONE, empty, cancelled) == []
    assert _found(GONE, empty, replace(cancelled, cancelled=False)) == [Kind.UNMADE]
