# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a run: all that its tasks said, but for secrets, and not too much."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from runner_service.contract.messages import Hypervisor
from runner_service.ports import Work
from runner_service.workers.trace import MAX_BYTES, trace_of
from runner_service.workers.verdict import MAX_RESULTS, MAX_TEXT, Listening
from tests.requests import job

STARTED = datetime(2026, 11, 25, 12, tzinfo=UTC)


def event(kind: str, task: str = "t", **result: Any) -> dict[str, Any]:
    return {"event": f"runner_on_{kind}", "event_data": {"task": task, "res": result}}


def trace(*events: dict[str, Any], secrets: tuple[str, ...] = (), check: bool = False) -> dict[str, Any]:
    heard = Listening("t")
    for told in events:
        heard.hear(told["event"], told["event_data"])
    hypervisor = Hypervisor(id="h-1", type="fake", url="fake:///x")
    work = Work(request_id="r-1", hypervisor=hypervisor, job=job("web", "configure"), check=check)
    told = trace_of(work, heard, STARTED, secrets)
    assert json.loads(json.dumps(told)) == told, "it goes into a message"
    return told


def test_a_trace_says_what_was_run_where_and_when() -> None:
    told = trace(check=True)
    assert (told["playbook"], told["check"]) == ("millwright.virt.configure", True)
    assert told["host"]
    assert STARTED <= datetime.fromisoformat(told["started_at"]) < datetime.fromisoformat(told["ended_at"])


def test_a_trace_has_the_results_of_all_tasks_in_order_and_the_hypervisors_words() -> None:
    told = trace(
        event("ok", "one", changed=True, vm={"name": "web"}), event("skipped", "two"),
        event("failed", "three", msg="m", detail="internal error: no"), event("unreachable", "four", msg="gone"),
    )  # fmt: skip
    assert told["results"] == [
        {"task": "one", "ok": True, "changed": True, "result": {"changed": True, "vm": {"name": "web"}}},
        {"task": "three", "ok": False, "changed": False, "result": {"msg": "m", "detail": "internal error: no"}},
        {"task": "four", "ok": False, "changed": False, "result": {"msg": "gone"}},
    ]
    assert told["hypervisor"] == ["internal error: no"]


def test_neither_secrets_nor_the_modules_arguments_are_in_a_trace() -> None:
    invocation = {"module_args": {"username": "admin"}}
    said = {
        "msg": "login as hunter2", "left": [{"hunter2.iso": ["hunter2"]}], "invocation": invocation,
        "_ansible_no_log": False, "results": [{"invocation": invocation, "_ansible_item": 1, "kept": 1}],
    }  # fmt: skip
    (result,) = trace(event("failed", **said), secrets=("hunter2",))["results"]
    assert result["result"] == {
        "msg": "login as ********", "left": [{"********.iso": ["********"]}], "results": [{"kept": 1}],
    }  # fmt: skip


def test_a_secret_is_not_shown_in_part_where_a_text_is_cut() -> None:
    text = "hunter2" + "x" * (MAX_TEXT - 3)
    assert "ter2" not in str(trace(event("ok", msg=text), secrets=("hunter2",)))


def test_long_texts_keep_their_end_and_say_what_is_missing() -> None:
    (result,) = trace(event("ok", msg="x" * MAX_TEXT + "the end"))["results"]
    assert result["result"]["msg"].startswith("[7 characters are left out] x")
    assert result["result"]["msg"].endswith("the end")


def test_a_trace_is_bounded_and_says_what_is_missing() -> None:
    large = event("ok", "large", lines=["x" * 1000] * 40)
    results = trace(large, large, event("ok", "small", changed=True))["results"]
    assert results[0]["result"]["lines"]
    assert results[1] == {
        "task": "large", "ok": True, "changed": False, "result": {"truncated": results[1]["result"]["truncated"]},
    }  # fmt: skip
    assert results[1]["result"]["truncated"].endswith("bytes are left out")
    assert results[2]["result"] == {"changed": True}
    many = trace(*[large] * 1000)["results"]
    assert len(many) == MAX_RESULTS
    assert len(json.dumps(many)) < MAX_BYTES * 1.5
