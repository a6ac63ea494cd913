# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Around a run: its inventory, its environment, and the verdict on what Ansible said."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import DiskFormat
from ansible_collections.millwright.virt.plugins.modules.vm_power import OPTIONS as POWER_OPTIONS
from runner_service.contract.messages import Hypervisor, Job, TemplateFacts
from runner_service.contract.operations import OPERATIONS, Operation
from runner_service.ports import Ear, Work
from runner_service.workers.hearing import Hearing
from runner_service.workers.inventory import LoginFiles, host_of, inventory_of, to_yaml
from runner_service.workers.playbook_run import Playbook, environment_of, progress_file_of
from runner_service.workers.verdict import MAX_TEXT, Listening, outcome_of, scrub
from runner_service.workers.watch import COPY_RATE, LAST_WORDS, TEMPLATE_SIZE, Watch, seconds_for
from tests.requests import definition, job

TASK = "Millwright: configure"


class TaggedLoader(yaml.SafeLoader):
    """Tells strings that are tagged from those that Ansible would trust."""


TaggedLoader.add_constructor("!unsafe", lambda loader, node: ("unsafe", loader.construct_scalar(node)))  # type: ignore[type-var]

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def untagged(value: Any) -> Any:
    if isinstance(value, dict):
        return {untagged(key): untagged(item) for key, item in value.items()}
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if isinstance(value, tuple):
        return value[1]
    assert not isinstance(value, str), f"{value!r} would be a template"
    return value


@given(plain)
def test_every_string_of_an_inventory_is_data(value: Any) -> None:
    assert untagged(yaml.load(to_yaml({"x": value}), TaggedLoader)) == {"x": value}  # a SafeLoader


def work(**fields: Any) -> Work:
    return work_on("web", **fields)


def work_on(name: str, **fields: Any) -> Work:
    hypervisor = Hypervisor(id="h-1", type="fake", url="fake:///x", validate_certs=False)
    return Work(request_id="r", hypervisor=hypervisor, job=job(name, "shutdown", **fields))


def test_an_inventory_has_the_vm_as_host_in_the_hypervisor_as_group() -> None:
    asked = work(timeout=30)
    files = LoginFiles(credentials=Path("/run/x"), authorities=Path("/run/x.pem"))
    group = inventory_of([asked], files)["all"]["children"]["hypervisor"]
    assert group["hosts"] == {asked.job.vm_id: {"millwright_vm": asked.job.definition, "millwright_timeout": 30}}
    assert group["vars"]["millwright_hypervisor"] == {
        "type": "fake", "url": "fake:///x", "validate_certs": False, "credentials_file": "/run/x",
        "ca_path": "/run/x.pem",
    }  # fmt: skip


def test_a_job_without_a_vm_has_the_hypervisor_as_host() -> None:
    asked = Work(request_id="r", hypervisor=work().hypervisor, job=Job(id="j", operation=Operation.DISCOVER))
    assert inventory_of([asked], LoginFiles())["all"]["children"]["hypervisor"]["hosts"] == {"h-1": {}}


@pytest.mark.parametrize("timeout", [None, 1, 600])
def test_a_driver_that_waits_for_a_guest_gives_up_well_before_the_run_is_ended(timeout: int | None) -> None:
    """So that it is the driver who says what the guest did not do."""
    own = timeout or POWER_OPTIONS["timeout"]["default"]
    for operation in ("power_on", "power_off", "shutdown", "pause", "resume", "reset"):
        assert seconds_for(job("web", operation, timeout=timeout), check=False) >= own + 60


def test_a_run_that_copies_disks_has_the_time_for_it_and_looking_has_not() -> None:
    disks = [{"name": "a", "size_mib": 100 * 1024}, {"name": "b", "template": "/templates/guest.qcow2"}]
    asked = job("web", "configure", definition=definition("web", disks=disks))
    copying = (100 * 1024 + TEMPLATE_SIZE) / COPY_RATE
    assert seconds_for(asked, check=False) == math.ceil(OPERATIONS[Operation.CONFIGURE].deadline + copying)
    assert seconds_for(asked, check=True) == OPERATIONS[Operation.CONFIGURE].deadline
    assert seconds_for(replace(asked, operation=Operation.UNCONFIGURE), check=False) == 300


def hearing_of(*works: Work) -> Hearing:
    return Hearing(
        works,
        lambda _work: (),
        "Millwright: shutdown",
        Ear(cancelled=lambda: False, ended=lambda _work, _outcome: None),
    )


def on_host(kind: str, asked: Work, **told: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": host_of(asked), "task": "Millwright: shutdown", **told}}


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 0.0
        for module in ("watch", "hearing"):
            monkeypatch.setattr(f"runner_service.workers.{module}.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


SECONDS = seconds_for(job("web", "shutdown"), check=False)


def test_progress_begins_the_time_anew_and_only_progress(tmp_path: Path, clock: Clock) -> None:
    asked = work()
    watch = Watch(hearing_of(asked), tmp_path, lambda: False)

    def is_over(at: float) -> bool:
        clock.now = at * SECONDS
        return watch.is_over()

    assert not is_over(0.9)
    progress_file_of(tmp_path).touch()
    assert not is_over(0.95)
    assert not is_over(1.9), "it was alive at 0.95"
    os.utime(progress_file_of(tmp_path), ns=(1, 1))
    assert not is_over(1.94)
    assert not is_over(2.9)
    assert is_over(2.95), "an old report is no sign of life"
    assert (watch.passed, watch.stopped) == ({asked.id}, False)


def test_each_job_of_a_batch_has_its_own_time(tmp_path: Path, clock: Clock) -> None:
    first, second, third = (work_on(name) for name in ("a", "b", "c"))
    hearing = hearing_of(first, second, third)
    watch = Watch(hearing, tmp_path, lambda: False)
    hearing.hear(on_host("runner_on_start", first))
    clock.now = 0.9 * SECONDS
    hearing.hear(on_host("runner_on_start", second))
    hearing.hear(on_host("runner_on_ok", first))
    clock.now = 1.8 * SECONDS
    assert not watch.is_over()
    clock.now = 2.0 * SECONDS
    assert watch.is_over()
    assert watch.passed == {second.id}, "the third one's time has not even begun"


def test_a_run_that_hangs_between_two_jobs_has_an_end(tmp_path: Path, clock: Clock) -> None:
    first, second = work_on("a"), work_on("b")
    hearing = hearing_of(first, second)
    watch = Watch(hearing, tmp_path, lambda: False)
    clock.now = 0.9 * SECONDS
    hearing.hear(on_host("runner_on_start", first))
    hearing.hear(on_host("runner_on_ok", first))
    clock.now = 1.8 * SECONDS
    assert not watch.is_over(), "the second one's turn may come yet"
    clock.now = 1.95 * SECONDS
    assert watch.is_over()


def test_a_run_whose_jobs_have_all_ended_has_an_end_soon(tmp_path: Path, clock: Clock) -> None:
    asked = work()
    hearing = hearing_of(asked)
    watch = Watch(hearing, tmp_path, lambda: False)
    hearing.hear(on_host("runner_on_ok", asked))
    clock.now = LAST_WORDS - 1
    assert not watch.is_over()
    clock.now = LAST_WORDS + 1
    assert watch.is_over()
    assert (watch.passed, watch.stopped) == (set(), False)


def test_a_run_that_nobody_wants_is_over(tmp_path: Path) -> None:
    watch = Watch(hearing_of(work()), tmp_path, lambda: True)
    assert watch.is_over()
    assert (watch.passed, watch.stopped) == (set(), True)


def test_a_run_inherits_nothing_that_is_not_on_the_list() -> None:
    prepared = {
        "AMQP_URL": "amqp://user:secret@host", "MILLWRIGHT_PRIVATE_KEY_FILE": "/key", "PYTHONPATH": "/evil",
        "ANSIBLE_CONFIG": "/home/me/ansible.cfg", "LD_PRELOAD": "evil.so", "HOME": "/home/me",
        "AWX_ISOLATED_DATA_DIR": "/run/1/artifacts/2", "ANSIBLE_CALLBACK_PLUGINS": "/callbacks",
    }  # fmt: skip
    environment = environment_of(prepared, Path("/run/1"), Playbook(name="p", collections_path="/collections"))
    assert not {"AMQP_URL", "MILLWRIGHT_PRIVATE_KEY_FILE", "PYTHONPATH", "LD_PRELOAD"} & set(environment)
    assert environment["ANSIBLE_CONFIG"] == "/run/1/ansible.cfg"
    assert environment["AWX_ISOLATED_DATA_DIR"] == "/run/1/artifacts/2"
    assert environment["ANSIBLE_COLLECTIONS_PATH"] == "/collections"
    assert environment["MILLWRIGHT_PROGRESS_FILE"] == "/run/1/progress"


def event(kind: str, task: str = TASK, **result: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"task": task, "res": result}


def heard(*events: tuple[str, dict[str, Any]], said: tuple[str, ...] = ()) -> Listening:
    listening = Listening(TASK, deque(said))
    for kind, told in events:
        listening.hear(kind, told)
    return listening


def test_a_refused_change_tells_what_the_vm_is() -> None:
    refused = event("runner_on_failed", code="driver.unsupported", msg="no", begun=False, vm={"name": "web"})
    outcome = outcome_of(heard(refused), "x", ())
    assert (outcome.ok, outcome.vm) == (False, {"name": "web"})


def test_a_check_that_passed_over_a_vm_that_is_not_there_has_failed() -> None:
    told = {"changed": True, "vm": None, "code": "driver.vm_not_found", "msg": "no VM", "begun": False}
    error = outcome_of(heard(event("runner_on_ok", **told)), "x", ()).error
    assert error is not None
    assert (error.code, error.message, error.begun) == ("driver.vm_not_found", "no VM", False)


def test_the_result_of_the_named_task_is_the_outcome() -> None:
    vm = {"name": "web"}
    outcome = outcome_of(
        heard(event("runner_on_ok", "other", changed=False), event("runner_on_ok", changed=True, vm=vm)), "x", ()
    )
    assert (outcome.ok, outcome.changed, outcome.vm) == (True, True, vm)


def test_what_a_module_tells_of_snapshots_is_kept_flat_a_parent_before_its_children() -> None:
    def tree(name: str, parent: str | None, *children: Any) -> dict[str, Any]:
        told = {"name": name, "description": "", "created": 7, "power": "on", "parent": parent, "current": False}
        return {**told, "children": list(children)}

    trees = [
        tree("a", None, tree("b", "a", tree("c", "b")), tree("d", "a")),
        tree("e", None),
        "rubbish",
        {"name": None},
    ]
    outcome = outcome_of(heard(event("runner_on_ok", snapshots=trees)), "x", ())
    assert [(one.name, one.parent, one.created) for one in outcome.snapshots] == [
        ("a", None, 7), ("b", "a", 7), ("c", "b", 7), ("d", "a", 7), ("e", None, 7),
    ]  # fmt: skip
    assert outcome.template is None


def test_a_template_that_a_module_tells_of_is_kept_if_its_format_is_one() -> None:
    told = {"name": "golden.qcow2", "pool": "default", "size_mib": 8, "format": "qcow2"}
    outcome = outcome_of(heard(event("runner_on_ok", template=told)), "x", ())
    assert outcome.template == TemplateFacts(name="golden.qcow2", pool="default", size_mib=8, format=DiskFormat.QCOW2)
    for other in (None, {**told, "format": "vmdk"}):
        assert outcome_of(heard(event("runner_on_ok", template=other)), "x", ()).template is None


def test_a_failure_keeps_its_code_and_the_hypervisors_words() -> None:
    told = {"msg": "m", "code": "driver.busy", "detail": "d", "retryable": True, "left": ["disk"]}
    outcome = outcome_of(heard(event("runner_on_failed", **told)), "x", ())
    error = outcome.error
    assert error is not None
    assert not outcome.unseen
    assert (error.code, error.message, error.detail, error.retryable, error.left) == (
        "driver.busy", "m", "d", True, ("disk",),
    )  # fmt: skip


@pytest.mark.parametrize(
    "events",
    [
        [],
        [("verbose", {})],
        [event("runner_on_ok", "other", changed=True)],
        [event("runner_on_skipped")],
        [event("runner_on_failed", "other", msg="line: no such module")],
        [event("runner_on_unreachable", msg="line: gone")],
    ],
)
def test_a_run_without_a_result_is_an_error_with_what_was_said(events: list[tuple[str, dict[str, Any]]]) -> None:
    outcome = outcome_of(heard(*events, said=("line",)), "configure of VM 'web'", ())
    error = outcome.error
    assert error is not None
    assert outcome.unseen
    assert (error.code, error.message) == ("runner.no_result", "configure of VM 'web' ended without a result")
    assert error.detail.startswith("line")


def test_secrets_are_not_in_errors() -> None:
    told = {"msg": "login hunter2 failed", "code": "driver.failed", "detail": "hunter2", "left": ["hunter2.iso"]}
    error = outcome_of(heard(event("runner_on_failed", **told)), "x", ("hunter2",)).error
    assert "hunter2" not in repr(error)
    assert "hunter2" not in repr(outcome_of(heard(said=("hunter2",)), "x", ("hunter2",)))


def test_texts_are_bounded_and_keep_their_end() -> None:
    assert scrub("x" * MAX_TEXT * 2 + "end", ())[-4:] == "xend"
    assert len(scrub("x" * MAX_TEXT * 2, ())) == MAX_TEXT
    assert scrub(None, ("abcd",)) == ""


def test_what_is_no_unicode_is_written_out() -> None:
    """As in the name of a file that is no UTF-8; no database keeps it."""
    assert scrub("no file /srv/im\udce4ges: hunter\udce42", ("hunter\udce42",)) == r"no file /srv/im\udce4ges: ********"
    assert len(scrub("\udce4" * MAX_TEXT, ())) == MAX_TEXT


def test_a_secret_is_left_out_as_it_is_and_as_json_says_it() -> None:
    secret = '#cloud-config\npassword: "ü"\n'
    for shown in (secret, json.dumps({"user_data": secret}), json.dumps([secret], ensure_ascii=False)):
        assert "password" not in scrub(f"it said {shown}", (secret,))
