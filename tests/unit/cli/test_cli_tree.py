# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a task: the tree, the lines, the outcome, and Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from subprocess import PIPE

import pytest
from rich.console import Console

from runner_service.contract.states import FINAL_TASK_STATES, JobState, RollbackState, TaskState
from tests.unit.cli.fake_api import TOKEN
from webapi.cli import tree
from webapi.cli.client import Client
from webapi.cli.nodes import ENDED, STATUS, Node, Rollback
from webapi.cli.picture import duration, fit, news, outcome, picture

START = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def job(operation: str, state: str, **fields) -> dict:
    started = None if state in ("PENDING", "ABORTED") else START.isoformat()
    ended = None if state in ("PENDING", "STARTED") else (START + timedelta(seconds=3)).isoformat()
    base = {"rollback_state": "NONE", "hypervisor_name": "kvm-1", "error": None}
    return {
        "id": f"job-{operation}-{id(fields)}", "kind": "job", "operation": operation, "state": state, **base,
        "started_at": started, "ended_at": ended, **fields,
    }  # fmt: skip


def task(name: str, state: str, *children: dict, **fields) -> dict:
    started = None if state == "QUEUED" else START.isoformat()
    ended = None if state in ("QUEUED", "STARTED") else (START + timedelta(seconds=4)).isoformat()
    return {
        "id": f"task-{name}", "kind": "task", "type": "DEPLOY", "name": name, "state": state, "error": None,
        "started_at": started, "ended_at": ended, "children": list(children), **fields,
    }  # fmt: skip


UNREACHABLE = {
    "code": "driver.unreachable", "message": "Connecting to qemu://far failed", "detail": "no route\nto host",
    "left": ["web2-root.qcow2"],
}  # fmt: skip


def deploying() -> Node:
    done = task("web1", "FINISHED_SUCCESSFULLY", job("configure", "DONE"), job("power_on", "DONE"))
    failed = task(
        "web2", "FINISHED_UNSUCCESSFULLY", job("configure", "FAILED", error=UNREACHABLE, rollback_state="FAILED"),
        job("power_on", "ABORTED"),
    )  # fmt: skip
    waiting = task("web3", "QUEUED", job("configure", "PENDING"), job("power_on", "PENDING"))
    return Node.of(task("shop", "STARTED", done, failed, waiting))


def drawn(node: Node, *, room: int = 50, width: int = 80, ascii_only: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(picture(node, START + timedelta(seconds=5), room, ascii_only=ascii_only))
    return console.file.getvalue().splitlines()


def test_the_client_knows_every_state_that_the_services_have():
    assert set(STATUS) == set(TaskState) | set(JobState)
    assert set(Rollback) == set(RollbackState)
    assert {state for state in TaskState if STATUS[state] in ENDED} == FINAL_TASK_STATES


def test_a_tree_shows_state_time_and_why():
    assert [line.rstrip() for line in drawn(deploying())] == [
        "⠋ deploy shop at kvm-1    5.0s",
        "├── ✔ web1                4.0s",
        "│   ├── ✔ configure       3.0s",
        "│   └── ✔ power on        3.0s",
        "├── ✘ web2                4.0s  failed",
        "│   ├── ✘ configure       3.0s  ROLLBACK FAILED, driver.unreachable: Connecting…",
        "│   └── ⊘ power on              aborted",
        "└── ○ web3                      waiting",
        "    ├── ○ configure             waiting",
        "    └── ○ power on              waiting",
    ]


def test_a_tree_needs_no_more_than_ascii_where_there_is_no_more():
    assert "x web2" in drawn(deploying(), ascii_only=True)[4]


def test_each_job_names_its_hypervisor_where_there_are_several():
    node = Node.of(task("shop", "STARTED", job("configure", "DONE"), job("configure", "DONE", hypervisor_name="kvm-2")))
    assert [line.split("  ")[0] for line in drawn(node)] == [
        "⠋ deploy shop", "├── ✔ configure at kvm-1", "└── ✔ configure at kvm-2",
    ]  # fmt: skip


@pytest.mark.parametrize(("room", "lines"), [(10, 10), (9, 6), (6, 6), (5, 6)])
def test_a_tree_folds_what_is_calm_to_fit_its_room(room, lines):
    fitted = fit(deploying(), room)
    assert sum(1 for _ in fitted.walk()) == lines
    assert "web2" in [node.label for node, _ in fitted.walk()]


def test_a_hundred_vms_fit_a_terminal():
    vms = [task(f"web{n}", "FINISHED_SUCCESSFULLY", job("configure", "DONE")) for n in range(60)]
    vms += [task(f"db{n}", "QUEUED", job("configure", "PENDING")) for n in range(39)]
    vms += [task("cache", "STARTED", job("configure", "STARTED"))]
    shown = "\n".join(drawn(Node.of(task("shop", "STARTED", *vms)), room=22))
    assert len(shown.splitlines()) == 5
    assert "60 more done" in shown
    assert "39 more waiting" in shown
    assert "cache" in shown


def test_news_are_what_has_changed_in_order_of_time():
    before = Node.of(task("shop", "STARTED", task("web1", "QUEUED", job("configure", "PENDING"), id="1")))
    later = (START + timedelta(seconds=1)).isoformat()
    after = Node.of(
        task("shop", "FINISHED_SUCCESSFULLY", task("web1", "FINISHED_SUCCESSFULLY",
             job("configure", "DONE"), job("power_on", "DONE", started_at=later), id="1"))
    )  # fmt: skip
    assert news(before, after) == [
        "web1 / configure: done in 3.0s",
        "web1 / power on: done in 2.0s",
        "web1: done in 4.0s",
        "deploy shop: done in 4.0s",
    ]
    assert news(after, after) == []


def test_the_first_news_pass_over_what_waits():
    node = Node.of(task("shop", "QUEUED", task("web1", "QUEUED")))
    assert news(None, node) == ["deploy shop: waiting"]


def test_an_outcome_gives_each_failure_in_the_hypervisors_own_words():
    failed = task(
        "web2", "FINISHED_UNSUCCESSFULLY", job("configure", "FAILED", error=UNREACHABLE, rollback_state="DONE")
    )
    lines = [line.plain for line in outcome(Node.of(task("shop", "FINISHED_UNSUCCESSFULLY", failed)))]
    assert lines == [
        "Deploy shop failed after 4.0s.",
        "",
        "web2 / configure at kvm-1 [driver.unreachable]",
        "  Connecting to qemu://far failed",
        "  the hypervisor says: no route",
        "  to host",
        "  left behind: web2-root.qcow2",
        "  rolled back",
    ]


def test_an_outcome_tells_a_failure_once_where_it_happened():
    jobs = job("configure", "FAILED", error=UNREACHABLE)
    part = task("web2", "FINISHED_UNSUCCESSFULLY", jobs, error=UNREACHABLE)
    node = Node.of(task("shop", "FINISHED_UNSUCCESSFULLY", part, error=UNREACHABLE))
    assert [line.plain for line in outcome(node)].count("  Connecting to qemu://far failed") == 1
    assert sum("driver.unreachable" in line for line in drawn(node)) == 1


def test_an_outcome_tells_a_failure_that_no_job_had():
    dead = {"code": "request.dead", "message": "no runner could handle the request", "left": []}
    lines = [line.plain for line in outcome(Node.of(task("shop", "FINISHED_UNSUCCESSFULLY", error=dead)))]
    assert lines[2:] == ["deploy shop [request.dead]", "  no runner could handle the request"]


def test_an_outcome_says_why_undoing_failed():
    error = {**UNREACHABLE, "rollback": {"code": "driver.failed", "message": "Deleting web2 failed"}}
    node = Node.of(
        task("web2", "FINISHED_UNSUCCESSFULLY", job("configure", "FAILED", error=error, rollback_state="FAILED"))
    )
    assert outcome(node)[-1].plain == "  ROLLBACK FAILED: Deleting web2 failed"


@pytest.mark.parametrize("state", ["CANCELLED", "ABORTED"])
def test_an_outcome_names_an_end_that_nobody_waited_for(state):
    assert outcome(Node.of(task("shop", state)))[0].plain == f"Deploy shop was {state.lower()} after 4.0s."


def test_a_time_is_never_negative_where_clocks_differ():
    node = Node.of(task("shop", "STARTED"))
    assert node.seconds(START - timedelta(hours=1)) == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (0.04, "0.0s"), (59.9, "59.9s"), (61, "1m01s"), (3700, "1h01m")]
)
def test_durations_are_short(seconds, words):
    assert duration(seconds) == words


def timeless(text: str) -> list[str]:
    return re.sub(r"\d+\.\ds", "?s", text).splitlines()


def test_a_task_is_followed_to_its_end_line_by_line(ok, as_json, shop):
    lines = timeless(ok("vapp", "deploy", "shop"))
    assert lines[0] == "deploy shop: started"
    assert [line for line in lines if line.startswith("web1")] == [
        "web1: started", "web1 / configure: started", "web1 / configure: done in ?s", "web1 / power on: started",
        "web1 / power on: done in ?s", "web1: done in ?s",
    ]  # fmt: skip
    assert lines[-2:] == ["deploy shop: done in ?s", "Deploy shop finished in ?s."]
    assert as_json("vapp", "show", "shop")["state"] == "DEPLOYED"


def test_the_json_of_followed_work_is_the_ended_task_and_its_lines_go_beside_it(millwright, shop):
    result = millwright("vapp", "deploy", "shop", "-o", "json")
    assert json.loads(result.stdout)["state"] == "FINISHED_SUCCESSFULLY"
    assert "web1 / configure: started" in result.stderr


def test_a_task_that_fails_ends_with_code_one_and_with_why(millwright, ok, shop):
    ok("vm", "create", "broken", "--vapp", "shop", "--template", "tiny", "--memory-mib", "64")
    result = millwright("vapp", "deploy", "shop")
    assert result.exit_code == 1
    lines = timeless(result.stdout)
    assert "broken / configure: done in ?s, rolled back" in lines
    assert any(line.startswith("broken / power on: failed in ?s, driver.unreachable: Powering on") for line in lines)
    assert lines[-6:] == [
        "Deploy shop failed after ?s.",
        "",
        "broken / power on at kvm-1 [driver.unreachable]",
        "  Powering on VM 'broken' at qemu:///system failed",
        "  the hypervisor says: Cannot recv data: Connection reset by peer",
        "  rolled back",
    ]


def test_a_finished_task_that_failed_is_shown_with_why(millwright, ok, as_json, shop):
    ok("vm", "create", "broken", "--vapp", "shop", "--template", "tiny", "--memory-mib", "64")
    millwright("vm", "deploy", "broken")
    task_id = as_json("task", "list", "--type", "DEPLOY")["items"][0]["id"]
    assert "the hypervisor says: Cannot recv data" in ok("task", "show", task_id)
    assert millwright("task", "watch", task_id).exit_code == 1


def test_who_does_not_wait_learns_how_to_watch(ok, as_json, shop):
    said = ok("vapp", "deploy", "shop", "--no-wait")
    task_id = as_json("task", "list", "--type", "DEPLOY")["items"][0]["id"]
    assert said == f"Task {task_id} was accepted. Watch it:\n  millwright task watch {task_id}\n"
    assert "Deploy shop finished" in ok("task", "watch", task_id[:8])


def test_ctrl_c_leaves_the_task_and_says_how_to_watch_it(api, address, as_json, shop):
    api.holds = True
    program = [sys.executable, "-c", "from webapi.cli.main import main; main()", "vapp", "deploy", "shop"]
    environment = {**os.environ, "MILLWRIGHT_API": address, "MILLWRIGHT_TOKEN": TOKEN}
    with subprocess.Popen(program, env=environment, stdout=PIPE, stderr=PIPE, text=True) as run:
        assert run.stdout.readline() == "deploy shop: waiting\n"
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=20)
    task = as_json("task", "list", "--type", "DEPLOY")["items"][0]
    assert run.returncode == 130
    assert said.strip() == f"The task goes on without you. Watch it:\n  millwright task watch {task['id']}"
    assert task["state"] == "QUEUED"


def test_on_a_terminal_the_tree_stays_as_it_ended(address, as_json, shop):
    started = as_json("vapp", "deploy", "shop", "--no-wait")
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    with Client(address, TOKEN) as client:
        ended = tree.follow(client, started["id"], screen)
    assert ended["state"] == "FINISHED_SUCCESSFULLY"
    last = screen.file.getvalue().rpartition("deploy shop at kvm-1")[2]
    assert last.count("✔") >= 6
    assert "Deploy shop finished in" in last
