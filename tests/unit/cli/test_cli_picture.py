# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a task looks: the tree, the lines, the outcome. Pure."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from runner_service.contract.states import FINAL_TASK_STATES, JobState, RollbackState, TaskState
from webapi.cli.nodes import ENDED, STATUS, Node, Rollback
from webapi.cli.picture import duration, fit, neglect, news, outcome, picture

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


def titles(lines: list[str]) -> list[str]:
    return [re.split(r"(?<=\w)  ", line)[0] for line in lines]


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


def test_a_job_that_runs_again_says_so():
    node = Node.of(task("web1", "STARTED", job("configure", "STARTED", attempt=2)))
    assert drawn(node)[1].rstrip().endswith("attempt 2")


def test_each_job_names_its_hypervisor_where_there_are_several():
    node = Node.of(
        task(
            "shop", "FINISHED_SUCCESSFULLY", job("configure", "DONE"), job("configure", "DONE", hypervisor_name="kvm-2")
        )
    )
    assert titles(drawn(node)) == [
        "✔ deploy shop", "├── ✔ configure at kvm-1", "└── ✔ configure at kvm-2",
    ]  # fmt: skip


@pytest.mark.parametrize(("room", "lines"), [(10, 10), (9, 6), (6, 6), (5, 4)])
def test_a_tree_folds_what_is_calm_to_fit_its_room(room, lines):
    fitted = fit(deploying(), room)
    assert sum(1 for _ in fitted.walk()) == lines


def farm(**states: int) -> Node:
    """A task with so many VMs that are done, waiting, running and failed."""
    jobs = {
        "done": ("FINISHED_SUCCESSFULLY", [job("configure", "DONE")]),
        "waiting": ("STARTED", [job("configure", "PENDING"), job("power_on", "PENDING")]),
        "running": ("STARTED", [job("configure", "DONE"), job("power_on", "STARTED")]),
        "failed": ("FINISHED_UNSUCCESSFULLY", [job("configure", "FAILED", error=UNREACHABLE)]),
    }
    vms = [
        task(f"{word}{n}", states_of[0], *states_of[1], error=UNREACHABLE if word == "failed" else None)
        for word, times in states.items()
        for n in range(times)
        for states_of in [jobs[word]]
    ]
    return Node.of(task("farm", "STARTED", *vms))


def test_a_vm_whose_jobs_all_wait_is_waiting_although_its_task_has_started():
    assert titles(drawn(farm(waiting=1))) == [
        "○ deploy farm at kvm-1", "└── ○ waiting0", "    ├── ○ configure", "    └── ○ power on",
    ]  # fmt: skip


def test_what_runs_stays_where_a_hundred_vms_do_not_fit():
    assert titles(drawn(farm(done=60, waiting=38, running=2), room=22)) == [
        "⠋ deploy farm at kvm-1",
        "├── ⠋ running0", "│   ├── ✔ configure", "│   └── ⠋ power on",
        "├── ⠋ running1", "│   ├── ✔ configure", "│   └── ⠋ power on",
        "├── ✔ 60 more done", "└── ○ 38 more waiting",
    ]  # fmt: skip


def test_what_runs_is_told_briefly_where_it_is_much():
    lines = drawn(farm(done=60, running=12), room=22)
    assert lines[0].startswith("⠋ deploy farm")
    assert lines[1].startswith("├── ⠋ running0 / power on")
    assert len(lines) == 14


def test_what_runs_is_counted_where_it_is_too_much_and_failures_stay():
    lines = drawn(farm(done=60, running=40, waiting=100, failed=3), room=22)
    assert len(lines) <= 22
    assert sum("✘ failed" in line and "driver.unreachable" in line for line in lines) == 3
    assert any("27 more running" in line for line in lines)
    assert any("100 more waiting" in line for line in lines)


@pytest.mark.parametrize("room", range(1, 24))
def test_a_tree_never_loses_a_vm(room):
    fitted = fit(farm(done=5, running=4, waiting=7, failed=2), room)
    assert sum(child.stands_for or 1 for child in fitted.children) == 18


def test_a_long_name_leaves_room_for_times_and_reasons():
    node = Node.of(task("n" * 71, "STARTED", job("configure", "FAILED", error=UNREACHABLE), type="DEPLOY"))
    lines = drawn(node)
    assert "…" in lines[0]
    assert "5.0s" in lines[0]
    assert "driver.unre" in lines[1]


@pytest.mark.parametrize("name", ["farm-of-the-{}-{{}}".format("very-" * 12), "農場" * 20 + "-{}"])
def test_long_names_that_differ_at_their_end_look_different(name):
    vms = [task(name.format(number), "QUEUED") for number in (10, 11)]
    lines = drawn(Node.of(task("farm", "STARTED", *vms)))
    assert [re.search(r"….*-(\d+) ", line)[1] for line in lines[1:]] == ["10", "11"]
    assert cell_len(lines[1].rstrip()) == cell_len(lines[2].rstrip()) <= 80


def test_a_vm_between_two_jobs_says_what_waits():
    between = task("web1", "STARTED", job("configure", "DONE"), job("power_on", "PENDING"))
    assert drawn(Node.of(task("shop", "STARTED", between)))[1].endswith("power on waiting")


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


def test_a_task_that_nobody_takes_says_what_to_look_at():
    queued = Node.of(task("shop", "QUEUED", created_at=START.isoformat()))
    started = Node.of(task("shop", "STARTED", created_at=START.isoformat()))
    assert neglect(queued, START + timedelta(seconds=9)) == ""
    assert "millwright relay" in neglect(queued, START + timedelta(seconds=11))
    assert neglect(started, START + timedelta(seconds=11)) == ""


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
        f"  all that is known of it: millwright job show {failed['children'][0]['id']}",
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
    assert outcome(node)[-2].plain == "  ROLLBACK FAILED: Deleting web2 failed"


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


def wait(text: str) -> dict:
    return {"for": "session", "place": 7, "text": text}


def waiting_vm() -> Node:
    first = job("configure", "PENDING", waits_for=wait("a session of kvm-1, place 7 (2 of 2 in use)"))
    return Node.of(task("web3", "QUEUED", first, job("power_on", "PENDING", waits_for=wait("the job before it"))))


def test_a_waiting_job_says_what_it_waits_for():
    assert [line.rstrip() for line in drawn(waiting_vm())] == [
        "○ deploy web3 at kvm-1          waiting",
        "├── ○ configure                 waiting for a session of kvm-1, place 7 (2 of 2…",
        "└── ○ power on                  waiting for the job before it",
    ]


def test_a_job_that_has_begun_and_waits_for_its_next_try_says_so():
    begun = job("configure", "STARTED", waits_for=wait("the time of its next try"))
    assert drawn(Node.of(task("web3", "STARTED", begun)))[-1].rstrip().endswith("waiting for the time of its next try")


def test_a_vm_whose_jobs_are_folded_says_what_the_first_of_them_waits_for():
    root = Node.of(task("shop", "STARTED"))
    fitted = fit(replace(root, children=(waiting_vm(), waiting_vm())), room=3)
    assert drawn(fitted, width=120)[1].rstrip().endswith("waiting for a session of kvm-1, place 7 (2 of 2 in use)")


def test_a_cancelled_deploy_names_what_stays_deployed_and_how_it_goes():
    done = [task(name, "FINISHED_SUCCESSFULLY", job("configure", "DONE")) for name in ("web1", "web2")]
    other = task("web3", "CANCELLED", job("configure", "ABORTED"))
    said = [line.plain for line in outcome(Node.of(task("shop", "CANCELLED", *done, other)))]
    assert said[-2:] == [
        "Still deployed: web1, web2.",
        "To remove one: millwright vm undeploy shop/web1; all of them: millwright vapp undeploy shop",
    ]
    assert "Still" not in "".join(line.plain for line in outcome(Node.of(task("shop", "CANCELLED", other))))
    assert "Still" not in "".join(line.plain for line in outcome(Node.of(task("shop", "FINISHED_SUCCESSFULLY", *done))))


def test_what_is_being_cancelled_says_so_until_it_has_ended():
    asked = {"cancel_asked_at": START.isoformat()}
    under_way = task("web1", "STARTED", job("configure", "STARTED"), **asked)
    assert drawn(Node.of(under_way))[0].rstrip().endswith("being cancelled")
    ended = task("web1", "CANCELLED", job("configure", "ABORTED"), **asked)
    assert drawn(Node.of(ended))[0].rstrip().endswith("cancelled")
    assert "being" not in drawn(Node.of(ended))[0]
