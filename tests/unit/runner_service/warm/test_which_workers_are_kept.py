# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For which tasks a worker is kept, and when one ends after all."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from runner_service.warm import kept_workers
from runner_service.warm.kept_workers import may_be_kept


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
    monkeypatch.setattr(kept_workers.constants, "CACHE_PLUGIN", "jsonfile")
    assert not may_be_kept(task("millwright.virt.vm"))


@pytest.mark.parametrize(("name", "is_left"), [("libvirt-events", False), ("a login that hangs", True)])
def test_a_worker_in_which_something_was_left_to_itself_ends(
    monkeypatch: pytest.MonkeyPatch, name: str, is_left: bool
) -> None:
    ours = [threading.main_thread()]
    # Those of whoever runs the tests are not a worker's.
    monkeypatch.setattr(kept_workers.threading, "enumerate", lambda: ours)
    assert not kept_workers._has_been_left_something()
    ours.append(threading.Thread(name=name))
    assert kept_workers._has_been_left_something() is is_left
