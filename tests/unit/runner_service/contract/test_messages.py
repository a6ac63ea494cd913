# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The message contract: samples, tolerance towards newer senders, and what is refused."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner_service.contract import control, messages
from runner_service.contract.messages import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_JOBS,
    MAX_NODES,
    MAX_REASON,
    ErrorReport,
    Hypervisor,
    InvalidMessage,
    Job,
    Mode,
    Task,
    TaskRequest,
    Update,
    holds_password,
)
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from tests.requests import DEPLOY, UNDEPLOY, appliance, chain, definition, job, request, vm_id

SAMPLES = sorted((Path(messages.__file__).parent / "samples").glob("*.json"))
KINDS = {"task_request": TaskRequest, "update": Update}
CONTROL_SAMPLES = [sample for sample in SAMPLES if sample.name.startswith("control_")]
SAMPLES = [sample for sample in SAMPLES if sample not in CONTROL_SAMPLES]


def kind_of(sample: Path) -> type[TaskRequest] | type[Update]:
    return next(kind for prefix, kind in KINDS.items() if sample.name.startswith(prefix))


def decoded(kind: type[TaskRequest] | type[Update]) -> list[Any]:
    return [kind.decode(sample.read_bytes()) for sample in SAMPLES if kind_of(sample) is kind]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_says_what_decoding_and_encoding_it_says(sample: Path) -> None:
    message = kind_of(sample).decode(sample.read_bytes())
    assert json.loads(message.encode()) == json.loads(sample.read_text())


@pytest.mark.parametrize("sample", CONTROL_SAMPLES, ids=lambda sample: sample.stem)
def test_a_control_sample_says_what_decoding_and_encoding_it_says(sample: Path) -> None:
    message = control.decode_control(sample.read_bytes())
    assert json.loads(control.encode_control(message)) == json.loads(sample.read_text())


def test_every_kind_of_control_message_has_a_sample() -> None:
    kinds = {type(control.decode_control(sample.read_bytes())) for sample in CONTROL_SAMPLES}
    assert kinds == set(typing.get_args(control.Control))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"version": 1, "kind": "later", "body": {}}',
        b'{"version": 1, "kind": "cancel", "body": {}}',
        b'{"version": 1, "kind": "cancel", "body": {"request_id": "no id"}}',
    ],
)
def test_what_is_no_control_message_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        control.decode_control(body)


def test_every_event_and_every_field_of_an_update_has_a_sample() -> None:
    updates = decoded(Update)
    assert {update.event for update in updates} == set(Event)
    for name in ("changed", "vm", "template", "host", "error", "tries", "trace"):
        assert any(getattr(update, name) is not None for update in updates), name
    assert any(update.snapshots for update in updates)
    assert any(update.error and update.error.left and update.error.retryable for update in updates)


def test_every_field_of_a_request_has_a_sample() -> None:
    requests = decoded(TaskRequest)
    jobs = [job for found in requests for job in found.task.jobs()]
    assert any(found.hypervisor.sealed_credentials for found in requests)
    assert any(found.hypervisor.ca_certificates for found in requests)
    for name in ("vm_id", "definition", "previous", "sealed_user_data", "timeout", "snapshot", "template"):
        assert any(getattr(job, name) is not None for job in jobs), name
    assert {type(child) for found in requests for child in found.task.children} == {Job, Task}


@pytest.mark.parametrize("kind", [TaskRequest, Update, Task, Job, Hypervisor, ErrorReport])
def test_messages_are_frozen(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has them


def test_what_a_job_may_do_is_said_by_a_sample_and_told_its_playbook() -> None:
    told = {job.operation: job.variables for found in decoded(TaskRequest) for job in found.task.jobs()}
    assert told[Operation.RECONFIGURE] == {"millwright_allow_power_cycle": True, "millwright_allow_disk_removal": True}
    assert told[Operation.SHUTDOWN] == {"millwright_timeout": 120, "millwright_force": True}
    assert told[Operation.SNAPSHOT_CREATE]["millwright_snapshot"]["name"] == "before-upgrade"
    assert told[Operation.CAPTURE] == {
        "millwright_template": {
            "name": "web-golden",
            "disk": "root",
            "format": "qcow2",
            "made_for": "6a1f3c52-0000-4000-8000-000000000007",
        }
    }, "what it says nothing of is the module's affair"
    assert told[Operation.CONFIGURE] == {}


def test_an_older_sender_allows_nothing_that_it_does_not_know() -> None:
    older = raw()
    for step in older["task"]["children"][0]["children"]:
        for name in ("allow_power_cycle", "allow_disk_removal", "force", "snapshot", "template"):
            del step[name]
    read = TaskRequest.decode(json.dumps(older).encode())
    assert [job.variables for job in read.task.jobs()] == [{}, {}]


def raw() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request(appliance("web")).encode())
    return found


def test_fields_of_a_newer_sender_are_passed_over() -> None:
    newer = raw() | {"colour": "blue"}
    newer["hypervisor"]["colour"] = newer["task"]["colour"] = "blue"
    assert TaskRequest.decode(json.dumps(newer).encode()).task.id == "appliance"


def test_a_field_that_is_unknown_in_a_definition_is_refused_because_it_would_be_lost() -> None:
    newer = raw()
    newer["task"]["children"][0]["children"][0]["definition"]["gpus"] = 2
    with pytest.raises(InvalidMessage, match=r"definition\.gpus: unknown field"):
        TaskRequest.decode(json.dumps(newer).encode())


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"kind": "job", "id": "j", "operation": "discover"}
    for level in range(depth):
        inner = {"kind": "task", "id": f"t{level}", "children": [inner]}
    return inner


def broken(**changes: Any) -> bytes:
    return json.dumps(raw() | changes).encode()


def task_with(**changes: Any) -> dict[str, Any]:
    task = raw()["task"]
    task["children"][0]["children"][0].update(changes)
    return task  # type: ignore[no-any-return]  # it is the JSON of a task


def many_jobs() -> dict[str, Any]:
    children = [{"kind": "job", "id": f"j{number}", "operation": "discover"} for number in range(MAX_JOBS + 1)]
    return {"id": "t", "children": children}


def many_nodes(count: int) -> dict[str, Any]:
    return {"id": "t", "children": [{} for _ in range(count)]}


def two_chains_of_one_vm(mode: Mode) -> bytes:
    """The second one is a level further down."""
    first, second = (
        chain("web", Operation.POWER_OFF),
        Task(id="t", children=(job("web", "power_on"), job("db", "pause"))),
    )
    return request(Task(id="root", mode=mode, children=(first, Task(id="deeper", children=(second,))))).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "must be a mapping"),
        (b'"' + b"x" * MAX_BYTES + b'"', "bytes; at most"),
        (broken(version=2), "newer than 1"),
        (broken(version="1"), "version: must be a whole number"),
        (broken(id="../../etc"), "id: must be like"),
        (broken(task={"id": "t", "children": []}), "must not be empty"),
        (broken(task={"id": "t", "mode": "random", "children": []}), "task.mode: must be one of"),
        (broken(task=task_with(operation="__import__('os')")), r"operation: must be one of: configure"),
        (broken(task=task_with(definition=None)), "configure needs a VM"),
        (broken(task=task_with(operation="snapshot_revert")), "snapshot: snapshot_revert needs one"),
        (broken(task=task_with(operation="capture")), "template: capture needs one"),
        (broken(task=task_with(snapshot={"name": "7"})), r"snapshot\.name: must be a letter"),
        (broken(task=task_with(vm_id=None)), "configure needs a VM"),
        (
            broken(task=task_with(definition=definition("web", memory_mib=4))),
            r"definition\.memory_mib: must be at least",
        ),
        (
            broken(task=task_with(definition=definition("web", cloud_init={"user_data": "#cloud-config"}))),
            r"definition\.cloud_init\.user_data: is a secret, and comes in sealed_user_data",
        ),
        (broken(task=task_with(id="web.power_on")), "given 2 times"),
        (broken(task=nested(MAX_DEPTH + 1)), "^tasks are nested deeper"),
        (broken(task={"id": "t", "children": 5}), "children: must be a list"),
        (broken(task=many_jobs()), f"at most {MAX_JOBS}"),
        (
            broken(task=many_nodes(MAX_NODES + 1)),
            f"^task: has at least {MAX_NODES + 1} tasks and jobs; at most {MAX_JOBS}",
        ),
        (broken(task=many_nodes(100)), "(task.children.*){20}; and 80 more problems$"),
        (
            two_chains_of_one_vm(Mode.CONCURRENT),
            rf"^[^;]*task: VM {vm_id('web')} is in several branches that run at once$",
        ),
        (broken(hypervisor={"id": "h", "type": "fake", "url": "fake:///x", "open_sessions": 0}), "open_sessions"),
        (broken(hypervisor={"id": "h", "type": "fake", "url": "qemu+tcp://root:pw@h/"}), "url: must not hold a pass"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        TaskRequest.decode(body)


def test_what_is_told_of_a_message_has_a_bound() -> None:
    with pytest.raises(InvalidMessage) as refused:
        TaskRequest.decode(broken(task=many_nodes(MAX_NODES), requested_at="x" * 1_000_000))
    assert len(str(refused.value)) < MAX_REASON + 100


def test_jobs_of_one_vm_that_run_in_order_are_taken_however_deep_they_are() -> None:
    read = TaskRequest.decode(two_chains_of_one_vm(Mode.SEQUENTIAL))
    assert [job.vm_id for job in read.task.jobs()].count(vm_id("web")) == 2
    discoveries = tuple(Job(id=f"j{number}", operation=Operation.DISCOVER) for number in range(2))
    several = request(Task(id="t", mode=Mode.CONCURRENT, children=discoveries))
    assert TaskRequest.decode(several.encode()) == several, "what has no VM is of no VM"


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        ("qemu+tcp://root:secret@host/system", True),
        ("https://root:@host:8989/sdk", True),
        ("//root:p:w@host", True),
        ("qemu+tcp://me@corp:secret@host", True),
        ("qemu+ssh://root@host:22/system?keyfile=/a:b@c", False),
        ("qemu:///system", False),
        ("https://[2001:db8::1]:443/path:x@y", False),
        ("fake:///tmp/a:b@c", False),
        ("no url at all", False),
    ],
)
def test_a_password_in_a_url_is_seen(url: str, holds: bool) -> None:
    assert holds_password(url) is holds


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in children for found in paths(child, (*path, key)))]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_put_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    """A message that raised anything else would take the runner's consumer down."""
    mutated = raw()
    place = data.draw(st.sampled_from(paths(mutated)[1:]))
    parent = mutated
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = data.draw(json_values)
    try:
        message = TaskRequest.decode(json.dumps(mutated).encode())
    except InvalidMessage as error:
        assert str(error)
    else:
        assert TaskRequest.decode(message.encode()) == message


def test_the_deepest_tree_that_is_allowed_is_read() -> None:
    assert TaskRequest.decode(broken(task=nested(MAX_DEPTH)))


def test_texts_of_users_travel_as_they_are() -> None:
    name = "{{ lookup('pipe','id') }} '; DROP TABLE vms;-- <&>\""
    sent = request(Task(id="t", children=chain("web", *UNDEPLOY).children))
    job = Job(id="j", operation=DEPLOY[0], vm_id="v", definition=definition(name))
    sent = request(Task(id="t", children=(job,)))
    (received,) = TaskRequest.decode(sent.encode()).task.jobs()
    assert received.vm is not None
    assert received.vm.name == name


def test_a_type_of_hypervisor_that_there_is_no_driver_for_is_refused() -> None:
    raw = json.loads(next(path for path in SAMPLES if path.name == "task_request_deploy.json").read_text())
    raw["hypervisor"]["type"] = "nonsense"
    with pytest.raises(
        InvalidMessage, match=r"hypervisor\.type: must be one of: fake, libvirt, vsphere; not 'nonsense'"
    ):
        TaskRequest.decode(json.dumps(raw).encode())
