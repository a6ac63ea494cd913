# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two APIs that the command line is tried against: the fake one of its unit tests, and the real one.

Behind the real one stands a runner in name only: whenever a task is looked at, it reports that everything which was
asked for is done, but for VMs whose name begins with "broken", which do not power on, and "idle", which it passes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from flask import Flask, request
from flask_migrate import upgrade
from sqlalchemy import select

from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import (
    Snapshot,
    after_create,
    after_delete,
    after_revert,
)
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerState
from runner_service.contract.messages import (
    ErrorReport,
    Hypervisor,
    Job,
    SnapshotFacts,
    Task,
    TaskRequest,
    TemplateFacts,
    Update,
)
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from tests.unit.cli import fake_api, fake_traces
from tests.unit.cli.fake_tasks import UNREACHABLE
from tests.unit.cli.serving import served
from webapi.app import create_app
from webapi.database import db
from webapi.models import Datacenter, Request
from webapi.services import deadletters, tokens, updates
from webapi.settings import Settings

#: An API's address and a token for it.
Peer = tuple[str, str]
Report = tuple[str, Event, dict[str, Any]]

POWER_AFTER = {
    Operation.CONFIGURE: "off", Operation.POWER_ON: "on", Operation.POWER_OFF: "off", Operation.SHUTDOWN: "off",
    Operation.PAUSE: "paused", Operation.RESUME: "on", Operation.RESET: "on", Operation.GET_STATE: "off",
}  # fmt: skip
HOST = {
    "name": "kvm-1", "hypervisor_type": "libvirt", "version": "9.0", "cores": 64, "memory_mib": 65536,
    "free_memory_mib": 60000, "pools": {}, "networks": ["default"], "acceleration": "kvm",
}  # fmt: skip


@contextmanager
def fake(_folder: Path) -> Iterator[Peer]:
    api = fake_api.FakeApi()
    api.add("deadletters", **fake_traces.letter(kind="request", task_id="t1"))
    api.add("deadletters", **fake_traces.letter())
    with served(fake_api.make_app(api)) as address:
        yield address, fake_api.TOKEN


@contextmanager
def real(folder: Path) -> Iterator[Peer]:
    app = create_app(Settings(database_url=f"sqlite:///{folder / 'millwright.sqlite'}"))
    with app.app_context():
        upgrade()
        token = tokens.create("tester")
    app.before_request(_work_if_a_task_is_looked_at)
    app.before_request(_bury_if_dead_letters_are_looked_at())
    with served(app) as address:
        yield address, token
    _close(app)


PEERS: dict[str, Callable[[Path], Any]] = {"fake": fake, "real": real}


def _close(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()


def _work_if_a_task_is_looked_at() -> None:
    if request.path.startswith("/api/v1/tasks/"):
        for body in db.session.scalars(select(Request.body).filter_by(outcome=None)).all():
            wanted = TaskRequest.decode(body.encode())
            if not any(job.vm and job.vm.name.startswith("idle") for job in wanted.task.jobs()):
                _carry_out(wanted)


def _bury_if_dead_letters_are_looked_at() -> Callable[[], None]:
    """The first time: a request whose task has ended, and what nobody can read."""
    buried: list[str] = []

    def bury() -> None:
        if request.path != "/api/v1/deadletters" or buried:
            return
        ended = db.session.scalars(select(Request).where(Request.outcome.is_not(None))).first()
        datacenter = db.session.scalars(select(Datacenter)).first()
        topology, body = datacenter.topology, _as_it_was(ended).encode()
        for each in (body, b"what is this"):
            buried.append(deadletters.keep(topology, topology.dead_queue, each, "not JSON").id)

    return bury


def _as_it_was(row: Request) -> TaskRequest:
    job = Job(id="j1", operation=Operation.DISCOVER)
    return TaskRequest(
        id=row.id, hypervisor=Hypervisor(id=row.hypervisor_id, type="libvirt", url="qemu:///system"),
        task=Task(id=row.task_id, children=(job,)), requested_at="2026-11-22T12:00:00Z",
    )  # fmt: skip


def _carry_out(wanted: TaskRequest) -> None:
    numbers = count(1)
    for node_id, event, more in _task_reports(wanted.task):
        now = datetime.now(UTC).isoformat()
        updates.apply(
            Update(
                request_id=wanted.id, attempt=1, sequence=next(numbers), node_id=node_id, event=event, at=now,
                runner="runner-1", **more,
            )
        )  # fmt: skip


def _task_reports(task: Task) -> Iterator[Report]:
    yield task.id, Event.START, {}
    done: list[Job] = []
    for child in task.children:
        if isinstance(child, Task):
            yield from _task_reports(child)
        elif _is_broken(child):
            yield from _failure(child, done)
        else:
            yield from _success(child)
            done.append(child)
    yield task.id, Event.ERROR if any(map(_is_broken, task.jobs())) else Event.DONE, {}


def _is_broken(job: Job) -> bool:
    return job.operation is Operation.POWER_ON and job.definition["name"].startswith("broken")


def _success(job: Job) -> Iterator[Report]:
    yield job.id, Event.START, {}
    if job.operation is Operation.DISCOVER:
        yield job.id, Event.DONE, {"host": HOST}
    else:
        yield job.id, Event.DONE, {"changed": True, "vm": _observed(job), **_beside(job)}


#: The snapshots of VMs.
_SNAPSHOTS: dict[str, tuple[Snapshot, ...]] = {}


def _beside(job: Job) -> dict[str, Any]:
    """What a job on a snapshot, or a capture, tells beside the VM, which is on."""
    if job.template:
        return {"template": TemplateFacts(name=job.template.volume, format=job.template.format)}
    if job.snapshot is None:
        return {}
    there, order = _SNAPSHOTS.get(job.vm_id, ()), job.snapshot
    if job.operation is Operation.SNAPSHOT_CREATE:
        there = after_create(there, order, PowerState.ON)
    elif job.operation is Operation.SNAPSHOT_REVERT:
        there = after_revert(there, order.name)
    else:
        there = after_delete(there, order.name, children=order.children)
    _SNAPSHOTS[job.vm_id] = there
    return {"snapshots": tuple(SnapshotFacts(**one.to_dict()) for one in there)}


def _failure(job: Job, done: list[Job]) -> Iterator[Report]:
    yield job.id, Event.START, {}
    yield job.id, Event.ERROR, {"error": ErrorReport(**{**UNREACHABLE, "left": ()})}
    for undone in [job, *reversed(done)]:
        yield undone.id, Event.ROLLBACK_START, {}
        yield undone.id, Event.ROLLBACK_DONE, {}


def _observed(job: Job) -> dict[str, Any] | None:
    if job.operation not in POWER_AFTER:
        return None
    return {
        "name": job.definition["name"], "uuid": job.vm_id, "power": POWER_AFTER[job.operation], "managed": True,
        "addresses": ["192.0.2.7"], "serial_log": None, "definition": job.definition,
    }  # fmt: skip
