# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What API and relay log: each line says what it is about, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
from click.testing import CliRunner

from runner_service.contract.log_lines import JsonForm, TextForm
from tests.webapi_world import World
from webapi import logs
from webapi.commands import api, relay
from webapi.services import outbox

log = logging.getLogger("webapi.test")


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What is logged, in JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonForm())
    logger = logging.getLogger("webapi")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def _lines(said: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_a_line_says_what_it_is_about_as_long_as_it_is(said: io.StringIO):
    with logs.about(datacenter="d1", task=None):
        with logs.about(request="r1"):
            log.info("inner %s", "line")
        log.warning("outer")
    log.error("elsewhere")
    inner, outer, elsewhere = _lines(said)
    assert (inner["message"], inner["level"], inner["logger"]) == ("inner line", "INFO", "webapi.test")
    assert (inner["datacenter"], inner["request"]) == ("d1", "r1")
    assert "task" not in inner and "request" not in outer and "datacenter" not in elsewhere
    assert datetime.fromisoformat(inner["at"]).utcoffset() is not None


def test_a_trace_is_part_of_its_line(said: io.StringIO):
    try:
        raise ValueError("a defect")
    except ValueError:
        log.exception("tripped")
    [line] = _lines(said)
    assert "ValueError: a defect" in line["exception"]


def test_another_thread_is_about_nothing(said: io.StringIO):
    with logs.about(task="t1"):
        other = threading.Thread(target=log.info, args=("from elsewhere",))
        other.start()
        other.join()
    [line] = _lines(said)
    assert "task" not in line


def test_text_says_it_at_the_end_of_the_line():
    record = logging.LogRecord("webapi.test", logging.INFO, "", 0, "asked", (), None)
    with logs.about(task="t1", request="r1"):
        assert TextForm().format(record).endswith("INFO webapi.test: asked task=t1 request=r1")


def test_the_way_of_a_task_is_found_by_its_id(world: World, said: io.StringIO):
    [vm] = world.site("web")["vms"]
    outbox.publish_pending(lambda *_: None)
    task = world.post(f"/vms/{vm['id']}/deploy")
    [request] = world.requests(task)
    outbox.publish_pending(lambda *_: None)
    world.runner(task).work()
    about = [line for line in _lines(said) if line.get("task") == task["id"]]
    assert [line["message"] for line in about] == [
        "DEPLOY of web for tester", "request published", "DEPLOY of web: FINISHED_SUCCESSFULLY",
    ]  # fmt: skip
    assert about[1]["request"] == request.id


@pytest.mark.parametrize("command", [api, relay])
def test_a_form_that_there_is_not_is_refused_by_its_variable(command):
    result = CliRunner().invoke(command, [], env={"MILLWRIGHT_LOG_FORMAT": "xml"})
    assert (result.exit_code, result.output) == (1, "Error: MILLWRIGHT_LOG_FORMAT must be text or json, not 'xml'\n")
