# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API and the relay as processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import httpx
import pytest

from tests.waiting import wait_until
from tests.webapi_world import World

MILLWRIGHT = Path(sys.executable).with_name("millwright")


@contextmanager
def process(*arguments: str, log: Path | None = None, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") if log else nullcontext() as stderr:
        started = subprocess.Popen([MILLWRIGHT, *arguments], env={**os.environ, **environment}, stderr=stderr)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@pytest.fixture
def address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _answer(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return None


def test_the_api_serves_and_ends_when_told(world: World, database_url: str, address: str):
    with process("api", "--bind", address, DATABASE_URL=database_url) as api:
        health = wait_until(lambda: _answer(f"http://{address}/api/v1/health"), 30, "the API")
        assert health.json()["status"] == "ok"
        headers = {"Authorization": f"Bearer {world.token}"}
        assert httpx.get(f"http://{address}/api/v1/vms", headers=headers, trust_env=False).json()["items"] == []
        api.send_signal(signal.SIGTERM)
        assert api.wait(30) == 0


def test_an_api_whose_master_was_killed_starts_again_at_once(world: World, database_url: str, address: str):
    def children(of: subprocess.Popen[bytes]) -> list[int]:
        return [int(child) for child in Path(f"/proc/{of.pid}/task/{of.pid}/children").read_text().split()]

    with process("api", "--bind", address, DATABASE_URL=database_url) as api:
        wait_until(lambda: _answer(f"http://{address}/api/v1/health"), 60, "the API")
        [worker] = children(api)
        api.kill()
        # Long before it would notice by itself that it has another parent.
        wait_until(lambda: not _is_alive(worker), 5, "the worker to end, too")
    with process("api", "--bind", address, DATABASE_URL=database_url) as api:
        wait_until(lambda: _answer(f"http://{address}/api/v1/health"), 60, "the next API")
        assert api.poll() is None


def _is_alive(process_id: int) -> bool:
    """A zombie that nobody has asked about is not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_relay_works_as_soon_as_there_is_a_broker_and_ends_when_told(
    world: World, database_url: str, amqp_vhost_url: str
):
    with process("relay", DATABASE_URL=database_url, AMQP_URL=amqp_vhost_url) as relay:
        wait_until(lambda: world.get("/health")["relay"], 30, "the relay's sign of life")
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(30) == 0


def test_api_and_relay_log_an_object_a_line_and_the_api_tells_figures(
    world: World, database_url: str, amqp_vhost_url: str, address: str, tmp_path: Path
):
    task = world.post(f"/vms/{world.site('web')['vms'][0]['id']}/deploy")
    told = {"DATABASE_URL": database_url, "AMQP_URL": amqp_vhost_url, "MILLWRIGHT_LOG_FORMAT": "json"}
    logs = {name: tmp_path / f"{name}.log" for name in ("api", "relay")}
    with process("api", "--bind", address, log=logs["api"], **told), process("relay", log=logs["relay"], **told):
        wait_until(lambda: task["id"] in logs["relay"].read_text(), 30, "the relay to publish the request")
        wait_until(lambda: _answer(f"http://{address}/api/v1/health"), 30, "the API")
        headers = {"Authorization": f"Bearer {world.token}"}
        figures = httpx.get(f"http://{address}/metrics", headers=headers, trust_env=False).text
    assert "millwright_open_requests 1.0" in figures and "millwright_relay_seen_seconds" in figures
    lines = [json.loads(line) for log in logs.values() for line in log.read_text().splitlines()]
    assert {"INFO"} <= {line["level"] for line in lines}
    [published] = [line for line in lines if line.get("task") == task["id"]]
    assert (published["message"], published["request"]) == ("request published", world.requests(task)[0].id)
