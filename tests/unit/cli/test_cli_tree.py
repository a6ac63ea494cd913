# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following a task: lines, outcome, exit code, Ctrl-C, and the tree that stays on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from subprocess import PIPE

import pytest
from rich.console import Console

from tests.unit.cli import fake_tasks
from tests.unit.cli.fake_api import TOKEN
from webapi.cli import picture, tree
from webapi.cli.client import Client
from webapi.cli.errors import Unreachable


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
    assert "broken / power on: failed in ?s, driver.unreachable" in lines
    assert result.stdout.count("Powering on VM 'broken' at qemu:///system failed") == 1
    assert lines.pop().startswith("  all that is known of it: millwright job show ")
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


def test_a_terminal_that_knows_ascii_only_sees_the_tree_too(address, ok, as_json, shop):
    ok("vm", "reconfigure", "web1", "--rename", "wéb☃")
    ok("vapp", "deploy", "shop")
    task_id = as_json("task", "list", "--type", "DEPLOY")["items"][0]["id"]
    program = [sys.executable, "-c", "from webapi.cli.main import main; main()", "task", "show", task_id]
    environment = {**os.environ, "MILLWRIGHT_API": address, "MILLWRIGHT_TOKEN": TOKEN, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(program, env=environment, capture_output=True, check=True).stdout.decode("ascii")
    assert "+-- + w?b?" in shown


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_task_that_nobody_takes_is_told_of_once(api, address, as_json, shop, monkeypatch, on_terminal):
    api.holds = True
    started = as_json("vapp", "deploy", "shop", "--no-wait")
    screen = Console(file=io.StringIO(), force_terminal=on_terminal, width=120, height=24)
    monkeypatch.setattr(picture, "_SUSPICIOUS", timedelta(0))
    monkeypatch.setattr(tree, "PATIENCE", 0)
    api.down = range(len(api.asked) + 5, 10**6)
    with Client(address, TOKEN) as client, pytest.raises(Unreachable):
        tree.follow(client, started["id"], screen)
    said = screen.file.getvalue()
    assert "Are millwright relay and a runner of the datacenter at work?" in said
    assert on_terminal or said.count("Are millwright relay") == 1


def test_on_a_terminal_the_tree_stays_as_it_ended(address, as_json, shop):
    started = as_json("vapp", "deploy", "shop", "--no-wait")
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    with Client(address, TOKEN) as client:
        ended = tree.follow(client, started["id"], screen)
    assert ended["state"] == "FINISHED_SUCCESSFULLY"
    last = screen.file.getvalue().rpartition("deploy shop at kvm-1")[2]
    assert last.count("✔") >= 6
    assert "Deploy shop finished in" in last


def test_a_cancelled_task_is_followed_to_its_end_and_that_is_success(ok, as_json, millwright, shop):
    ok("vm", "create", "idle", "--vapp", "shop", "--template", "tiny", "--memory-mib", "64")
    started = as_json("vm", "deploy", "idle", "--no-wait")
    said = ok("task", "cancel", started["id"][:8])
    assert "Deploy idle was cancelled after" in said
    assert as_json("vm", "show", "idle")["locked_by"] is None
    refused = millwright("task", "cancel", started["id"])
    assert refused.exit_code == 1
    assert "[task.ended]" in refused.stderr
    assert millwright("task", "watch", started["id"]).exit_code == 1


def test_who_cancels_and_does_not_wait_learns_what_has_become_of_it(ok, as_json, shop, api, monkeypatch):
    api.holds = True
    started = as_json("vapp", "deploy", "shop", "--no-wait")
    with monkeypatch.context() as patch:
        patch.setattr(fake_tasks, "end_early", lambda *_: None)
        said = ok("task", "cancel", started["id"], "--no-wait")
    assert said == f"Task {started['id']} is being cancelled. Watch it:\n  millwright task watch {started['id']}\n"
    assert ok("task", "cancel", started["id"], "--no-wait") == f"Task {started['id']} was cancelled.\n"


def test_a_task_is_abandoned_only_by_who_says_so_and_force_says_what_it_means(ok, as_json, millwright, shop, api):
    api.holds = True
    started = as_json("vapp", "deploy", "shop", "--no-wait")
    refused = millwright("task", "abandon", started["id"], "--yes")
    assert (refused.exit_code, "[task.not_lost]" in refused.stderr) == (1, True)
    asked = millwright("task", "abandon", started["id"], "--force")
    assert (asked.exit_code, "A runner may be at work on it" in asked.stderr) == (1, True)
    assert as_json("task", "show", started["id"])["ended_at"] is None
    assert ok("task", "abandon", started["id"][:8], "--force", "--yes") == f"Task {started['id']} was abandoned.\n"
    assert as_json("task", "show", started["id"])["state"] == "FINISHED_UNSUCCESSFULLY"
    assert "[task.ended]" in millwright("task", "abandon", started["id"], "--yes").stderr
