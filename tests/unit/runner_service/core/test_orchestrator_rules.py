# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the orchestrator decides, by example."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runner_service.contract.messages import ErrorReport, Mode, Task
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from runner_service.contract.tree import SnapshotOrder
from runner_service.core.orchestrator import after, begin
from runner_service.core.retry import RetryRule
from runner_service.core.steps import Cancel, Ended, Outcome, Start, Started
from tests.drive import BROKEN, BUSY, UNSEEN, Drive, Verdict, failing
from tests.requests import DEPLOY, appliance, chain, definition, job

ROLLED_BACK = ["START", "DONE", "ROLLBACK_START", "ROLLBACK_DONE"]


def sequence(identity: str, *children: object) -> Task:
    return Task(id=identity, children=children)  # type: ignore[arg-type]


def at_once(identity: str, *children: object, atomic: bool = False) -> Task:
    return Task(id=identity, children=children, mode=Mode.CONCURRENT, atomic=atomic)  # type: ignore[arg-type]


def test_a_chain_runs_its_jobs_one_after_the_other() -> None:
    drive = Drive(chain("web", *DEPLOY))
    assert [start.job.id for start in drive.waiting] == ["web.configure"]
    drive.start()
    assert drive.waiting == []
    drive.end()
    assert [start.job.id for start in drive.waiting] == ["web.power_on"]


def test_a_task_starts_with_its_first_job_and_ends_after_its_last() -> None:
    drive = Drive(chain("web", *DEPLOY)).to_the_end()
    assert [f"{node} {event}" for node, event in drive.reports] == [
        "web.task START",
        "web.configure START",
        "web.configure DONE",
        "web.power_on START",
        "web.power_on DONE",
        "web.task DONE",
    ]
    assert drive.finished == 1


def test_nothing_is_reported_of_a_job_that_waits_for_its_lane() -> None:
    drive = Drive(appliance("web", "db"))
    assert len(drive.waiting) == 2
    assert drive.reports == []


def test_a_failed_job_is_undone_first_and_then_what_was_done_before_it() -> None:
    drive = Drive(chain("web", *DEPLOY, Operation.PAUSE), failing("web.pause")).to_the_end()
    assert drive.ran()[3:] == ["resume to undo web.pause", "power_off to undo web.power_on",
                               "unconfigure to undo web.configure"]  # fmt: skip
    assert drive.events("web.pause") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_DONE"]
    assert drive.events("web.configure") == ROLLED_BACK
    assert drive.reports[-1] == ("web.task", "ERROR")


def test_jobs_after_a_failed_one_are_aborted() -> None:
    drive = Drive(chain("web", *DEPLOY), failing("web.configure")).to_the_end()
    assert drive.events("web.power_on") == ["ABORTED"]


def test_the_error_of_a_task_is_that_of_its_failed_job() -> None:
    drive = Drive(appliance("web", "db"), failing("db.power_on")).to_the_end()
    for task in ("db.task", "appliance"):
        outcome = drive.outcomes[task, "ERROR"]  # type: ignore[index]
        assert outcome is not None
        assert outcome.error == BROKEN


def test_a_failure_leaves_concurrent_siblings_alone() -> None:
    drive = Drive(appliance("web", "db"), failing("db.configure")).to_the_end()
    assert drive.events("web.configure") == ["START", "DONE"]
    assert drive.events("web.power_on") == ["START", "DONE"]
    assert drive.events("web.task") == ["START", "DONE"]
    assert drive.events("appliance") == ["START", "ERROR"]


def test_a_sibling_of_a_concurrent_task_is_settled_as_soon_as_it_ends() -> None:
    drive = Drive(appliance("web", "db"))
    for job_id in ("web.configure", "web.power_on"):
        drive.start_job(job_id)
        drive.end_job(job_id)
    assert drive.reports[-1] == ("web.task", "DONE"), "its VM is unlocked without waiting for db"


def test_an_atomic_task_lets_running_jobs_end_and_undoes_them() -> None:
    drive = Drive(at_once("all", *(chain(vm, *DEPLOY) for vm in ("a", "b", "c")), atomic=True), failing("a.configure"))
    drive.start_job("a.configure")
    drive.start_job("b.configure")
    drive.end_job("a.configure")
    assert "c.configure" not in [start.job.id for start in drive.waiting]
    assert drive.events("c.configure") == ["ABORTED"]
    drive.to_the_end()
    assert drive.events("b.configure") == ROLLED_BACK
    assert drive.events("b.power_on") == ["ABORTED"]
    assert {task: drive.events(task) for task in ("a.task", "b.task", "c.task", "all")} == {
        "a.task": ["START", "ERROR"], "b.task": ["START", "ERROR"], "c.task": ["ABORTED"], "all": ["START", "ERROR"],
    }  # fmt: skip


def test_an_inner_task_that_may_still_be_undone_is_not_settled_yet() -> None:
    inner = chain("web", *DEPLOY)
    drive = Drive(sequence("outer", inner, job("db", "configure")), failing("db.configure")).to_the_end()
    assert drive.events("web.task") == ["START", "ERROR"]
    assert drive.events("web.power_on") == ROLLED_BACK
    assert [f"{node} {event}" for node, event in drive.reports[-2:]] == ["web.task ERROR", "outer ERROR"]


def test_a_failed_concurrent_step_of_a_chain_is_undone_with_the_siblings_that_were_done() -> None:
    step = at_once("both", job("web", "configure"), job("db", "configure"))
    drive = Drive(sequence("outer", job("lb", "configure"), step), failing("db.configure")).to_the_end()
    assert drive.events("web.configure") == ROLLED_BACK
    assert drive.events("lb.configure") == ROLLED_BACK
    assert drive.ran()[-1] == "unconfigure to undo lb.configure"


def test_a_failed_undoing_is_reported_and_the_others_go_on() -> None:
    def verdict(start: Start) -> Outcome:
        broken = start.job.id == "web.power_on"
        return Outcome(error=BROKEN) if broken else Outcome(changed=True)

    drive = Drive(chain("web", *DEPLOY), verdict).to_the_end()
    assert drive.events("web.power_on") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_ERROR"]
    assert drive.events("web.configure") == ROLLED_BACK
    assert drive.events("web.task") == ["START", "ERROR"]


def test_an_operation_without_inverse_is_not_undone() -> None:
    drive = Drive(chain("web", Operation.RESET, Operation.GET_STATE), failing("web.get_state")).to_the_end()
    assert drive.events("web.reset") == ["START", "DONE"]
    assert drive.events("web.get_state") == ["START", "ERROR"]
    assert drive.finished == 1


def test_what_was_so_before_the_task_is_not_undone() -> None:
    def verdict(start: Start) -> Outcome:
        return Outcome(error=BROKEN) if start.job.id == "web.power_on" else Outcome(changed=False)

    drive = Drive(chain("web", *DEPLOY), verdict).to_the_end()
    assert drive.events("web.configure") == ["START", "DONE"]
    again = Drive(chain("web", *DEPLOY), verdict, attempt=2).to_the_end()
    assert again.events("web.configure") == ROLLED_BACK, "after a crash the VM may be our own"


def test_a_job_that_failed_before_it_touched_anything_is_not_undone_but_those_before_it_are() -> None:
    refused = ErrorReport(code="driver.unsupported", message="cannot pause", begun=False)

    def verdict(start: Start) -> Outcome:
        return Outcome(error=refused) if start.job.operation is Operation.PAUSE else Outcome(changed=True)

    drive = Drive(chain("web", *DEPLOY, Operation.PAUSE), verdict).to_the_end()
    assert drive.events("web.pause") == ["START", "ERROR"]
    assert drive.events("web.power_on") == ROLLED_BACK
    again = Drive(chain("web", *DEPLOY, Operation.PAUSE), verdict, attempt=2).to_the_end()
    assert again.events("web.pause")[-1] == "ROLLBACK_DONE", "the delivery before may have done it"


def error_of(drive: Drive, job_id: str) -> ErrorReport:
    outcome = drive.outcomes[job_id, Event.ERROR]
    assert outcome is not None
    assert outcome.error is not None
    return outcome.error


def test_an_operation_without_inverse_says_whether_anything_was_begun_over_all_its_tries_and_deliveries() -> None:
    task, rule = chain("web", Operation.UNCONFIGURE), RetryRule(max_tries=2)
    never = Drive(task, lambda _start: Outcome(error=NOT_REACHED), retry=rule).to_the_end()
    assert error_of(never, "web.unconfigure").begun is False
    errors = iter([BUSY, NOT_REACHED])
    once = Drive(task, lambda _start: Outcome(error=next(errors)), retry=rule).to_the_end()
    assert error_of(once, "web.unconfigure").begun
    again = Drive(task, lambda _start: Outcome(error=NOT_REACHED), attempt=2).to_the_end()
    assert error_of(again, "web.unconfigure").begun
    assert again.events("web.unconfigure") == ["START", "ERROR"]


def test_a_reconfigure_is_undone_with_the_definition_that_it_found() -> None:
    found = definition("web", memory_mib=128)

    def verdict(start: Start) -> Outcome:
        if start.job.operation is Operation.POWER_ON:
            return Outcome(error=BROKEN)
        return Outcome(changed=True, before={"definition": found})

    task = chain("web", Operation.RECONFIGURE, Operation.POWER_ON)
    undo = Drive(task, verdict).to_the_end().starts[-1]
    assert (undo.undo, undo.job.operation, undo.job.definition) == (True, Operation.RECONFIGURE, found)


def test_a_reconfigure_that_came_again_is_not_undone_with_what_it_may_have_made_itself() -> None:
    known, found = definition("web", memory_mib=32), definition("web", memory_mib=128)

    def verdict(start: Start) -> Outcome:
        fails = start.job.operation is Operation.POWER_ON and not start.undo
        return Outcome(error=BROKEN) if fails else Outcome(changed=False, before={"definition": found})

    task = sequence("web.task", job("web", "reconfigure", previous=known), job("web", "power_on"))
    undo = Drive(task, verdict, attempt=2).to_the_end().starts[-1]
    assert (undo.undo, undo.job.operation, undo.job.definition) == (True, Operation.RECONFIGURE, known)


def test_a_secret_goes_with_no_undoing() -> None:
    task = sequence("web.task", job("web", "configure", sealed_user_data="c2VhbGVk"))
    undo = Drive(task, failing("web.configure")).to_the_end().starts[-1]
    assert (undo.job.operation, undo.job.sealed_user_data) == (Operation.UNCONFIGURE, None)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_snapshot_that_was_taken_is_deleted_again_and_one_that_was_only_found_is_not(attempt: int) -> None:
    order = SnapshotOrder(name="first")
    task = sequence("web.task", job("web", "snapshot_create", snapshot=order), job("web", "power_on"))

    def deleted(*, changed: bool) -> list[SnapshotOrder | None]:
        def verdict(start: Start) -> Outcome:
            return Outcome(error=BROKEN) if start.job.id == "web.power_on" else Outcome(changed=changed)

        drive = Drive(task, verdict, attempt=attempt).to_the_end()
        return [start.job.snapshot for start in drive.starts if start.job.operation is Operation.SNAPSHOT_DELETE]

    assert deleted(changed=True) == [order]
    assert deleted(changed=False) == []


def disks(*names: str) -> dict[str, Any]:
    return definition("web", disks=[{"name": name, "size_mib": 8} for name in names])


def undoing_of_a_change(before: dict[str, Any], after: dict[str, Any], **fields: Any) -> Start | None:
    """What undoes a reconfigure from one definition to the other that failed half-way."""
    changed = job("web", "reconfigure", definition=after, previous=before, **fields)
    last = Drive(sequence("web.task", changed), failing("web.reconfigure")).to_the_end().starts[-1]
    return last if last.undo else None


def test_only_the_undoing_of_a_disk_that_was_added_may_remove_disks() -> None:
    added = undoing_of_a_change(disks("root"), disks("root", "data"))
    assert added is not None and added.job.allow_disk_removal
    other = undoing_of_a_change(disks("root"), definition("web", memory_mib=128))
    assert other is not None and not other.job.allow_disk_removal


def test_a_reconfigure_that_needed_a_power_cycle_may_need_one_to_be_undone() -> None:
    cycled = undoing_of_a_change(disks("root"), disks("root", "data"), allow_power_cycle=True)
    assert cycled is not None and cycled.job.allow_power_cycle


def test_a_disk_that_was_removed_is_not_made_anew_as_an_empty_one() -> None:
    assert undoing_of_a_change(disks("root", "data"), disks("root"), allow_disk_removal=True) is None


def test_an_undoing_that_is_refused_says_that_nothing_was_begun_unless_a_try_before_it_may_have() -> None:
    refused = ErrorReport(code="driver.unsupported", message="never smaller", begun=False)
    undone: list[Start] = []

    def verdict(start: Start) -> Outcome:
        if not start.undo:
            return Outcome(error=BROKEN)
        undone.append(start)
        return Outcome(error=BUSY if retried and len(undone) == 1 else refused)

    for retried in (False, True):
        undone.clear()
        task = sequence("web.task", job("web", "reconfigure", previous=disks("root")))
        drive = Drive(task, verdict, retry=RetryRule(max_tries=2)).to_the_end()
        told = drive.outcomes["web.reconfigure", Event.ROLLBACK_ERROR]
        assert told is not None and told.error is not None
        assert told.error.begun is retried


def test_a_reconfigure_that_found_nothing_out_is_undone_with_what_the_platform_knew() -> None:
    known = definition("web", memory_mib=32)
    task = sequence("web.task", job("web", "reconfigure", previous=known))
    undo = Drive(task, failing("web.reconfigure")).to_the_end().starts[-1]
    assert (undo.undo, undo.job.definition) == (True, known)
    unknown = Drive(sequence("web.task", job("web", "reconfigure")), failing("web.reconfigure")).to_the_end()
    assert unknown.events("web.reconfigure") == ["START", "ERROR"]


NOT_REACHED = ErrorReport(code="driver.unreachable", message="no answer", retryable=True, begun=False)


def test_a_hypervisor_that_was_never_reached_has_nothing_to_be_undone() -> None:
    drive = Drive(chain("web", *DEPLOY), lambda _start: Outcome(error=NOT_REACHED), retry=RetryRule(max_tries=3))
    drive.to_the_end()
    assert len(drive.starts) == 3
    assert [event for node, event in drive.reports if node == "web.configure"] == ["START", "ERROR"]


def test_one_try_that_reached_the_hypervisor_is_undone_whatever_the_last_one_says() -> None:
    broke = ErrorReport(code="driver.unreachable", message="the line broke", retryable=True)
    errors = iter([broke, NOT_REACHED, None])
    drive = Drive(chain("web", *DEPLOY), lambda _start: Outcome(error=next(errors)), retry=RetryRule(max_tries=2))
    drive.to_the_end()
    told = [event for node, event in drive.reports if node == "web.configure"]
    assert told == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_DONE"]


def test_an_error_that_passes_is_tried_again_after_growing_pauses_and_reported_once() -> None:
    task = chain("web", Operation.POWER_OFF)
    drive = Drive(task, lambda _start: Outcome(error=BUSY), retry=RetryRule(max_tries=3))
    drive.to_the_end()
    first = [start.delay for start in drive.starts if start.job.id == "web.power_off" and not start.undo]
    assert first[0] == 0
    assert 0.75 <= first[1] <= 1.25 < 1.5 <= first[2] <= 2.5
    assert drive.events("web.power_off") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_ERROR"]
    assert len([start for start in drive.starts if start.undo]) == 3


def there(*job_ids: str) -> Verdict:
    """In check mode the work of these jobs is found; real runs are done."""
    return lambda start: Outcome(changed=not start.check or (start.job.id in job_ids) is start.undo)


def test_a_second_delivery_passes_over_what_is_done_and_does_the_rest() -> None:
    drive = Drive(chain("web", *DEPLOY), there("web.configure"), attempt=2).to_the_end()
    assert drive.ran() == ["check configure", "check power_on", "power_on"]
    assert [f"{node} {event}" for node, event in drive.reports] == [
        "web.task START", "web.configure START", "web.configure DONE", "web.power_on START", "web.power_on DONE",
        "web.task DONE",
    ]  # fmt: skip
    passed = drive.outcomes["web.configure", Event.DONE]
    assert passed is not None
    assert passed.changed is False


def test_what_only_looks_and_what_leaves_no_trace_is_run_again_at_once() -> None:
    drive = Drive(chain("web", Operation.RESET, Operation.GET_STATE), attempt=2).to_the_end()
    assert drive.ran() == ["reset", "get_state"]


def test_a_failed_check_is_the_jobs_failure_and_tried_again_as_any() -> None:
    verdicts = iter([Outcome(error=BUSY), Outcome(changed=True), Outcome(changed=True)])
    task = chain("web", Operation.CONFIGURE)
    drive = Drive(task, lambda _start: next(verdicts), attempt=2, retry=RetryRule(max_tries=2)).to_the_end()
    assert drive.ran() == ["check configure", "check configure", "configure"]
    assert drive.events("web.configure") == ["START", "DONE"]
    drive = Drive(task, failing("web.configure"), attempt=2).to_the_end()
    assert drive.events("web.configure") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_DONE"]


def test_a_second_delivery_that_fails_undoes_what_the_first_one_had_done_behind() -> None:
    task = sequence("both", job("web", "configure"), job("db", "configure"))
    drive = Drive(task, failing("web.configure"), attempt=2).to_the_end()
    assert drive.ran() == ["check configure", "check configure", "unconfigure to undo db.configure",
                           "unconfigure to undo web.configure"]  # fmt: skip
    assert drive.events("db.configure") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_DONE"]


def test_a_job_behind_that_cannot_have_been_done_is_aborted_as_ever() -> None:
    gone = ErrorReport(code="driver.vm_not_found", message="no such VM", begun=False)

    def verdict(start: Start) -> Outcome:
        return Outcome(error=gone if start.job.operation is Operation.POWER_ON else BROKEN)

    drive = Drive(chain("web", *DEPLOY), verdict, attempt=2).to_the_end()
    assert drive.events("web.power_on") == ["ABORTED"]


def unseen(*found: str) -> Verdict:
    """Nobody sees how runs end; in check mode the work of these jobs is found."""
    return lambda start: Outcome(changed=(start.job.id in found) is start.undo) if start.check else UNSEEN


def test_an_end_that_nobody_saw_is_judged_by_a_check_run() -> None:
    drive = Drive(chain("web", *DEPLOY), unseen("web.configure")).to_the_end()
    assert drive.ran()[:4] == ["configure", "check configure", "power_on", "check power_on"]
    assert drive.events("web.configure")[:2] == ["START", "DONE"]
    assert drive.events("web.power_on")[:2] == ["START", "ERROR"]
    assert error_of(drive, "web.power_on").code == "runner.deadline"


def test_the_undoing_of_what_nobody_saw_end_is_judged_likewise() -> None:
    drive = Drive(chain("web", Operation.CONFIGURE), unseen()).to_the_end()
    assert drive.ran()[2:] == ["unconfigure to undo web.configure", "check unconfigure to undo web.configure"]
    assert drive.events("web.configure") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_DONE"]
    drive = Drive(chain("web", Operation.CONFIGURE), lambda start: UNSEEN).to_the_end()
    assert drive.events("web.configure") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_ERROR"]


def test_a_look_that_nobody_saw_end_has_failed() -> None:
    drive = Drive(chain("web", Operation.GET_STATE), lambda start: UNSEEN).to_the_end()
    assert (drive.ran(), drive.events("web.get_state")) == (["get_state"], ["START", "ERROR"])


def test_an_end_that_nobody_saw_is_tried_again_before_it_is_judged() -> None:
    late = Outcome(error=BUSY, unseen=True)
    task, rule = chain("web", Operation.CONFIGURE), RetryRule(max_tries=2)
    drive = Drive(task, lambda start: Outcome(changed=False) if start.check else late, retry=rule).to_the_end()
    assert drive.ran() == ["configure", "configure", "check configure"]
    assert drive.events("web.configure") == ["START", "DONE"]


def test_cancelling_what_has_not_started_aborts_it_at_once() -> None:
    drive = Drive(appliance("web", "db"))
    drive.cancel()
    assert (drive.waiting, drive.finished) == ([], 1)
    assert drive.events("web.configure") == drive.events("db.power_on") == ["ABORTED"]
    assert drive.events("web.task") == drive.events("appliance") == ["CANCELLED"]


def test_cancelling_stops_what_runs_and_undoes_it_and_what_was_done() -> None:
    drive = Drive(chain("web", *DEPLOY, Operation.PAUSE), lambda start: UNSEEN if start.job.id in drive.stopped
                  else Outcome(changed=True))  # fmt: skip
    drive.start()
    drive.end()
    drive.start_job("web.power_on")
    drive.cancel()
    assert drive.stopped == {"web.power_on"}
    drive.to_the_end()
    assert drive.ran()[2:] == ["power_off to undo web.power_on", "unconfigure to undo web.configure"]
    assert drive.events("web.power_on") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_DONE"]
    assert error_of(drive, "web.power_on").code == "task.cancelled"
    assert error_of(drive, "web.power_on").detail == "it took too long"
    assert drive.events("web.pause") == ["ABORTED"]
    assert drive.events("web.task") == ["START", "CANCELLED"]


def test_a_run_that_ends_well_in_spite_of_its_stop_is_done_and_undone() -> None:
    drive = Drive(chain("web", *DEPLOY))
    drive.start()
    drive.cancel()
    drive.to_the_end()
    assert drive.events("web.configure") == ROLLED_BACK
    assert drive.events("web.task") == ["START", "CANCELLED"]


def test_a_part_that_has_ended_stays_as_it_is_when_the_rest_is_cancelled() -> None:
    drive = Drive(appliance("web", "db"))
    for job_id in ("web.configure", "web.power_on"):
        drive.start_job(job_id)
        drive.end_job(job_id)
    drive.cancel()
    assert drive.events("web.task") == ["START", "DONE"]
    assert drive.events("web.power_on") == ["START", "DONE"]
    assert drive.events("db.task") == ["CANCELLED"]
    assert drive.reports[-1] == ("appliance", "CANCELLED")


def test_cancelling_withdraws_a_job_that_waits_for_its_next_try_and_undoes_it_if_it_touched_anything() -> None:
    for error, events in (
        (BUSY, ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_DONE"]),
        (NOT_REACHED, ["START", "ERROR"]),
    ):
        verdicts = iter([Outcome(error=error), Outcome(changed=True)])
        drive = Drive(chain("web", *DEPLOY), lambda _start, told=verdicts: next(told), retry=RetryRule(max_tries=3))  # type: ignore[misc]
        drive.start()
        drive.end()
        drive.cancel()
        drive.to_the_end()
        assert drive.events("web.configure") == events
        assert drive.events("web.task") == ["START", "CANCELLED"]


@pytest.mark.parametrize(("is_done", "event"), [(True, "DONE"), (False, "ERROR")])
def test_a_stopped_operation_without_inverse_is_judged(is_done: bool, event: str) -> None:
    found = ("web.unconfigure",) if is_done else ()
    drive = Drive(chain("web", Operation.UNCONFIGURE), unseen(*found))
    drive.start()
    drive.cancel()
    drive.to_the_end()
    assert drive.ran() == ["unconfigure", "check unconfigure"]
    assert drive.events("web.unconfigure") == ["START", event]
    assert drive.events("web.task") == ["START", "CANCELLED"]


def test_a_cancelled_look_is_neither_done_nor_failed() -> None:
    drive = Drive(chain("web", Operation.GET_STATE), unseen())
    drive.start()
    drive.cancel()
    drive.to_the_end()
    assert drive.events("web.get_state") == ["START", "ABORTED"]


def test_cancelling_lets_undoing_go_on_with_its_tries() -> None:
    verdicts = iter([Outcome(error=BROKEN), Outcome(error=BUSY), Outcome(changed=True)])
    drive = Drive(chain("web", Operation.CONFIGURE), lambda _start: next(verdicts), retry=RetryRule(max_tries=2))
    drive.start()
    drive.end()
    drive.start()
    drive.cancel()
    assert drive.stopped == set()
    drive.to_the_end()
    assert drive.events("web.configure") == ["START", "ERROR", "ROLLBACK_START", "ROLLBACK_DONE"]
    assert drive.events("web.task") == ["START", "CANCELLED"]


def test_cancelling_a_second_delivery_asks_what_the_first_one_left_and_undoes_it() -> None:
    drive = Drive(chain("web", *DEPLOY), there("web.configure"), attempt=2)
    drive.cancel()
    drive.to_the_end()
    assert drive.ran() == ["check power_on", "power_off to undo web.power_on", "check configure",
                           "unconfigure to undo web.configure"]  # fmt: skip
    assert drive.events("web.configure") == ROLLED_BACK
    assert drive.events("web.task") == ["START", "CANCELLED"]


def test_a_second_cancel_and_one_that_comes_too_late_change_nothing() -> None:
    drive = Drive(chain("web", *DEPLOY))
    drive.start()
    drive.cancel()
    assert after(drive.state, Cancel()) == (drive.state, ())
    ended = Drive(chain("web", *DEPLOY)).to_the_end().state
    assert after(ended, Cancel()) == (ended, ())


def test_what_is_told_late_of_an_earlier_run_changes_nothing() -> None:
    drive = Drive(chain("web", Operation.CONFIGURE), lambda _start: Outcome(error=BUSY), retry=RetryRule(max_tries=2))
    drive.start()
    drive.end()
    for late in drive.told:
        assert after(drive.state, late) == (drive.state, ())


def test_what_comes_twice_changes_nothing() -> None:
    state, _ = begin(chain("web", *DEPLOY))
    state, _ = after(state, Started("web.configure"))
    assert after(state, Started("web.configure")) == (state, ())
    state, _ = after(state, Ended("web.configure", Outcome(changed=True)))
    assert after(state, Ended("web.configure", Outcome(error=BROKEN))) == (state, ())
    assert after(state, Ended("web.power_on", Outcome(changed=True))) == (state, ()), "it has not started"


def test_a_state_is_a_value() -> None:
    before, _ = begin(chain("web", *DEPLOY))
    kept = list(before.nodes)
    after(before, Started("web.configure"))
    assert list(before.nodes) == kept
    with pytest.raises(AttributeError):
        kept[0].run = 5  # type: ignore[misc]  # that is what is tried


@pytest.mark.parametrize("width", [200, 2000])
def test_the_cost_of_a_step_hardly_grows_with_the_tree(width: int) -> None:
    """Twenty times the measured cost is allowed: a scan of the tree at each step would need hundreds of times it."""
    drive = Drive(appliance(*(f"vm{number}" for number in range(width))))
    begun = time.process_time()
    drive.waiting.reverse()
    for _ in range(100):
        drive.start(-1)
        drive.end(-1)
    assert time.process_time() - begun < 0.2
