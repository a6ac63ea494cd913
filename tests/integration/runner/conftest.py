# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runner process, the API's side of its queues, and a fake hypervisor in a directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from runner_service.contract.control import Control, RunnerStatus, Word, decode_control, encode_control
from runner_service.contract.messages import TaskRequest, Update
from runner_service.contract.states import Event
from runner_service.contract.topology import CONTROL_EXCHANGE, REASON_HEADER, REQUESTS_EXCHANGE, Topology
from runner_service.queue_manager.connection import declare
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
FINAL = {Event.DONE, Event.ERROR, Event.ABORTED, Event.CANCELLED}


@dataclass
class Api:
    """The API's side of a datacenter's queues."""

    channel: BlockingChannel
    topology: Topology
    updates: list[Update] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    #: The latest status of each runner, by its name.
    runners: dict[str, RunnerStatus] = field(default_factory=dict)

    def send(self, request: TaskRequest) -> None:
        self.send_raw(request.encode(), self.topology.in_queue_for(request.hypervisor.id))

    def send_raw(self, body: bytes, queue: str) -> None:
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
        self.channel.basic_publish(REQUESTS_EXCHANGE, queue, body, properties, mandatory=True)

    def listen(self) -> None:
        """Take updates and dead letters from now on."""
        self.channel.basic_consume(self.topology.out_queue, self._updated, auto_ack=True)
        self.channel.basic_consume(self.topology.dead_queue, self._buried, auto_ack=True)
        statuses = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.queue_bind(statuses, CONTROL_EXCHANGE, self.topology.status_key)
        self.channel.basic_consume(statuses, self._said, auto_ack=True)

    def _said(self, _channel: BlockingChannel, _method: object, _properties: object, body: bytes) -> None:
        status = decode_control(body)
        assert isinstance(status, RunnerStatus)
        self.runners[status.name] = status

    def tell(self, message: Control) -> None:
        self.channel.basic_publish(CONTROL_EXCHANGE, self.topology.control_key, encode_control(message))

    def _updated(self, _channel: BlockingChannel, _method: object, _properties: object, body: bytes) -> None:
        update = Update.decode(body)
        self.updates.append(update)
        if update.event is Event.AGAIN:
            self.answer(update)

    def answer(self, asked: Update) -> None:
        """A request is to be carried out, unless its end was reported."""
        ended = any(
            (update.request_id, update.node_id) == (asked.request_id, asked.node_id) and update.event in FINAL
            for update in self.updates
        )
        crashes = {
            update.attempt
            for update in self.updates
            if update.request_id == asked.request_id and update.event is not Event.AGAIN
        } - {asked.attempt}
        self.tell(Word(request_id=asked.request_id, attempt=asked.attempt, go=not ended, crashes=len(crashes)))

    def _buried(
        self, _channel: BlockingChannel, _method: object, properties: pika.BasicProperties, _body: bytes
    ) -> None:
        self.reasons.append(properties.headers[REASON_HEADER])

    def read(self) -> list[Update]:
        """All updates so far, in the order in which they came; dead letters' reasons are in ``reasons``."""
        self.channel.connection.process_data_events(0)
        return self.updates

    def wait_for(self, node_id: str, *events: Event, timeout: float = 60) -> Update:
        """The first update about the node with one of the events; without events, one that ends it."""
        wanted = set(events) or FINAL

        def found() -> Update | None:
            matching = (update for update in self.read() if update.node_id == node_id and update.event in wanted)
            return next(matching, None)

        return wait_until(found, timeout, f"{' or '.join(wanted)} of {node_id}")

    def events(self, node_id: str, attempt: int | None = None) -> list[Event]:
        return [
            update.event for update in self.updates if update.node_id == node_id and attempt in (None, update.attempt)
        ]

    def waiting(self) -> int:
        """Requests that nobody holds."""
        return sum(self._count(queue) for queue in self.topology.in_queues)

    def _count(self, queue: str) -> int:
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)


@pytest.fixture
def api(amqp_vhost_url: str) -> Iterator[Api]:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_vhost_url))
    channel = connection.channel()
    topology = Topology("dc-1", partitions=2)
    declare(channel, topology)
    channel.confirm_delivery()
    api = Api(channel, topology)
    api.listen()
    yield api
    connection.close()


@pytest.fixture
def hypervisor(tmp_path: Path) -> Store:
    """A fake hypervisor at ``fake://<directory>``."""
    directory = tmp_path / "hypervisor"
    directory.mkdir()
    return Store(directory)


@dataclass
class RunnerProcess:
    """``millwright runner`` as people start it."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", "from runner_service.commands import runner; runner()"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, cwd=self.log.parent)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, as an operator stops it; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    @property
    def said(self) -> str:
        return self.log.read_text()


@pytest.fixture
def new_runner(amqp_vhost_url: str, api: Api, tmp_path: Path) -> Iterator[Callable[..., RunnerProcess]]:
    """Makes runners, not started yet; those that run at the end are stopped."""
    run_dir = tmp_path / "runs"
    run_dir.mkdir()
    made: list[RunnerProcess] = []

    def new(name: str = "runner", **settings: str) -> RunnerProcess:
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}:{ROOT / '.collections'}",
            "AMQP_URL": amqp_vhost_url,
            "MILLWRIGHT_DATACENTER": api.topology.datacenter_id,
            "MILLWRIGHT_PARTITIONS": str(api.topology.partitions),
            "MILLWRIGHT_RUN_DIR": str(run_dir),
            "MILLWRIGHT_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "MILLWRIGHT_RUNNER_NAME": name,
            "MILLWRIGHT_RETRY_DELAY": "0.1",
            "MILLWRIGHT_MAX_TRIES": "2",
            "MILLWRIGHT_GRACE": "30",
            "MILLWRIGHT_FENCE": "1",
        }
        made.append(RunnerProcess(environment | settings, tmp_path / f"{name}.log"))
        return made[-1]

    yield new
    for runner in made:
        if runner.process is not None and runner.process.poll() is None:
            runner.stop()


@pytest.fixture
def runner(new_runner: Callable[..., RunnerProcess]) -> RunnerProcess:
    """A runner, running."""
    runner = new_runner()
    runner.start()
    return runner
