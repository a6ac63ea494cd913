# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For which tasks a worker is kept, and when one ends after all."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from runner_service.warm import fitness
from runner_service.warm.fitness import may_be_kept
from runner_service.warm.journal import Journal


def task(action: str | None, **keywords: Any) -> SimpleNamespace:
    return SimpleNamespace(resolved_action=action, **keywords)


@pytest.mark.parametrize("action", ["millwright.virt.vm", "millwright.virt.vm_power", "ansible.builtin.debug"])
def test_for_ours_and_for_what_only_says_something(action: str) -> None:
    assert may_be_kept(task(action))


@pytest.mark.parametrize(
    "action", [None, "ansible.builtin.command", "ansible.builtin.set_fact", "someones.millwright.vm"]
)
def test_for_no_others(action: str | None) -> None:
    assert not may_be_kept(task(action))


@pytest.mark.parametrize(
    "more", [{"loop": [1]}, {"loop_with": "dict"}, {"delegate_to": "a"}, {"async_val": 5}, {"debugger": "always"},
             {"timeout": 3}],
)  # fmt: skip
def test_not_for_more_than_one_call_on_the_tasks_own_host(more: dict[str, Any]) -> None:
    assert not may_be_kept(task("millwright.virt.vm", **more))
    assert may_be_kept(task("millwright.virt.vm", **dict.fromkeys(more)))


def test_not_where_facts_are_kept_beyond_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitness.constants, "CACHE_PLUGIN", "jsonfile")
    assert not may_be_kept(task("millwright.virt.vm"))


@pytest.mark.parametrize(("name", "is_left"), [("libvirt-events", False), ("a login that hangs", True)])
def test_a_worker_in_which_something_was_left_to_itself_ends(
    monkeypatch: pytest.MonkeyPatch, name: str, is_left: bool
) -> None:
    ours = [threading.main_thread()]
    # Those of whoever runs the tests are not a worker's.
    monkeypatch.setattr(fitness.threading, "enumerate", lambda: ours)
    assert not fitness.has_been_left_something()
    ours.append(threading.Thread(name=name))
    assert fitness.has_been_left_something() is is_left


def test_what_all_have_been_told_of_is_kept_no_longer() -> None:
    """A play that registers much would else hold all of it twice."""

    class Manager:
        def set(self, value: int) -> None: ...

    journal, manager = Journal(), Manager()
    journal.keep(manager, "set")
    for value in range(3):
        manager.set(value)
    heard = journal.length
    manager.set(3)
    journal.forget(heard)
    assert journal.since(heard) == [("set", (3,), {})]
    assert (journal.length, len(journal._entries)) == (4, 1)
    journal.forget(heard - 1)
    assert journal.since(heard) == [("set", (3,), {})], "what is forgotten already stays so"
    journal.is_read = lambda: False
    manager.set(4)
    assert journal.length == 4, "nobody has to be told"
