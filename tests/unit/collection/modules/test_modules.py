# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each module, run for real against a fake hypervisor: what it answers, and what it never shows."""

from __future__ import annotations

import importlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store

SMALL = {"name": "web", "memory_mib": 64, "disks": [{"template": "/templates/guest.qcow2"}]}
PASSWORD = "canary-4711"
ROOT = Path(__file__).resolve().parents[4]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    directory = tmp_path / "hypervisor"
    directory.mkdir()
    return Store(directory)


@pytest.fixture
def run(store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a module and gives its answer, which is all that it prints."""
    # As in a process of its own, whatever other tests have loaded of Ansible.
    monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)
    monkeypatch.setattr("ansible.module_utils.common.warnings._global_warnings", {})

    def run_module(name: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        module = importlib.import_module(f"ansible_collections.millwright.virt.plugins.modules.{name}")
        where = {"hypervisor_type": "fake", "url": f"fake://{store.directory}"}
        with patch_module_args({**where, **options, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        printed = capsys.readouterr()
        assert printed.err == ""
        return json.loads(printed.out)

    return run_module


# --- vm ---


def test_vm_makes_changes_and_removes(run: Run):
    assert run("vm", **SMALL)["changed"] is True
    assert run("vm", **SMALL)["changed"] is False
    changed = run("vm", **{**SMALL, "memory_mib": 96})
    assert changed["changes"] == [{"path": "memory_mib", "before": 64, "after": 96}]
    assert (changed["diff"]["before"]["memory_mib"], changed["diff"]["after"]["memory_mib"]) == (64, 96)
    assert run("vm", name="web", state="absent")["changed"] is True
    assert run("vm", name="web", state="absent")["changed"] is False


def attach(store: Store, name: str) -> str:
    """Somebody attaches a volume to the only VM."""
    with store.change() as world:
        world.pools["default"].volumes[name] = 4
        next(iter(world.machines.values())).attached.append(f"default/{name}")
    return f"default/{name}"


def test_vm_says_what_stays_of_a_vm_that_it_removes_and_takes_it_if_it_is_told(run: Run, store: Store):
    run("vm", **SMALL)
    kept = [{"path": attach(store, "theirs.img"), "why": "Millwright did not make it"}]
    for check in (True, False):
        gone = run("vm", name="web", state="absent", check=check)
        assert (gone["changed"], gone["kept"], gone["diff"]["after"]) == (True, kept, {"kept": kept})
    assert list(store.read().pools["default"].volumes) == ["theirs.img"]
    run("vm", **SMALL)
    attach(store, "theirs.img")
    gone = run("vm", name="web", state="absent", remove_foreign_disks=True)
    assert (gone["kept"], gone["diff"]["after"], store.read().pools["default"].volumes) == ([], {}, {})


def test_vm_warns_of_cards_that_go_because_nics_is_left_out(run: Run):
    with_cards = {**SMALL, "nics": [{"name": "front", "network": "default"}]}
    run("vm", **with_cards)
    for check in (True, False):
        lost = run("vm", check=check, **SMALL)
        assert lost["changed"]
        assert "loses its network cards (nics[front])" in json.dumps(lost["warnings"])
    run("vm", **{**with_cards, "name": "bare"})
    assert "VM 'bare'" not in json.dumps(run("vm", **{**SMALL, "name": "bare", "nics": []}).get("warnings", []))


def test_vm_in_check_mode_says_the_same_and_does_nothing(run: Run):
    plan = run("vm", check=True, **SMALL)
    assert run("vm_info")["vms"] == []
    done = run("vm", **SMALL)
    for key in ("changed", "before", "changes", "removed"):
        assert plan[key] == done[key]
    assert plan["vm"]["definition"] | {"uuid": None} == done["vm"]["definition"] | {"uuid": None}


def test_vm_refuses_a_wrong_definition_by_field_and_rule(run: Run):
    refused = run("vm", **{**SMALL, "disks": [{"name": "root"}]})
    assert (refused["failed"], refused["code"], refused["begun"]) == (True, "definition.invalid", False)
    assert refused["problems"] == [{"path": "disks[0].size_mib", "rule": "is required for a disk without a template"}]
    assert "disks[0].size_mib" in refused["msg"]


def test_vm_needs_memory_only_to_be_there(run: Run):
    assert "memory_mib" in run("vm", name="web")["msg"]
    assert "failed" not in run("vm", name="web", state="absent")


def test_vm_that_must_be_there_already_is_not_made(run: Run):
    refused = run("vm", **SMALL, create=False)
    assert (refused["failed"], refused["code"], refused["retryable"]) == (True, "driver.vm_not_found", False)
    assert run("vm_info")["vms"] == []


def test_vm_never_shows_user_data(run: Run, store: Store):
    store.tell({"failures": [{"operation": "create", "times": 1}]})
    secret = {**SMALL, "cloud_init": {"user_data": f"#cloud-config\npassword: {PASSWORD}"}}
    failed = run("vm", **secret)
    assert failed["failed"]
    for answer in (failed, run("vm", **secret), run("vm_info"), run("vm", **secret, check=True)):
        assert PASSWORD not in json.dumps(answer)


# --- vm_power, vm_info, hypervisor_info ---


def test_vm_power_brings_a_vm_into_its_state(run: Run):
    run("vm", **SMALL)
    seen = []
    for state in ("on", "on", "paused", "on", "paused", "resumed", "reset", "shutdown", "off"):
        done = run("vm_power", name="web", state=state)
        seen.append((state, done["vm"]["power"], done["changed"]))
    assert seen == [
        ("on", "on", True),
        ("on", "on", False),
        ("paused", "paused", True),
        ("on", "on", True),
        ("paused", "paused", True),
        ("resumed", "on", True),
        ("reset", "on", True),
        ("shutdown", "off", True),
        ("off", "off", False),
    ]


def test_vm_power_does_not_resume_what_is_off(run: Run):
    run("vm", **SMALL)
    refused = run("vm_power", name="web", state="resumed")
    assert refused["code"] == "driver.invalid_transition"
    assert "it allows: on" in refused["msg"]


def test_vm_power_that_is_refused_has_begun_nothing(run: Run, store: Store):
    run("vm", **SMALL)
    assert run("vm_power", name="web", state="paused")["begun"] is False
    store.tell({"failures": [{"operation": "power_on"}]})
    assert run("vm_power", name="web", state="on")["begun"] is True


def test_looking_begins_nothing(run: Run, store: Store):
    store.tell({"failures": [{"operation": "find"}, {"operation": "host"}]})
    assert run("vm_info", name="web")["begun"] is False
    assert run("hypervisor_info")["begun"] is False


def test_vm_power_in_check_mode_leaves_the_vm(run: Run):
    run("vm", **SMALL)
    assert run("vm_power", check=True, name="web", state="on")["vm"]["power"] == "on"
    assert run("vm_info", name="web")["vm"]["power"] == "off"


@pytest.mark.parametrize(("state", "changed"), [("on", True), ("paused", True), ("off", False), ("shutdown", False)])
def test_vm_power_in_check_mode_warns_of_a_vm_that_is_still_to_be_made(
    run: Run, monkeypatch, state: str, changed: bool
):
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    planned = run("vm_power", check=True, name="web", state=state)
    assert (planned["changed"], planned["vm"], planned["code"]) == (changed, None, "driver.vm_not_found")
    assert "VM 'web' is not at the hypervisor" in warnings[0] and "failed" not in planned
    assert run("vm_power", name="web", state=state)["failed"]


def test_vm_info_tells_of_one_or_of_all(run: Run):
    made = run("vm", **SMALL)["vm"]
    run("vm", **{**SMALL, "name": "db"})
    assert [vm["name"] for vm in run("vm_info")["vms"]] == ["db", "web"]
    assert run("vm_info", name="web")["vm"] == run("vm_info", uuid=made["uuid"])["vm"] == made
    absent = run("vm_info", name="absent")
    assert (absent["vm"], absent["vms"], absent["changed"]) == (None, [], False)


BY_NAME = {"vm_info": {}, "vm_power": {"state": "on"}, "vm": {"state": "absent"}, "vm_snapshot_info": {}}
BY_NAME |= {"vm_snapshot": {"snapshot": "before"}, "vm_capture": {"template": "golden"}}


@pytest.mark.parametrize("module", BY_NAME)
def test_an_empty_name_is_a_variable_that_nobody_set_and_means_no_vm(run: Run, module: str):
    run("vm", **SMALL)
    refused = run(module, name=" ", **BY_NAME[module])
    assert refused["problems"] == [{"path": "name", "rule": "must not be empty"}]
    assert (refused["code"], refused["begun"]) == ("definition.invalid", False)


@pytest.mark.parametrize("module", BY_NAME)
def test_a_uuid_is_one(run: Run, module: str):
    refused = run(module, name="web", uuid="web", **BY_NAME[module])
    assert refused["problems"] == [{"path": "uuid", "rule": "must be a UUID, not 'web'"}]


def test_a_uuid_in_capitals_is_the_same(run: Run):
    made = run("vm", **SMALL)["vm"]
    assert run("vm_info", uuid=made["uuid"].upper())["vm"] == made


def test_nobody_waits_for_less_than_no_time(run: Run):
    run("vm", **SMALL)
    assert run("vm_power", name="web", state="on", timeout=-1)["problems"] == [
        {"path": "timeout", "rule": "must not be negative, as -1 is"}
    ]
    assert run("vm", **SMALL, shutdown_timeout=-1)["code"] == "definition.invalid"


def test_hypervisor_info_tells_what_there_is(run: Run):
    run("vm", **SMALL)
    told = run("hypervisor_info")
    assert told["host"]["networks"] == ["default"]
    assert told["host"]["pools"]["default"]["free_mib"] == told["host"]["pools"]["default"]["capacity_mib"] - 16
    assert [vm["name"] for vm in told["vms"]] == ["web"]


# --- login, logout, credentials ---


@pytest.fixture
def login(store: Store, tmp_path: Path) -> dict[str, str]:
    store.tell({"accounts": {"admin": PASSWORD}})
    return {"username": "admin", "password": PASSWORD, "session_file": str(tmp_path / "session")}


def test_a_kept_session_saves_logins_until_logout(run: Run, store: Store, login):
    assert {"changed": True, "session": True}.items() <= run("hypervisor_login", **login).items()
    assert stat.S_IMODE(Path(login["session_file"]).stat().st_mode) == 0o600
    assert run("hypervisor_login", **login)["changed"] is False
    run("vm", **SMALL, **login)
    run("vm_info", **login)
    assert store.read().logins == 1
    assert run("hypervisor_logout", **login)["changed"] is True
    assert (store.read().sessions, Path(login["session_file"]).exists()) == ([], False)
    assert run("hypervisor_logout", **login)["changed"] is False


def test_a_session_serves_nobody_with_another_password(run: Run, store: Store, login):
    run("hypervisor_login", **login)
    kept = Path(login["session_file"]).read_text()
    refused = run("vm_info", **{**login, "password": "wrong"})
    assert (refused["failed"], refused["code"]) == (True, "driver.authentication_failed")
    assert run("hypervisor_logout", **{**login, "password": "wrong"})["changed"] is False
    assert Path(login["session_file"]).read_text() == kept


def test_a_session_serves_whoever_trusts_the_same_wherever_that_is_written(run: Run, store: Store, login, tmp_path):
    files = {name: tmp_path / name for name in ("a.pem", "same.pem", "other.pem")}
    for name, file in files.items():
        file.write_text("somebody else" if name == "other.pem" else "an authority")
    run("hypervisor_login", **login, ca_path=str(files["a.pem"]))
    for name, logins in (("a.pem", 1), ("same.pem", 1), ("other.pem", 2)):
        run("vm_info", **login, ca_path=str(files[name]))
        assert store.read().logins == logins
    files["a.pem"].unlink()
    run("vm_info", **login, ca_path=str(files["a.pem"]))
    assert store.read().logins == 3


def test_a_session_that_has_ended_is_made_anew(run: Run, store: Store, login):
    run("hypervisor_login", **login)
    with store.change() as world:
        world.sessions.clear()
    assert "failed" not in run("vm_info", **login)
    assert run("hypervisor_login", **login)["changed"] is True
    with store.change() as world:
        world.sessions.clear()
    assert run("hypervisor_logout", **login)["changed"] is True


def test_login_and_logout_in_check_mode_leave_sessions_as_they_are(run: Run, store: Store, login):
    assert run("hypervisor_login", check=True, **login)["changed"] is True
    assert (store.read().sessions, Path(login["session_file"]).exists()) == ([], False)
    run("hypervisor_login", **login)
    assert run("hypervisor_logout", check=True, **login)["changed"] is True
    assert (len(store.read().sessions), Path(login["session_file"]).exists()) == (1, True)


def test_login_without_a_file_only_proves_the_login(run: Run, store: Store, login):
    del login["session_file"]
    proved = run("hypervisor_login", **login)
    assert (proved["changed"], proved["session"], store.read().sessions) == (False, False, [])
    assert run("hypervisor_login", **{**login, "password": "wrong"})["code"] == "driver.authentication_failed"


def test_a_session_file_that_cannot_be_written_is_named(run: Run, store: Store, login):
    refused = run("hypervisor_login", **{**login, "session_file": "/no/such/directory/session"})
    assert "/no/such/directory/session" in refused["msg"]
    assert store.read().sessions == []


@pytest.mark.parametrize(
    "rubbish", ["", "{}", "[]", "null", '{"key": 1, "session": 2}', '{"key": "ü", "session": "s"}']
)
def test_a_session_file_with_rubbish_is_not_used(run: Run, login, rubbish):
    Path(login["session_file"]).write_text(rubbish)
    assert "failed" not in run("vm_info", **login)


def test_credentials_come_from_a_file(run: Run, store: Store, tmp_path: Path, login):
    file = tmp_path / "credentials"
    file.write_text(json.dumps({"username": "admin", "password": PASSWORD}))
    assert "failed" not in run("vm_info", credentials_file=str(file))


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, True), (0o640, True)])
def test_a_credentials_file_that_others_can_read_is_warned_of(
    run: Run, store: Store, tmp_path: Path, login, mode: int, warned: bool
):
    file = tmp_path / "credentials"
    file.write_text(json.dumps({"username": "admin", "password": PASSWORD}))
    file.chmod(mode)
    answer = run("vm_info", credentials_file=str(file))
    assert (f"{file} can be read by others" in json.dumps(answer.get("warnings", []))) is warned
    assert PASSWORD not in json.dumps(answer)


@pytest.mark.parametrize("content", [PASSWORD, "[]", f'{{"password": "{PASSWORD}"}}', None])
def test_a_credentials_file_that_cannot_be_used_is_named_and_not_quoted(run: Run, tmp_path: Path, content):
    file = tmp_path / "credentials"
    if content is not None:
        file.write_text(content)
    refused = run("vm_info", credentials_file=str(file))
    assert refused["code"] == "driver.authentication_failed"
    assert str(file) in refused["msg"]
    assert PASSWORD not in json.dumps(refused)


def test_options_come_from_the_environment(run: Run, store: Store, login, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MILLWRIGHT_USERNAME", "admin")
    monkeypatch.setenv("MILLWRIGHT_PASSWORD", PASSWORD)
    assert PASSWORD not in json.dumps(run("vm_info"))
    assert store.read().logins == 1


@pytest.mark.parametrize("password", ["of", "o", "web", "e", "driver", "default"])
def test_a_password_that_is_a_part_of_a_value_changes_no_value(run: Run, store: Store, tmp_path: Path, password: str):
    file = tmp_path / "credentials"
    file.write_text(json.dumps({"username": "admin", "password": password}))
    answers = []
    for login in ({}, {"credentials_file": str(file)}):
        made, failed = run("vm", **SMALL, **login), run("vm_power", name="web", state="paused", **login)
        run("vm", name="web", state="absent", **login)
        answers.append([made["vm"], made["before"], failed["code"], failed["begun"]])
    assert answers[0] == answers[1]


def test_a_session_that_is_kept_is_not_in_what_a_module_says(run: Run, store: Store, login):
    run("hypervisor_login", **login)
    session = json.loads(Path(login["session_file"]).read_text())["session"]
    store.tell({"accounts": {"admin": PASSWORD}, "delays": {"list_vms": f"not a number: {session}"}})
    assert session not in json.dumps(run("vm_info", **login))


# --- sessions that a module leaves because it had to log in anyway ---


@pytest.fixture
def kept(login: dict[str, str]) -> dict[str, Any]:
    return {**login, "keep_session": True}


def session_in(login: dict[str, Any]) -> str:
    return json.loads(Path(login["session_file"]).read_text())["session"]


def test_whoever_logs_in_first_leaves_its_session_for_the_others(run: Run, store: Store, kept):
    said = [run("vm", **SMALL, **kept, check=True), run("vm", **SMALL, **kept), run("vm_info", **kept)]
    assert [answer.get("failed") for answer in said] == [None] * 3
    assert (store.read().logins, len(store.read().sessions)) == (1, 1)
    assert stat.S_IMODE(Path(kept["session_file"]).stat().st_mode) == 0o600
    assert session_in(kept) not in json.dumps(said)
    assert run("hypervisor_logout", **kept)["changed"] is True
    assert (store.read().sessions, Path(kept["session_file"]).exists()) == ([], False)


def test_the_session_that_a_module_has_just_left_is_in_no_text_of_it(run: Run, store: Store, kept, monkeypatch):
    from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.driver import FakeDriver

    def tells_all(driver):
        raise ValueError(f"oops: {session_in(kept)}")

    monkeypatch.setattr(FakeDriver, "list_vms", tells_all)
    failed = run("vm_info", **kept)
    assert "oops" in failed["detail"]
    assert session_in(kept) not in json.dumps(failed)


def test_an_operation_that_fails_leaves_its_session_too(run: Run, store: Store, kept):
    assert run("vm_power", name="nobody", state="on", **kept)["failed"]
    assert len(store.read().sessions) == 1
    run("vm_info", **kept)
    assert store.read().logins == 1


def test_a_kept_session_that_has_ended_is_replaced_once(run: Run, store: Store, kept):
    run("vm_info", **kept)
    with store.change() as world:
        world.sessions.clear()
    ended = session_in(kept)
    assert [run("vm_info", **kept).get("failed") for _ in range(3)] == [None] * 3
    assert session_in(kept) != ended
    assert (store.read().logins, len(store.read().sessions)) == (2, 1)


def test_a_wrong_password_neither_uses_nor_touches_what_another_login_keeps(run: Run, store: Store, kept):
    run("vm_info", **kept)
    before = session_in(kept)
    assert run("vm_info", **{**kept, "password": "wrong"})["code"] == "driver.authentication_failed"
    store.tell({"accounts": {"admin": PASSWORD, "other": "x"}})
    assert "failed" not in run("vm_info", **{**kept, "username": "other", "password": "x"})
    assert (session_in(kept), len(store.read().sessions)) == (before, 1)


def test_a_session_that_cannot_be_kept_is_ended_and_fails_nothing(run: Run, store: Store, kept):
    for place in ("/no/such/directory/session", str(store.directory)):
        assert "failed" not in run("vm_info", **{**kept, "session_file": place})
        assert store.read().sessions == []


def test_to_keep_a_session_nowhere_means_nothing(run: Run, store: Store, kept):
    del kept["session_file"]
    assert "failed" not in run("vm_info", **kept)
    assert store.read().sessions == []


def test_a_login_module_says_the_same_where_sessions_are_kept_anyway(run: Run, store: Store, kept):
    assert run("hypervisor_login", **kept, check=True)["changed"] is True
    assert store.read().sessions == []
    assert run("hypervisor_login", **kept)["changed"] is True
    assert run("hypervisor_login", **kept)["changed"] is False


#: What a process does: it is ready, waits for the word, and looks at the hypervisor with its own or a kept login.
LOOK = """
import json, sys, time
from pathlib import Path
from ansible_collections.millwright.virt.plugins.module_utils.connection import CONNECTION, open_hypervisor
options = {name: option.get("default") for name, option in CONNECTION.items()} | json.loads(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
with open_hypervisor(options, set()) as driver:
    driver.list_vms()
"""


@pytest.mark.parametrize("ended", [False, True], ids=["no session yet", "a session that has ended"])
def test_of_processes_that_log_in_at_once_one_leaves_its_session(run: Run, store: Store, kept, ended: bool):
    if ended:
        run("vm_info", **kept)
        with store.change() as world:
            world.sessions.clear()
    store.tell({"accounts": {"admin": PASSWORD}, "delays": {"open": 1}})
    before, options = store.read().logins, {"hypervisor_type": "fake", "url": f"fake://{store.directory}", **kept}
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / '.collections'}"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", LOOK, json.dumps(options)], **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate() and process.returncode for process in processes] == [0, 0]
    assert store.read().logins == before + 2
    assert len(store.read().sessions) == 1
    run("vm_info", **kept)
    assert store.read().logins == before + 2, "the session that is left is the one in the file"


# --- what goes wrong ---


def test_a_hypervisor_that_is_not_there_is_named_with_its_own_words(run: Run):
    refused = run("vm_info", url="fake:///no/such/place")
    assert (refused["code"], refused["retryable"]) == ("driver.unreachable", True)
    assert "fake:///no/such/place" in refused["msg"]
    assert "no such directory" in refused["detail"]


def test_a_driver_without_its_library_says_which(run: Run, monkeypatch: pytest.MonkeyPatch):
    from ansible_collections.millwright.virt.plugins.module_utils.drivers import registry

    def needs_a_library(connection):
        import no_such_library  # noqa: F401

    monkeypatch.setitem(registry.DRIVERS, "fake", needs_a_library)
    refused = run("vm_info")
    assert refused["code"] == "driver.unsupported"
    assert "no_such_library" in refused["msg"]


def test_what_nobody_foresaw_fails_with_a_code_and_without_the_password(run: Run, store: Store, login, tmp_path: Path):
    file = tmp_path / "credentials"
    file.write_text(json.dumps({"username": "admin", "password": PASSWORD}))
    store.tell({"accounts": {"admin": PASSWORD}, "delays": {"list_vms": f"not a number: {PASSWORD}"}})
    refused = run("vm_info", credentials_file=str(file))
    assert (refused["failed"], refused["code"]) == (True, "driver.failed")
    assert "ValueError" in refused["msg"]
    assert PASSWORD not in json.dumps(refused)
