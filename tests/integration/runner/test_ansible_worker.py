# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker that runs Ansible: untrusted texts, secrets, deadlines, and runs that go wrong."""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey, SealedBox

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat
from ansible_collections.millwright.virt.plugins.module_utils.vm.fingerprint import is_fingerprint_of
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate
from runner_service.contract.messages import Hypervisor, Job, TemplateFacts
from runner_service.contract.operations import OPERATIONS, Operation
from runner_service.contract.tree import SnapshotOrder
from runner_service.core.steps import Outcome
from runner_service.ports import Work
from runner_service.testing import run_one
from runner_service.workers.ansible_worker import AnsibleWorker
from runner_service.workers.run_directories import MARK, RunDirectories, end_processes_of, sweep
from tests.requests import definition, vm_id
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
COLLECTIONS = str(ROOT / ".collections")
CANARY = "canary-4f1d-{{ 7*7 }}"
KEY = PrivateKey.generate()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def directories(runs: Path) -> Iterator[RunDirectories]:
    directories = RunDirectories(runs)
    yield directories
    directories.close()


def work(hypervisor: Store, operation: str, *, sealed: str | None = None, **fields: object) -> Work:
    job = Job(id="job-1", operation=Operation(operation), vm_id=vm_id("web"), definition=definition("web") | fields)
    url = f"fake://{hypervisor.directory}"
    return Work(
        request_id="r-1", job=job, hypervisor=Hypervisor(id="h-1", type="fake", url=url, sealed_credentials=sealed)
    )


def seal(username: str, password: str) -> str:
    text = json.dumps({"username": username, "password": password}).encode()
    return base64.b64encode(SealedBox(KEY.public_key).encrypt(text)).decode()


def run(directories: RunDirectories, work: Work, cancelled: bool = False) -> Outcome:
    return run_one(AnsibleWorker(directories, COLLECTIONS, KEY), work, lambda: cancelled)


@pytest.mark.parametrize(
    "text",
    [
        "{{ lookup('pipe', 'touch PWNED') }}",
        "{% for x in [1] %}{{ x }}{% endfor %}{# gone? #}",
        "'; DROP TABLE vms;-- \"<&> $(id) `id`",
        "!unsafe x: [1, {a: b}] # no comment",
    ],
)
def test_texts_of_users_are_never_evaluated(directories: RunDirectories, hypervisor: Store, text: str) -> None:
    asked = work(
        hypervisor, "configure", name=text, description=f"two\nlines of {text}", tags={text: text},
        cloud_init={"user_data": f"#cloud-config\n{text}\n"},
    )  # fmt: skip
    assert run(directories, asked).ok
    (machine,) = hypervisor.read().machines.values()
    assert machine.name == text
    assert machine.definition is not None
    assert machine.definition["tags"] == {text: text}
    assert machine.definition["description"] == f"two\nlines of {text}"
    assert not list(hypervisor.directory.parent.rglob("PWNED"))


def processes_and_files(runs: Path) -> str:
    """All that other users or a crash dump of the run's files could show, but for the credentials file."""
    shown = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            if str(runs).encode() in environment:
                shown += [environment, (process / "cmdline").read_bytes()]
        except OSError:
            continue
    for path in runs.rglob("*"):
        try:
            if path.is_file() and path.name != "credentials.json":
                shown.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(shown).decode(errors="replace")


@pytest.mark.parametrize("told", [{}, {"failures": [{"operation": "create"}]}], ids=["success", "failure"])
def test_a_password_is_nowhere_but_in_its_file_of_the_run(
    directories: RunDirectories, hypervisor: Store, runs: Path, told: dict[str, object]
) -> None:
    hypervisor.tell({"accounts": {"admin": CANARY}, "delays": {"create": 3}, **told})
    outcomes: list[Outcome] = []
    asked = work(hypervisor, "configure", sealed=seal("admin", CANARY))
    thread = threading.Thread(target=lambda: outcomes.append(run(directories, asked)))
    thread.start()
    wait_until(lambda: hypervisor.read().pools["default"].volumes, 30, "the middle of the run")
    shown = processes_and_files(runs)
    (file,) = runs.rglob("credentials.json")
    modes = [file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777]
    thread.join(60)
    assert "millwright_vm" in shown, "the run was looked at while it ran"
    assert CANARY not in shown
    assert modes == [0o600, 0o700]
    assert outcomes[0].ok is (told == {})
    assert CANARY not in repr(outcomes)
    assert list(runs.rglob("*")) == list(runs.glob("*")), "nothing of the run is left"


def test_a_wrong_password_is_an_error_that_does_not_show_it(directories: RunDirectories, hypervisor: Store) -> None:
    hypervisor.tell({"accounts": {"admin": "right"}})
    outcome = run(directories, work(hypervisor, "configure", sealed=seal("admin", CANARY)))
    assert outcome.error is not None
    assert outcome.error.code == "driver.authentication_failed"
    assert CANARY not in repr(outcome)


def test_credentials_for_another_key_fail_the_job_before_it_begins(
    directories: RunDirectories, hypervisor: Store
) -> None:
    asked = work(hypervisor, "configure", sealed=seal("admin", CANARY))
    outcome = run_one(AnsibleWorker(directories, COLLECTIONS, PrivateKey.generate()), asked)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.begun) == ("credentials.unreadable", False)
    assert hypervisor.operations() == []


def test_user_data_for_another_key_fails_the_job_before_it_begins(
    directories: RunDirectories, hypervisor: Store
) -> None:
    outcome = run(directories, with_sealed_user_data(work(hypervisor, "configure"), PrivateKey.generate()))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.begun) == ("credentials.unreadable", False)
    assert outcome.error.message.startswith("configure of VM 'web' on fake fake://")
    assert hypervisor.operations() == []


USER_DATA = "#cloud-config\npassword: canary-9b2e-{{ 7*7 }}\n"


def with_sealed_user_data(asked: Work, key: PrivateKey = KEY) -> Work:
    sealed = base64.b64encode(SealedBox(key.public_key).encrypt(USER_DATA.encode())).decode()
    return replace(asked, job=replace(asked.job, sealed_user_data=sealed))


@pytest.mark.parametrize("told", [{}, {"failures": [{"operation": "create"}]}], ids=["success", "failure"])
def test_sealed_user_data_reaches_the_guest_and_nobody_else(
    directories: RunDirectories, hypervisor: Store, runs: Path, told: dict[str, object]
) -> None:
    hypervisor.tell(told)
    asked = with_sealed_user_data(work(hypervisor, "configure", cloud_init={"meta_data": "instance-id: i-1"}))
    outcome = run(directories, asked)
    assert outcome.ok is (told == {}), outcome
    assert "canary-9b2e" not in repr(outcome)
    assert "canary-9b2e" not in repr(asked)
    assert list(runs.rglob("*")) == list(runs.glob("*")), "nothing of the run is left"
    for path in hypervisor.directory.iterdir():
        assert b"canary-9b2e" not in path.read_bytes(), path
    if outcome.ok:
        (machine,) = hypervisor.read().machines.values()
        assert machine.definition is not None
        assert is_fingerprint_of(machine.definition["cloud_init"]["user_data"], USER_DATA)
        assert machine.definition["cloud_init"]["meta_data"] == "instance-id: i-1"


def test_a_guest_that_does_not_shut_down_in_time_is_told_so_by_the_driver(
    directories: RunDirectories, hypervisor: Store
) -> None:
    assert run(directories, work(hypervisor, "configure")).ok
    assert run(directories, work(hypervisor, "power_on")).ok
    hypervisor.tell({"deaf_guests": ["web"]})
    asked = work(hypervisor, "shutdown")
    outcome = run(directories, replace(asked, job=replace(asked.job, timeout=1)))
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.begun) == ("driver.timed_out", True)


def test_a_run_that_has_no_room_for_its_files_has_begun_nothing(
    directories: RunDirectories, hypervisor: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    error = run(directories, work(hypervisor, "configure")).error
    assert error is not None
    assert (error.code, error.begun) == ("runner.failed", False)
    assert "was not begun: No space left on device" in error.message


def in_time(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """A configure has so many seconds, and one for its disk."""
    rule = replace(OPERATIONS[Operation.CONFIGURE], deadline=seconds - 1)
    monkeypatch.setitem(OPERATIONS, Operation.CONFIGURE, rule)


def test_a_run_past_its_deadline_is_ended_with_all_its_processes(
    directories: RunDirectories, hypervisor: Store, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time(monkeypatch, 4)
    hypervisor.tell({"delays": {"create": 60}})
    begun = time.monotonic()
    outcome = run(directories, work(hypervisor, "configure"))
    assert time.monotonic() - begun < 30
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.begun, outcome.unseen) == ("runner.deadline", True, True)
    assert outcome.error.message.startswith(f"configure of VM 'web' on fake fake://{hypervisor.directory} did not end")
    assert processes_and_files(runs) == ""


def test_a_run_that_reports_progress_may_take_longer_than_its_deadline(
    directories: RunDirectories, hypervisor: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time(monkeypatch, 6)
    hypervisor.tell({"delays": {"create": 12}, "progress": True})
    assert run(directories, work(hypervisor, "configure")).ok


@contextmanager
def hanging(hypervisor: Store) -> Iterator[None]:
    """Whoever works with the hypervisor meanwhile waits in the kernel, where no signal but SIGKILL gets through."""
    with (hypervisor.directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_run_that_hangs_is_stopped_soon_and_nothing_of_it_is_left(
    directories: RunDirectories, hypervisor: Store, runs: Path
) -> None:
    outcomes: list[Outcome] = []
    stop = threading.Event()
    worker = AnsibleWorker(directories, COLLECTIONS, KEY)
    thread = threading.Thread(
        target=lambda: outcomes.append(run_one(worker, work(hypervisor, "configure"), stop.is_set))
    )
    with hanging(hypervisor):
        thread.start()
        wait_until(hypervisor.operations, 60, "the module's first call")
        stop.set()
        begun = time.monotonic()
        thread.join(30)
        took = time.monotonic() - begun
    assert took < 5
    (outcome,) = outcomes
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.begun, outcome.unseen) == ("runner.stopped", True, True)
    assert processes_and_files(runs) == ""
    assert list(runs.rglob("*")) == list(runs.glob("*"))


def test_a_run_that_is_not_wanted_any_more_is_not_begun(directories: RunDirectories, hypervisor: Store) -> None:
    outcome = run(directories, work(hypervisor, "configure"), cancelled=True)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.begun, outcome.unseen) == ("runner.not_begun", False, False)
    assert hypervisor.operations() == []


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("which", ["worker", "playbook"])
def test_nobody_saw_the_end_of_a_run_whose_process_died(
    directories: RunDirectories, hypervisor: Store, runs: Path, which: str
) -> None:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(directories, work(hypervisor, "configure"))))
    with hanging(hypervisor):
        thread.start()
        (span,) = wait_until(hypervisor.operations, 60, "the module's first call")
        os.kill(span.pid if which == "worker" else parent_of(span.pid), signal.SIGKILL)
        thread.join(60)
    (outcome,) = outcomes
    assert outcome.error is not None
    assert (outcome.error.code, outcome.unseen) == ("runner.no_result", True)
    assert processes_and_files(runs) == ""


def test_a_check_run_is_traced_as_one(directories: RunDirectories, hypervisor: Store) -> None:
    trace = run(directories, replace(work(hypervisor, "configure"), check=True)).trace
    assert trace is not None
    assert (trace["check"], trace["results"][0]["changed"]) == (True, True)
    assert hypervisor.read().machines == {}


def test_the_trace_of_a_run_has_the_modules_result_and_no_secret(
    directories: RunDirectories, hypervisor: Store
) -> None:
    hypervisor.tell({"accounts": {"admin": CANARY}, "failures": [{"operation": "create", "vm": "bad"}]})
    failed = run(directories, work(hypervisor, "configure", sealed=seal("admin", CANARY), name="bad")).trace
    done = run(directories, work(hypervisor, "configure", sealed=seal("admin", CANARY))).trace
    assert done is not None
    assert failed is not None
    (result,) = done["results"]
    assert (result["task"], result["ok"], result["changed"]) == ("Millwright: configure", True, True)
    assert result["result"]["vm"]["name"] == "web"
    assert done["playbook"] == "millwright.virt.configure"
    assert failed["hypervisor"] == ["behaviour.json says so"]
    assert failed["results"][0]["result"]["code"] == "driver.failed"
    assert CANARY not in repr((done, failed))
    assert "invocation" not in repr((done, failed))


def test_a_run_that_cannot_begin_says_what_ansible_said(directories: RunDirectories, tmp_path: Path) -> None:
    hypervisor = Store(tmp_path)
    outcome = run_one(AnsibleWorker(directories, str(tmp_path), KEY), work(hypervisor, "configure"))
    assert outcome.error is not None
    assert outcome.error.code == "runner.no_result"
    assert "millwright.virt.configure" in outcome.error.detail


@pytest.mark.parametrize("identity", ["all", "localhost", "-x", "..."])
def test_every_id_that_a_message_may_have_is_just_a_label(
    directories: RunDirectories, hypervisor: Store, identity: str
) -> None:
    asked = work(hypervisor, "get_state")
    asked = replace(asked, job=replace(asked.job, vm_id=identity))
    outcome = run(directories, asked)
    assert (outcome.ok, outcome.vm) == (True, None), outcome


def test_an_invalid_definition_is_reported_with_its_code(directories: RunDirectories, hypervisor: Store) -> None:
    outcome = run(directories, work(hypervisor, "configure", memory_mib=4))
    assert outcome.error is not None
    assert outcome.error.code == "definition.invalid"
    assert "memory_mib" in outcome.error.message


def test_what_a_killed_runner_left_is_ended_and_removed_and_a_living_ones_is_not(runs: Path) -> None:
    living, dead = RunDirectories(runs), RunDirectories(runs)
    left = next(base for base in runs.iterdir() if base != living.base)
    os.close(dead._lock)
    process = os.spawnve(os.P_NOWAIT, "/bin/sleep", ["sleep", "60"], {MARK: str(left / "run-1" / "artifacts")})
    wait_until(lambda: b"sleep" in Path(f"/proc/{process}/cmdline").read_bytes(), 10, "the process")
    end_processes_of(left / "run")
    assert os.waitpid(process, os.WNOHANG) == (0, 0), "run-1 is not in the directory run"
    sweep(runs)
    assert os.waitpid(process, 0)[0] == process
    assert list(runs.iterdir()) == [living.base]
    living.close()


def test_a_sweep_takes_away_no_directory_that_is_just_being_made(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps: list[threading.Thread] = []
    make = tempfile.mkdtemp

    def made_while_another_runner_starts(**where: Any) -> str:
        directory = make(**where)
        sweeps.append(threading.Thread(target=sweep, args=[runs]))
        sweeps[0].start()
        sweeps[0].join(0.2)
        return directory

    monkeypatch.setattr(tempfile, "mkdtemp", made_while_another_runner_starts)
    directories = RunDirectories(runs)
    monkeypatch.undo()
    sweeps[0].join(10)
    with directories.new() as directory:
        assert directory.is_dir()
    directories.close()


def run_on(directories: RunDirectories, hypervisor: Store, operation: str, **fields: object) -> Outcome:
    """The outcome of an operation that is about more than the VM."""
    asked = work(hypervisor, operation)
    return run(directories, replace(asked, job=replace(asked.job, **fields)))  # type: ignore[arg-type]


def test_snapshots_are_told_as_they_are_after_each_operation(directories: RunDirectories, hypervisor: Store) -> None:
    assert run(directories, work(hypervisor, "configure")).ok
    order = SnapshotOrder(name="first", description=CANARY)
    for changed in (True, False):
        taken = run_on(directories, hypervisor, "snapshot_create", snapshot=order)
        assert taken.changed is changed
        assert [(one.name, one.description, one.current) for one in taken.snapshots] == [("first", CANARY, True)]
    assert run_on(directories, hypervisor, "snapshot_revert", snapshot=order).changed is True
    gone = run_on(directories, hypervisor, "snapshot_delete", snapshot=order)
    assert (gone.changed, gone.snapshots) == (True, ())


def test_a_template_is_told_with_where_it_is(directories: RunDirectories, hypervisor: Store) -> None:
    assert run(directories, work(hypervisor, "configure")).ok
    wanted = WantedTemplate(name="golden")
    for changed in (True, False):
        captured = run_on(directories, hypervisor, "capture", template=wanted)
        assert (captured.changed, captured.error) == (changed, None)
        assert captured.template == TemplateFacts(
            name="golden.qcow2", pool="default", size_mib=8, format=DiskFormat.QCOW2
        )
