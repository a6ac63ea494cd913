# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs the orchestrator puts together, and what becomes of those whose batch ends before their turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from runner_service import runs
from runner_service.contract.control import Cancel
from runner_service.contract.messages import ErrorReport, Mode, Task, TaskRequest
from runner_service.core.patience import Patience
from runner_service.core.retry import RetryRule
from runner_service.core.steps import Outcome
from runner_service.orchestrator import Orchestrator, OrchestratorRules
from runner_service.ports import NOT_BEGUN, Batch, Delivery, Ear, Tag, Work
from runner_service.testing import MemoryBroker
from tests.requests import job, request
from tests.waiting import wait_until

NEVER_BEGUN = Outcome(error=ErrorReport(code=NOT_BEGUN, message="not begun", begun=False))
UNSEEN = Outcome(error=ErrorReport(code="runner.stopped", message="stopped"), unseen=True)
DONE = Outcome(changed=True, seconds=0.01)


@dataclass
class Course:
    """A batch under way; the test says how it goes on."""

    batch: Batch
    stopped: Callable[[], bool]
    ended: Callable[[Work, Outcome], None]
    ear: Ear
    over: threading.Event = field(default_factory=threading.Event)
    told: set[str] = field(default_factory=set)

    @property
    def jobs(self) -> list[str]:
        return [work.job.id for work in self.batch.works]

    def end(self, job_id: str, outcome: Outcome = DONE) -> None:
        (work,) = (work for work in self.batch.works if work.job.id == job_id)
        self.told.add(job_id)
        self.ended(work, outcome)

    def close(self) -> None:
        """The rest ends unseen."""
        for job_id in set(self.jobs) - self.told:
            self.end(job_id, UNSEEN)
        self.over.set()


class Track:
    """A JobRunner that does nothing by itself, beside an orchestrator with one."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.courses: list[Course] = []
        #: Whether what it runs gets past its start at once.
        self.begins = True
        self.broker = MemoryBroker()
        retry = RetryRule(max_tries=1, first_delay=0.01)
        self.orchestrator = Orchestrator(
            self.broker, self, OrchestratorRules(name="r", max_runs=4, retry=retry, patience=patience or Patience())
        )
        self.thread = threading.Thread(target=self.orchestrator.run)
        self.thread.start()

    def run(self, batch: Batch, ear: Ear) -> None:
        """Threads are no faster than each other: what begins at once may come in any order."""
        course = Course(batch, ear.cancelled, ear.ended, ear)
        self.courses.append(course)
        if self.begins:
            ear.begun(batch.works[0])
        course.over.wait(30)

    def course(self, number: int) -> Course:
        wait_until(lambda: len(self.courses) > number, 10, f"batch {number}", every=0.005)
        return self.courses[number]

    def of(self, job_id: str) -> Course:
        """The batch that the job is in."""
        found: list[Course] = []

        def look() -> bool:
            found.extend(course for course in list(self.courses) if job_id in course.jobs)
            return bool(found)

        self.until(look, f"the batch of {job_id}")
        return found[0]

    def take(self, wanted: TaskRequest) -> None:
        self.orchestrator.take(Delivery(request=wanted, attempt=1, tag=Tag(1, 1)))

    def events_of(self, job_id: str) -> list[str]:
        return self.broker.events_of(job_id)

    def until(self, predicate: Callable[[], object], what: str) -> None:
        wait_until(predicate, 10, what, every=0.005)

    def settled(self) -> None:
        """All that it was told is done with."""
        done = threading.Event()
        self.orchestrator._inbox.put(done.set)
        assert done.wait(10)

    def ended(self) -> None:
        self.until(lambda: self.broker.acknowledged, "the request's end")

    def stop(self) -> None:
        self.orchestrator.cancel_runs()
        self.orchestrator.stop()
        wait_until(self._is_over, 10, "the end of the orchestrator's thread", every=0.005)

    def _is_over(self) -> bool:
        """What was just begun is ended, too."""
        for course in list(self.courses):
            course.close()
        return not self.thread.is_alive()


@pytest.fixture
def track() -> Iterator[Track]:
    track = Track()
    yield track
    track.stop()


def configures(count: int, mode: Mode = Mode.CONCURRENT) -> TaskRequest:
    return request(Task(id="t", mode=mode, children=tuple(job(f"vm{number}", "configure") for number in range(count))))


def ids(wanted: TaskRequest) -> list[str]:
    return [one.id for one in wanted.task.jobs()]


def run_the_first_two(track: Track, wanted: TaskRequest) -> list[str]:
    """Nobody knows yet how long they take: each has a run of its own. What is left."""
    track.take(wanted)
    first, second, *rest = ids(wanted)
    for job_id in (first, second):
        course = track.of(job_id)
        assert (course.jobs, course.batch.sessions) == ([job_id], 1)
    track.of(first).end(first)
    return rest


def test_short_jobs_share_a_run_once_they_are_known_to_be_short(track: Track) -> None:
    wanted = configures(6)
    rest = run_the_first_two(track, wanted)
    batch = track.course(2)
    assert (batch.jobs, batch.batch.sessions) == (rest, 1), "one session was free"
    assert all(track.events_of(job_id) == ["START"] for job_id in rest)
    for job_id in rest:
        batch.end(job_id)
        track.until(lambda job_id=job_id: track.events_of(job_id)[-1] == "DONE", "its end, before that of the batch")
    track.of(ids(wanted)[1]).end(ids(wanted)[1])
    track.ended()


def test_long_jobs_do_not(track: Track) -> None:
    wanted = configures(4)
    track.take(wanted)
    first, _, third, _ = ids(wanted)
    track.of(first).end(first, Outcome(changed=True, seconds=5.0))
    track.course(1)
    assert track.course(2).jobs == [third]


def test_those_whose_turn_did_not_come_are_run_again_as_if_nothing_had_been(track: Track) -> None:
    wanted = configures(5)
    third, fourth, fifth = run_the_first_two(track, wanted)
    batch = track.course(2)
    batch.end(third)
    batch.end(fourth, NEVER_BEGUN)
    batch.end(fifth, NEVER_BEGUN)
    batch.close()
    again = track.course(3)
    assert set(again.jobs) <= {fourth, fifth}
    for number in range(3, 5):
        course = track.course(number) if len(again.jobs) == 1 else again
        for job_id in course.jobs:
            if "DONE" not in track.events_of(job_id):
                course.end(job_id)
                track.until(lambda job_id=job_id: "DONE" in track.events_of(job_id), "its end")
        if len(again.jobs) == 2:
            break
    track.of(ids(wanted)[1]).end(ids(wanted)[1])
    track.ended()
    assert track.events_of(fourth) == track.events_of(fifth) == ["START", "DONE"], "no failure, no second start"


def test_a_cancel_ends_the_batch_and_those_that_never_began_are_not_run_again(track: Track) -> None:
    wanted = configures(5)
    third, fourth, fifth = run_the_first_two(track, wanted)
    batch = track.course(2)
    track.orchestrator.told(Cancel(request_id=wanted.id))
    track.until(batch.stopped, "the batch is to be stopped")
    batch.end(third, UNSEEN)
    batch.end(fourth, NEVER_BEGUN)
    batch.end(fifth, NEVER_BEGUN)
    track.until(lambda: "ERROR" in track.events_of(fourth) and "ERROR" in track.events_of(fifth), "their ends")
    track.until(lambda: "ROLLBACK_START" in track.events_of(third), "the undoing of what may have begun")
    assert track.events_of(fourth) == ["START", "ERROR"], "there is nothing to undo"
    assert not any(job_id in course.jobs for course in track.courses[3:] for job_id in (fourth, fifth))


def test_a_job_that_was_put_back_is_cancelled_where_it_waits(track: Track) -> None:
    wanted = configures(4)
    third, fourth = run_the_first_two(track, wanted)
    batch = track.course(2)
    # Both sessions are taken when it is put back: one by the second job, one by the third that goes on.
    batch.end(fourth, NEVER_BEGUN)
    track.orchestrator.told(Cancel(request_id=wanted.id))
    track.until(lambda: "ERROR" in track.events_of(fourth), "its end")
    batch.end(third, UNSEEN)


def test_no_more_runs_are_at_their_start_than_the_machine_has_time_for(track: Track) -> None:
    track.begins = False
    for number in range(4):
        track.take(vm_request(f"v{number}", id=f"h{number}"))
    second = track.of("v1.configure")
    track.course(1)
    track.settled()
    assert len(track.courses) == 2, "as many as the rules say, though all lanes are free"
    second.ear.begun(second.batch.works[0])
    third = track.of("v2.configure")
    second.end("v1.configure")
    track.settled()
    assert len(track.courses) == 3, "it has not been at its start any more"
    third.end("v2.configure")
    third.over.set()
    assert track.of("v3.configure").jobs == ["v3.configure"], "an end is the end of a start, too"


def vm_request(name: str, **fields: Any) -> TaskRequest:
    """As an appliance has one for each of its VMs."""
    return request(Task(id=f"{name}.task", children=(job(name, "configure"),)), **fields)


def known_to_be_short(track: Track, **fields: Any) -> Course:
    """Afterwards one session is busy, and whatever comes waits for it."""
    track.take(vm_request("first", open_sessions=1, **fields))
    track.course(0).end("first.configure")
    track.ended()
    track.take(vm_request("busy", open_sessions=1, **fields))
    return track.course(1)


def test_jobs_of_several_requests_share_a_run(track: Track) -> None:
    busy = known_to_be_short(track)
    for name in ("a", "b", "c"):
        track.take(vm_request(name, open_sessions=1))
    track.settled()
    busy.end("busy.configure")
    batch = track.course(2)
    assert batch.jobs == ["a.configure", "b.configure", "c.configure"]
    assert len({work.request_id for work in batch.batch.works}) == 3
    for job_id in batch.jobs:
        batch.end(job_id)
        track.until(lambda job_id=job_id: track.events_of(job_id)[-1:] == ["DONE"], "its end")


def test_jobs_of_the_same_name_are_told_apart(track: Track) -> None:
    """An id is whatever the writer of a message says; within one message it is unique."""
    busy = known_to_be_short(track)
    requests = [
        request(Task(id="t", children=(replace(job(name, "configure"), id="j"),)), open_sessions=1) for name in "ab"
    ]
    for one in requests:
        track.take(one)
    track.settled()
    busy.end("busy.configure")
    batch = track.course(2)
    assert batch.jobs == ["j", "j"]
    first, second = batch.batch.works
    batch.ended(first, DONE)
    batch.ended(second, Outcome(error=ErrorReport(code="driver.failed", message="no")))
    batch.told.add("j")
    track.until(lambda: {"DONE", "ERROR"} <= set(track.events_of("j")), "both ends")
    of_jobs = [update for update in track.broker.updates if update.node_id == "j"]
    ends = {update.request_id: update.event for update in of_jobs if update.event in ("DONE", "ERROR")}
    assert ends == {requests[0].id: "DONE", requests[1].id: "ERROR"}


def test_two_jobs_of_one_vm_never_share_a_run(track: Track) -> None:
    """Ansible would take them for one host, and one of them would never end."""
    busy = known_to_be_short(track)
    jobs = tuple(replace(job("a", "configure"), id=f"a{number}") for number in range(2))
    track.take(request(Task(id="t", mode=Mode.CONCURRENT, children=jobs), open_sessions=1))
    track.settled()
    busy.end("busy.configure")
    assert track.course(2).jobs == ["a0"]
    track.courses[2].end("a0")
    assert track.course(3).jobs == ["a1"]


def test_another_login_has_another_run(track: Track) -> None:
    busy = known_to_be_short(track)
    for name, sealed in (("a", None), ("b", "sealed otherwise"), ("c", None)):
        track.take(vm_request(name, open_sessions=1, sealed_credentials=sealed))
    track.settled()
    busy.end("busy.configure")
    assert track.course(2).jobs == ["a.configure"], "b has its turn before c"


def test_who_is_cancelled_does_not_take_the_others_of_its_run_along_before_they_had_time_to_end(
    track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "STOP_PATIENCE", 60.0)
    monkeypatch.setattr(runs, "TURN_PATIENCE", 60.0)
    busy = known_to_be_short(track)
    wanted = {name: vm_request(name, open_sessions=1) for name in ("a", "b", "c")}
    for one in wanted.values():
        track.take(one)
    track.settled()
    busy.end("busy.configure")
    batch = track.course(2)
    track.orchestrator.told(Cancel(request_id=wanted["b"].id))
    track.settled()
    assert not batch.stopped(), "a and c may be about to end"
    batch.end("a.configure")
    assert not batch.stopped(), "so may c"
    monkeypatch.setattr(runs, "STOP_PATIENCE", 0.0)
    assert not batch.stopped(), "its turn has not come: nothing of it has to be stopped"
    batch.ear.begun(batch.batch.works[1])
    track.until(batch.stopped, "its patience has an end")
    batch.end("c.configure", UNSEEN)
    batch.end("b.configure", UNSEEN)
    track.until(lambda: "ERROR" in track.events_of("b.configure"), "the end of what was cancelled")

    def goes_on() -> bool:
        """The undoing of b comes first: it is urgent."""
        for course in track.courses[3:]:
            for one in set(course.jobs) - course.told:
                course.end(one)
        return track.events_of("c.configure")[-1] == "DONE"

    track.until(goes_on, "its end")
    assert track.events_of("c.configure") == ["START", "DONE"], "although no job has more than one try here"


def test_who_is_cancelled_before_its_turn_waits_for_the_others_for_a_bounded_time(
    track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "STOP_PATIENCE", 0.0)
    monkeypatch.setattr(runs, "TURN_PATIENCE", 60.0)
    busy = known_to_be_short(track)
    wanted = {name: vm_request(name, open_sessions=1) for name in ("a", "b")}
    for one in wanted.values():
        track.take(one)
    track.settled()
    busy.end("busy.configure")
    hanging = track.course(2)
    assert hanging.jobs == ["a.configure", "b.configure"]
    track.orchestrator.told(Cancel(request_id=wanted["b"].id))
    track.settled()
    assert not hanging.stopped()
    monkeypatch.setattr(runs, "TURN_PATIENCE", 0.0)
    track.until(hanging.stopped, "a hangs, and b's owner has waited long enough")


def test_undoings_whose_turn_did_not_come_are_done_all_the_same(track: Track) -> None:
    """Of a task that was cancelled, too: what was made is to be taken away."""
    busy = known_to_be_short(track)
    busy.end("busy.configure")
    track.until(lambda: len(track.broker.acknowledged) == 2, "both ends")
    names = ("a", "b")
    parts = tuple(Task(id=f"{name}.task", children=(job(name, "configure"), job(name, "power_on"))) for name in names)
    wanted = request(Task(id="t", mode=Mode.CONCURRENT, children=parts), open_sessions=1)
    track.take(wanted)
    made = track.course(2)
    assert made.jobs == ["a.configure", "b.configure"]
    for name in names:
        made.end(f"{name}.configure")
    hanging = track.course(3)
    track.orchestrator.told(Cancel(request_id=wanted.id))
    track.until(hanging.stopped, "its stop")
    for one in hanging.jobs:
        hanging.end(one, NEVER_BEGUN)
    hanging.close()
    undone: set[str] = set()

    def undo() -> bool:
        """The first undoing is never begun, in the way of a batch that breaks off."""
        for course in track.courses[4:]:
            for one in set(course.jobs) - course.told:
                never = course is track.courses[4]
                course.end(one, NEVER_BEGUN if never else DONE)
                if not never:
                    undone.add(one)
        return {f"{name}.configure" for name in names} <= undone

    track.until(undo, "the undoing of both")
    track.until(lambda: len(track.broker.acknowledged) == 3, "the end")
    for name in names:
        assert track.events_of(f"{name}.configure")[-2:] == ["ROLLBACK_START", "ROLLBACK_DONE"]


def undo_in_a_batch(track: Track, names: tuple[str, ...]) -> Course:
    """Of a request that was cancelled when its VMs were made: the batch that takes them away, with one session."""
    known_to_be_short(track).end("busy.configure")
    track.take(request(Task(id="u", children=(job("busy", "unconfigure"),)), open_sessions=1))
    track.course(2).end("busy.unconfigure")
    parts = tuple(Task(id=f"{name}.task", children=(job(name, "configure"), job(name, "power_on"))) for name in names)
    wanted = request(Task(id="t", mode=Mode.CONCURRENT, children=parts), open_sessions=1)
    track.take(wanted)
    for name in names:
        track.course(3).end(f"{name}.configure")
    going_on = track.course(4)
    track.orchestrator.told(Cancel(request_id=wanted.id))
    track.until(going_on.stopped, "its stop")
    for job_id in going_on.jobs:
        going_on.end(job_id, NEVER_BEGUN)
    return track.course(5)


def test_each_undoing_of_a_batch_has_its_time_from_its_own_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runs, "STOP_PATIENCE", 60.0)
    track = Track(Patience(undoing=0.1))
    try:
        batch = undo_in_a_batch(track, ("a", "b", "c"))
        slow, quick, hangs = batch.jobs
        assert batch.batch.sessions == 1
        track.until(lambda: "takes too long" in caplog.text, "the end of the patience with the first")
        track.settled()
        assert not batch.stopped(), "the others have not had their turn"
        batch.end(slow, UNSEEN)
        batch.end(quick)
        track.until(batch.stopped, "the end of the patience with the last")
        assert caplog.text.count("takes too long") == 2
        batch.end(hangs, UNSEEN)

        def asked() -> bool:
            """Whether they are gone: one is."""
            for course in track.courses[6:]:
                for work in course.batch.works:
                    if work.job.id not in course.told:
                        assert work.check
                        course.end(work.job.id, Outcome(changed=work.job.id == hangs))
            return len(track.broker.acknowledged) == 4

        track.until(asked, "the end")
        ends = [track.events_of(job_id)[-1] for job_id in (slow, quick, hangs)]
        assert ends == ["ROLLBACK_DONE", "ROLLBACK_DONE", "ROLLBACK_ERROR"]
    finally:
        track.stop()


def test_a_defect_of_the_worker_ends_all_jobs_of_the_batch(track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = configures(5)
    track.take(wanted)
    track.course(1)

    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(track, "run", defect)
    track.courses[0].end(ids(wanted)[0])
    for job_id in ids(wanted)[2:]:
        track.until(lambda job_id=job_id: "ERROR" in track.events_of(job_id), "its end")
