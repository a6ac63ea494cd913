# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for tasks: how they end, and what becomes of one that nobody waits for any more."""

from __future__ import annotations

import pytest
from pyVmomi import vim, vmodl

from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Busy, TimedOut
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.questions import Attending
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.waiting import LOST_QUESTIONS, Waiter

query = vmodl.query.PropertyCollector


class Stopped(BaseException):
    """As when a run is stopped."""


class Task:
    """A task that a script of answers tells of."""

    def __init__(self):
        self.cancelled = False

    def CancelTask(self) -> None:
        self.cancelled = True


class Filter:
    def __init__(self, collector: Collector):
        self._collector = collector

    def DestroyPropertyFilter(self) -> None:
        self._collector.filters -= 1


class Collector:
    """Gives the scripted updates in turn; exceptions are raised, None is a wait without a change."""

    def __init__(self, task: Task, *script: object):
        self._task = task
        self._script = list(script)
        self.filters = 0
        self.versions: list[str] = []
        self.longest = 0

    def CreateFilter(self, _spec: object, partialUpdates: bool) -> Filter:  # noqa: N803  # the SDK's word
        self.filters += 1
        return Filter(self)

    def WaitForUpdatesEx(self, version: str, options: object) -> object:
        self.versions.append(version)
        self.longest = max(self.longest, options.maxWaitSeconds)
        step = self._script.pop(0) if self._script else None
        if isinstance(step, BaseException):
            raise step
        return None if step is None else self._update(step)

    def _update(self, told: dict[str, object]) -> object:
        changes = [query.Change(name=name, op="assign", val=value) for name, value in told.items()]
        change = query.ObjectUpdate(kind="modify", obj=vim.Task("task-1"), changeSet=changes)
        return query.UpdateSet(version=str(len(self.versions)), filterSet=[query.FilterUpdate(objectSet=[change])])


@pytest.fixture(autouse=True)
def any_object_is_a_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK wants managed objects in its filters."""
    monkeypatch.setattr(query, "ObjectSpec", lambda **_fields: None)
    monkeypatch.setattr(query, "PropertySpec", lambda **_fields: None)
    monkeypatch.setattr(query, "FilterSpec", lambda **_fields: None)


RUNNING, DONE = {"info.state": "running"}, {"info.state": "success", "info.result": 7}


def test_a_task_is_waited_for_through_quiet_times_and_gives_its_result():
    task = Task()
    collector = Collector(task, RUNNING, None, DONE)
    assert Waiter(collector).finish(task, 60, "making") == 7
    assert collector.versions == ["", "1", "1"]
    assert (collector.filters, task.cancelled) == (0, False)
    assert 1 <= collector.longest <= 30


def test_a_task_that_fails_raises_its_fault():
    task = Task()
    failed = {"info.state": "error", "info.error": vim.fault.NoDiskSpace(msg="full")}
    with pytest.raises(vim.fault.NoDiskSpace):
        Waiter(Collector(task, RUNNING, failed)).finish(task, 60, "making")
    assert not task.cancelled


def test_a_task_that_nobody_waits_for_any_more_is_cancelled_and_its_end_awaited():
    task = Task()
    collector = Collector(task, RUNNING, Stopped(), RUNNING, {"info.state": "error"})
    with pytest.raises(Stopped):
        Waiter(collector).finish(task, 60, "making")
    assert task.cancelled
    assert (len(collector.versions), collector.filters) == (4, 0)


def lost(times: int) -> list[ConnectionResetError]:
    return [ConnectionResetError() for _ in range(times)]


def test_a_question_that_gets_lost_is_asked_anew():
    task = Task()
    collector = Collector(task, RUNNING, *lost(LOST_QUESTIONS), DONE)
    assert Waiter(collector).finish(task, 60, "making") == 7
    assert (task.cancelled, collector.filters) == (False, 0)


def test_a_task_that_cannot_be_cancelled_does_not_hide_why_it_was_given_up():
    task = Task()
    task.CancelTask = lambda: (_ for _ in ()).throw(vmodl.fault.NotSupported())
    with pytest.raises(ConnectionResetError):
        Waiter(Collector(task, *lost(1 + LOST_QUESTIONS), *lost(1 + LOST_QUESTIONS))).finish(task, 60, "making")


def test_a_task_that_does_not_end_in_time_is_told_as_that():
    task = Task()
    with pytest.raises(
        TimedOut, match="making VM 'web' had not ended after 0 seconds, and vSphere was told to cancel it"
    ):
        Waiter(Collector(task, DONE)).finish(task, 0, "making VM 'web'")
    assert task.cancelled


def test_a_subject_that_goes_is_told_as_gone():
    task = Task()
    collector = Collector(task)
    gone = query.ObjectUpdate(kind="leave", obj=vim.Task("task-1"))
    left = query.UpdateSet(version="1", filterSet=[query.FilterUpdate(objectSet=[gone])])
    collector.WaitForUpdatesEx = lambda _version, _options: left
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        Waiter(collector).until(task, ["runtime.powerState"], bool, 60)


# --- questions of the VM ---


class Vm:
    """A VM that can be answered."""

    def __init__(self):
        self.answers: list[tuple[str, str]] = []

    def AnswerVM(self, question: str, choice: str) -> None:
        self.answers.append((question, choice))


def asking(message: str, *labels: str) -> dict[str, object]:
    choices = [vim.ElementDescription(key=str(key), label=label) for key, label in enumerate(labels)]
    question = vim.vm.QuestionInfo(
        id="7", text="Really\n do it?", choice=vim.option.ChoiceOption(choiceInfo=choices),
        message=[vim.vm.Message(id=message, text="")],
    )  # fmt: skip
    return {"runtime.question": question}


@pytest.mark.parametrize(("labels", "answer"), [(("Yes", "No"), "0"), (("No", "button.yes"), "1"), (("a", "b"), "0")])
def test_that_a_guest_uses_the_disc_that_is_to_be_another_one_is_answered_once(labels: tuple[str, ...], answer: str):
    vm, task = Vm(), Task()
    asked = asking("msg.cdromdisconnect.locked", *labels)
    collector = Collector(task, RUNNING, asked, RUNNING, DONE)
    assert Attending(collector, vm, "web").finish(task, 60, "changing") == 7
    assert (vm.answers, task.cancelled, collector.filters) == ([("7", answer)], False, 0)


def test_a_question_that_nobody_here_can_answer_ends_the_wait_and_the_task():
    vm, task = Vm(), Task()
    collector = Collector(
        task, RUNNING, asking("msg.uuid.altered", "Moved", "Copied"), RUNNING, {"info.state": "error"}
    )
    with pytest.raises(Busy, match=r"VM 'web' waits for an answer at the vCenter, .*: Really do it\?"):
        Attending(collector, vm, "web").finish(task, 60, "switching on")
    assert (vm.answers, task.cancelled, collector.filters) == ([], True, 0)


def test_a_question_at_a_vm_whose_task_has_ended_is_no_hindrance():
    task = Task()
    collector = Collector(task, DONE | asking("msg.uuid.altered", "Moved", "Copied"))
    assert Attending(collector, Vm(), "web").finish(task, 60, "changing") == 7
