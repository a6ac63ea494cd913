# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API on a database of its own, with clients and runners that speak to it as real ones do."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import flask_migrate
from flask import Flask
from sqlalchemy import select

from runner_service.contract.messages import ErrorReport, Job, Mode, Task, TaskRequest, Update
from runner_service.contract.operations import Operation
from runner_service.contract.states import Event
from webapi.app import create_app
from webapi.database import db
from webapi.models import Request
from webapi.services import tokens, updates
from webapi.settings import Settings

Json = Any

BASE = "/api/v1"
AT = "2026-11-22T12:00:00+00:00"
HOST = {
    "name": "kvm", "hypervisor_type": "fake", "version": "1", "cores": 8, "memory_mib": 1024, "free_memory_mib": 900,
    "pools": {"default": {"capacity_mib": 100000, "free_mib": 90000}}, "networks": ["default"], "acceleration": "",
}  # fmt: skip
BROKEN = ErrorReport(code="driver.failed", message="starting VM failed", detail="no such bridge", left=())

#: The power state in which each operation leaves a VM; None: there is no VM any more.
POWER_AFTER = {
    Operation.CONFIGURE: "off", Operation.RECONFIGURE: "off", Operation.UNCONFIGURE: None, Operation.POWER_ON: "on",
    Operation.POWER_OFF: "off", Operation.SHUTDOWN: "off", Operation.RESET: "on", Operation.PAUSE: "paused",
    Operation.RESUME: "on", Operation.GET_STATE: "on",
}  # fmt: skip


def observed(power: str | None) -> Json:
    """A VM as a runner reports it."""
    return power and {"name": "x", "uuid": "x", "power": power, "managed": True, "addresses": ["192.0.2.7"]}


class Runner:
    """Works on one request and reports as the real runner does. Its updates are applied at once, without a broker."""

    def __init__(self, request: TaskRequest, attempt: int = 1):
        self.request = request
        self.attempt = attempt
        self._sequence = count(1)

    @property
    def root(self) -> Task:
        return self.request.task

    def update(self, node: str, event: Event, **more: Any) -> Update:
        """The next update, not sent yet."""
        return Update(
            request_id=self.request.id, attempt=self.attempt, sequence=next(self._sequence), node_id=node, event=event,
            at=AT, runner="runner-1", **more,
        )  # fmt: skip

    def say(self, node: Job | Task, event: Event, **more: Any) -> Update:
        """Report, and give what was reported."""
        update = self.update(node.id, event, **more)
        updates.apply(update)
        return update

    def work(self, failing: Iterable[Operation] = ()) -> None:
        """Do all of the request; operations in ``failing`` fail, and their tasks are rolled back."""
        self._task(self.root, frozenset(failing))

    def _task(self, task: Task, failing: frozenset[Operation]) -> bool:
        self.say(task, Event.START)
        well, done = True, []
        for child in task.children:
            if not well and task.mode is Mode.SEQUENTIAL:
                self.say(child, Event.ABORTED)
                continue
            done.append(child)
            well &= self._task(child, failing) if isinstance(child, Task) else self._job(child, failing)
        if not well:
            self._undo([child for child in done if isinstance(child, Job)])
        self.say(task, Event.DONE if well else Event.ERROR)
        return well

    def _job(self, job: Job, failing: frozenset[Operation]) -> bool:
        self.say(job, Event.START)
        if job.operation in failing:
            self.say(job, Event.ERROR, error=BROKEN)
            return False
        if job.operation is Operation.DISCOVER:
            self.say(job, Event.DONE, changed=False, host=HOST)
        else:
            self.say(job, Event.DONE, changed=True, vm=observed(POWER_AFTER.get(job.operation)))
        return True

    def _undo(self, jobs: list[Job]) -> None:
        for job in reversed(jobs):
            if job.operation is not Operation.DISCOVER:
                self.say(job, Event.ROLLBACK_START)
                self.say(job, Event.ROLLBACK_DONE)


class World:
    """A client of the API, and what is at the other end of its outbox."""

    def __init__(self, app: Flask):
        """The app's database must have its tables."""
        self.app = app
        self.client = app.test_client()
        with app.app_context():
            self.token = tokens.create("tester")
        self._numbers = count(1)

    def ask(self, method: str, path: str, body: Json = None, **more: Any) -> Any:
        """The response to a request by the tester."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.client.open(BASE + path, method=method, json=body, headers=headers, **more)

    def get(self, path: str) -> Json:
        return self._good(self.ask("GET", path))

    def post(self, path: str, body: Json = None) -> Json:
        return self._good(self.ask("POST", path, body))

    def _good(self, response: Any) -> Json:
        assert response.status_code < 300, response.json
        return response.json

    def refused(self, method: str, path: str, body: Json = None, status: int = 409) -> Json:
        response = self.ask(method, path, body)
        assert response.status_code == status, response.json
        return response.json

    # -- what is there

    def datacenter(self, **more: Any) -> Json:
        return self.post("/datacenters", {"name": f"dc{next(self._numbers)}", **more})

    def hypervisor(self, datacenter: Json, *, memory_mib: int = 1024, **more: Any) -> Json:
        """A registered hypervisor that has answered."""
        number = next(self._numbers)
        body = {"datacenter_id": datacenter["id"], "name": f"h{number}", "type": "fake", "url": f"fake:///{number}"}
        task = self.post("/hypervisors", body | more)
        runner = self.runner(task)
        runner.say(runner.root, Event.START)
        runner.say(runner.root.children[0], Event.START)
        runner.say(runner.root.children[0], Event.DONE, changed=False, host=HOST | {"memory_mib": memory_mib})
        runner.say(runner.root, Event.DONE)
        return self.get(f"/hypervisors/{task['owner']['id']}")

    def vdc(self, datacenter: Json) -> Json:
        body = {"datacenter_id": datacenter["id"], "name": f"v{next(self._numbers)}", "hypervisor_type": "fake"}
        return self.post("/virtualdatacenters", body)

    def appliance(self, vdc: Json, *definitions: Json, **more: Any) -> Json:
        vms = [{"definition": definition} | more for definition in definitions]
        body = {"virtualdatacenter_id": vdc["id"], "name": f"a{next(self._numbers)}", "vms": vms}
        return self.post("/virtualappliances", body)

    def site(self, *names: str, hypervisors: int = 1) -> Json:
        """An appliance of small VMs in a datacenter that has a place for them."""
        datacenter = self.datacenter()
        for _ in range(hypervisors):
            self.hypervisor(datacenter)
        return self.appliance(self.vdc(datacenter), *(small(name) for name in names or ("web",)))

    def vm(self, vm: Json) -> Json:
        return self.get(f"/vms/{vm['id']}")

    # -- what becomes of it

    def requests(self, task: Json) -> list[TaskRequest]:
        """What is being asked of runners for a task."""
        with self.app.app_context():
            open_ones = select(Request.body).filter_by(task_id=task["id"], outcome=None).order_by(Request.number)
            return [TaskRequest.decode(body.encode()) for body in db.session.scalars(open_ones)]

    def runner(self, task: Json, attempt: int = 1, number: int = 0) -> Runner:
        return Runner(self.requests(task)[number], attempt)

    def carry_out(self, task: Json, failing: Iterable[Operation] = ()) -> Json:
        """Let runners work on the task, and give what has become of it."""
        for request in self.requests(task):
            Runner(request).work(failing)
        return self.get(f"/tasks/{task['id']}")

    def deployed(self, appliance: Json) -> Json:
        task = self.carry_out(self.post(f"/virtualappliances/{appliance['id']}/deploy"))
        assert task["state"] == "FINISHED_SUCCESSFULLY"
        return self.get(f"/virtualappliances/{appliance['id']}")


def small(name: str, **more: Any) -> Json:
    return {"name": name, "memory_mib": 64, **more}


def jobs_of(task: Json) -> list[Json]:
    """All jobs below a task, in order."""
    if task["kind"] == "job":
        return [task]
    return [job for child in task["children"] for job in jobs_of(child)]


def migrate(database_url: str) -> None:
    """Give an empty database its tables."""
    app = create_app(Settings(database_url=database_url))
    with app.app_context():
        flask_migrate.upgrade()
        db.engine.dispose()


def world_on(database_url: str) -> World:
    return World(create_app(Settings(database_url=database_url)))
