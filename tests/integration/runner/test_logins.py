# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that jobs share, through real Ansible: how many there are, who gets them, and that none is left."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nacl.public import PrivateKey, SealedBox

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from runner_service.contract.messages import Hypervisor, Job
from runner_service.contract.operations import Operation
from runner_service.core.steps import Outcome
from runner_service.ports import Batch, Ear, Work
from runner_service.workers.ansible_worker import AnsibleWorker
from runner_service.workers.logins import Ender, Logins
from runner_service.workers.run_directories import RunDirectories
from tests.integration.runner.conftest import Api, RunnerProcess
from tests.requests import appliance, definition, request, vm_id
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
COLLECTIONS = str(Path(__file__).parents[3] / ".collections")
KEY = PrivateKey.generate()
CANARY = "canary-5c2e"


class Desk:
    """A worker with logins that its jobs share."""

    def __init__(self, directories: RunDirectories, hypervisor: Store, idle: float = 600.0):
        self.hypervisor = hypervisor
        self.files = directories.base / "logins"
        self.worker = AnsibleWorker(directories, COLLECTIONS, KEY, logins=Logins(self.files))
        assert self.worker.logins is not None
        self.ender = Ender(self.worker.logins, self.worker.log_out, idle)
        self.told: list[Outcome] = []

    def work(self, name: str, password: str = CANARY) -> Work:
        text = json.dumps({"username": "admin", "password": password}).encode()
        sealed = base64.b64encode(SealedBox(KEY.public_key).encrypt(text)).decode()
        url = f"fake://{self.hypervisor.directory}"
        return Work(
            request_id="r-1",
            hypervisor=Hypervisor(id="h-1", type="fake", url=url, sealed_credentials=sealed),
            job=Job(id=name, operation=Operation.CONFIGURE, vm_id=vm_id(name), definition=definition(name)),
        )

    def run(self, *names: str, password: str = CANARY, sessions: int = 2) -> list[str | None]:
        """The codes of the jobs' errors."""
        outcomes: list[Outcome] = []
        works = tuple(self.work(name, password) for name in names)
        ear = Ear(cancelled=lambda: False, ended=lambda _, end: outcomes.append(end))
        self.worker.run(Batch(works=works, sessions=sessions), ear)
        self.told += outcomes
        return [outcome.error.code if outcome.error else None for outcome in outcomes]

    @property
    def session(self) -> str:
        (file,) = self.files.iterdir()
        return str(json.loads(file.read_text())["session"])


@pytest.fixture
def directories(tmp_path: Path) -> Iterator[RunDirectories]:
    (tmp_path / "runs").mkdir()
    directories = RunDirectories(tmp_path / "runs")
    yield directories
    directories.close()


@pytest.fixture
def desk(directories: RunDirectories, hypervisor: Store) -> Iterator[Desk]:
    hypervisor.tell({"accounts": {"admin": CANARY}})
    desk = Desk(directories, hypervisor)
    yield desk
    desk.ender.stop(8.0)


def test_twenty_jobs_need_as_many_logins_as_sessions_were_used_at_once(desk: Desk, hypervisor: Store) -> None:
    hypervisor.tell({"accounts": {"admin": CANARY}, "delays": {"open": 0.3}})
    jobs = [f"vm-{number}" for number in range(20)]
    with ThreadPoolExecutor(2) as lane:
        ends = list(lane.map(lambda first: desk.run(*jobs[first : first + 5]), range(0, 20, 5)))
    assert ends == [[None] * 5] * 4
    assert hypervisor.read().logins <= 4
    assert len(hypervisor.read().sessions) == 1
    desk.ender.stop(8.0)
    assert hypervisor.read().sessions == []
    assert list(desk.files.iterdir()) == []


def test_a_login_that_was_idle_is_ended_and_the_next_job_logs_in(
    directories: RunDirectories, hypervisor: Store
) -> None:
    desk = Desk(directories, hypervisor, idle=0.2)
    assert desk.run("a") == [None]
    wait_until(lambda: hypervisor.read().sessions == [], 30, "the end of the idle login")
    assert desk.run("b") == [None]
    assert hypervisor.read().logins == 2
    desk.ender.stop(8.0)
    assert hypervisor.read().sessions == []


def test_a_wrong_password_gets_nobodys_session(desk: Desk, hypervisor: Store) -> None:
    assert desk.run("a") == [None]
    assert desk.run("b", password="wrong") == ["driver.authentication_failed"]
    assert desk.run("c") == [None]
    assert hypervisor.read().logins == 1


def test_a_session_that_ended_meanwhile_is_replaced(desk: Desk, hypervisor: Store) -> None:
    desk.run("a")
    with hypervisor.change() as world:
        world.sessions.clear()
    assert desk.run("b") == desk.run("c") == [None]
    assert (hypervisor.read().logins, len(hypervisor.read().sessions)) == (2, 1)


def test_a_hypervisor_that_cannot_be_logged_out_of_holds_nobody_up(
    desk: Desk, hypervisor: Store, caplog: pytest.LogCaptureFixture
) -> None:
    desk.run("a")
    session = desk.session
    hypervisor.tell({"unreachable": True})
    desk.ender.stop(8.0)
    assert list(desk.files.iterdir()) == []
    assert "is left to its own timeout" in caplog.text
    assert session not in caplog.text


def test_neither_password_nor_session_is_anywhere_but_in_its_file(
    desk: Desk, hypervisor: Store, directories: RunDirectories, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk.run("a")
    session = desk.session
    hypervisor.tell({"accounts": {"admin": CANARY}, "delays": {"create": 2}, "failures": [{"operation": "create"}]})
    thread = threading.Thread(target=lambda: desk.run("b"))
    thread.start()
    wait_until(lambda: vm_id("b") in str(hypervisor.read().pools), 30, "the middle of a run")
    shown = files_of(directories.base) + environments_of(directories.base)
    thread.join(60)
    desk.ender.stop(8.0)
    texts = shown + repr(desk.told) + caplog.text
    assert "millwright_vm" in shown
    assert "canary" not in texts
    assert session not in texts
    assert list(directories.base.rglob("*")) == [desk.files]


def files_of(base: Path) -> str:
    """Without those that are there to hold it: of the whole directory the inventory, events and all."""
    files = [path for path in base.rglob("*") if path.is_file() and path.name != "credentials.json"]
    return "".join(path.read_text(errors="replace") for path in files if path.parent.name != "logins")


def environments_of(base: Path) -> str:
    shown = b""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            if str(base).encode() in environment:
                shown += environment + (process / "cmdline").read_bytes()
        except OSError:
            continue
    return shown.decode(errors="replace")


def test_a_runner_that_stops_in_order_logs_out(
    api: Api, new_runner: Callable[..., RunnerProcess], hypervisor: Store
) -> None:
    runner = new_runner(MILLWRIGHT_LOGIN_IDLE="600")
    runner.start()
    asked = request(appliance("a", "b", "c"), url=f"fake://{hypervisor.directory}")
    api.send(asked)
    api.wait_for("appliance")
    assert len(hypervisor.read().sessions) == 1
    assert hypervisor.read().logins <= 2
    assert runner.stop() == 0
    assert hypervisor.read().sessions == []
    assert "Traceback" not in runner.said


def test_of_a_runner_that_is_killed_the_session_files_go(
    api: Api, new_runner: Callable[..., RunnerProcess], hypervisor: Store, tmp_path: Path
) -> None:
    runner = new_runner()
    runner.start()
    api.send(request(appliance("a"), url=f"fake://{hypervisor.directory}"))
    api.wait_for("appliance")
    assert list(tmp_path.glob("runs/*/logins/*"))
    runner.kill()
    wait_until(lambda: not list(tmp_path.glob("runs/*")), 20, "the guardian to have cleared up")
    assert len(hypervisor.read().sessions) == 1, "left to the hypervisor"
