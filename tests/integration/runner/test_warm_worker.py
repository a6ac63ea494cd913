# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a worker through warm Ansible: the same events, the same outcomes, and the same ends."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from runner_service.bootstrap import guarded_worker
from runner_service.contract.messages import Hypervisor, Job
from runner_service.contract.operations import Operation
from runner_service.core.steps import Outcome
from runner_service.ports import Work
from runner_service.settings import Settings
from runner_service.testing import run_one
from runner_service.workers import ansible_worker
from runner_service.workers.ansible_worker import AnsibleWorker
from tests.requests import definition, vm_id
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


def work(hypervisor: Store, operation: str, *, check: bool = False, **fields: object) -> Work:
    job = Job(id="job-1", operation=Operation(operation), vm_id=vm_id("web"), definition=definition("web") | fields)
    url = f"fake://{hypervisor.directory}"
    return Work(request_id="r-1", job=job, hypervisor=Hypervisor(id="h-1", type="fake", url=url), check=check)


@dataclass
class Runs:
    worker: AnsibleWorker
    directory: Path

    def run(self, work: Work) -> Outcome:
        return run_one(self.worker, work)


@contextmanager
def runs(directory: Path, *, warm: bool) -> Iterator[Runs]:
    directory.mkdir()
    settings = Settings(datacenter="dc", run_dir=str(directory), collections_path=str(ROOT / ".collections"), warm=warm)
    with guarded_worker(settings, warm=warm) as (worker, alive), beating(alive):
        if warm:
            wait_until(lambda: list(directory.glob("*/warm/socket")), 60, "warm Ansible listens")
        yield Runs(worker, directory)


@contextmanager
def beating(alive: Callable[[], None]) -> Iterator[None]:
    """Signs of life, as a runner gives them."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(1):
            alive()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Runs]:
    with runs(tmp_path / "warm", warm=True) as one:
        yield one


VOLATILE = {"uuid", "created", "start", "end", "duration", "pid", "runner_ident", "counter", "parent_uuid"}


def essence(value: Any) -> Any:
    """Without what differs from run to run whichever way."""
    if isinstance(value, dict):
        return {
            name: essence(item) for name, item in value.items() if name not in VOLATILE and not name.endswith("_uuid")
        }
    return [essence(item) for item in value] if isinstance(value, list) else value


def test_events_and_outcomes_are_the_same(
    tmp_path: Path, hypervisor: Store, warm: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(by: Runs, heard: list[Any]) -> list[Any]:
        def hear(hearing: Any, event: dict[str, Any]) -> bool:
            heard.append(essence(event))
            return was(hearing, event)

        was = ansible_worker.Hearing.hear
        with monkeypatch.context() as patched:
            patched.setattr(ansible_worker.Hearing, "hear", hear)
            outcomes = [by.run(asked) for asked in asked_for]
        return [(one.ok, one.changed, one.error, one.vm, one.before) for one in outcomes]

    asked_for = [
        work(hypervisor, "configure", check=True),
        work(hypervisor, "configure"),
        work(hypervisor, "configure"),
        work(hypervisor, "power_on"),
        work(hypervisor, "resume"),
        work(hypervisor, "unconfigure"),
        work(hypervisor, "power_off"),
        work(hypervisor, "unconfigure"),
    ]
    warm_events: list[Any] = []
    ordinary_events: list[Any] = []
    outcomes = said(warm, warm_events)
    with runs(tmp_path / "ordinary", warm=False) as ordinary:
        assert said(ordinary, ordinary_events) == outcomes
    assert [event["event"] for event in warm_events] == [event["event"] for event in ordinary_events]
    assert told_apart(warm_events, warm.directory) == told_apart(ordinary_events, ordinary.directory)


def told_apart(events: list[Any], directory: Path) -> str:
    """As text, with one name for the directories of all runs."""
    return re.sub(rf"{directory}/[-\w/]*", "RUN", repr(events))


def slow(hypervisor: Store) -> None:
    hypervisor.tell({"delays": {"create": 60}})


def test_a_cancelled_run_leaves_no_process(warm: Runs, hypervisor: Store) -> None:
    slow(hypervisor)
    begun = threading.Event()

    def cancelled() -> bool:
        if processes_of(warm.directory, "run-"):
            begun.set()
        return begun.is_set() and len(processes_of(warm.directory, "run-")) >= 3

    outcome = run_one(warm.worker, work(hypervisor, "configure"), cancelled)
    assert outcome.unseen
    assert outcome.error is not None
    assert outcome.error.code == "runner.stopped"
    assert not processes_of(warm.directory, "run-")


def processes_of(directory: Path, name: str = "") -> list[int]:
    """Whose environment says that they belong to a run below the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            (base,) = directory.glob("millwright-runner-*")
            if f"AWX_ISOLATED_DATA_DIR={base}/{name}".encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except (OSError, ValueError):
            continue
    return found


def test_a_playbook_that_is_killed_in_mid_run_is_tried_again(warm: Runs, hypervisor: Store) -> None:
    slow(hypervisor)

    def kill_the_playbook() -> None:
        wait_until(lambda: len(playbooks(warm)) >= 2, 30, "the playbook and its worker run")
        os.kill(min(playbooks(warm)), signal.SIGKILL)

    killer = threading.Thread(target=kill_the_playbook)
    killer.start()
    outcome = warm.run(work(hypervisor, "configure"))
    killer.join()
    assert outcome.unseen
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.retryable) == ("runner.no_result", True)
    assert not processes_of(warm.directory, "run-")
    hypervisor.tell({})
    assert warm.run(work(hypervisor, "configure")).ok


def playbooks(warm: Runs) -> list[int]:
    """Forked by the warm server, and not the shim."""
    return [one for one in processes_of(warm.directory, "run-") if not is_shim(one)]


def is_shim(process: int) -> bool:
    return b"-IS" in Path(f"/proc/{process}/cmdline").read_bytes()


def test_nothing_is_left_when_the_worker_is_closed(tmp_path: Path, hypervisor: Store) -> None:
    with runs(tmp_path / "runs", warm=True) as some:
        assert some.run(work(hypervisor, "configure")).ok
        assert processes_of(some.directory), "the server itself"
        (base,) = some.directory.iterdir()
    assert not list(some.directory.iterdir())
    assert not processes_of_base(base)


def processes_of_base(base: Path) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(base).encode() in (process / "environ").read_bytes():
                found.append(process)
        except OSError:
            continue
    return found


def test_the_keeper_is_what_the_runner_keeps_alive(tmp_path: Path) -> None:
    """What guarded_worker gives as the sign of life replaces a server that is gone."""
    directory = tmp_path / "runs"
    directory.mkdir()
    settings = Settings(datacenter="dc", run_dir=str(directory), collections_path=str(ROOT / ".collections"))
    with guarded_worker(settings, warm=True) as (_worker, alive):
        wait_until(lambda: list(directory.glob("*/warm/socket")), 60, "warm Ansible listens")
        (server,) = processes_of(directory, "warm")
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: alive() or server not in processes_of(directory, "warm") != [], 20, "another one runs")
