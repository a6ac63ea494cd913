# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker that is kept for the next host is, for that host, what a fresh one would be."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from runner_service.warm.kept_workers import VARIABLE
from tests.integration.warm.conftest import Warm
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

HOSTS = ("a", "b", "c", "d", "e")
#: Who does the task: a process's own shell knows its parent.
WORKER = "worker={{ lookup('ansible.builtin.pipe', 'echo $PPID') }}"
FRESH = {VARIABLE: "0"}


def new_hypervisor(warm: Warm) -> Store:
    directory = warm.directory / "hypervisor"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return Store(directory)


def inventory(warm: Warm, **of_hosts: dict[str, object]) -> Path:
    fake = {"type": "fake", "url": f"fake://{new_hypervisor(warm).directory}"}
    hosts = {host: of_hosts.get(host, {}) | {"millwright_vm": {"name": host}} for host in HOSTS}
    told = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local", "millwright_hypervisor": fake}}}
    return warm.write("inventory.yml", yaml.safe_dump(told))


def play(strategy: str, *tasks: dict[str, Any], **keywords: Any) -> list[dict[str, Any]]:
    return [{
        "hosts": "all", "gather_facts": False, "strategy": strategy, "tasks": list(tasks),
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "module_defaults": {"group/millwright.virt.hypervisor": "{{ millwright_hypervisor }}"},
    } | keywords]  # fmt: skip


def debug(text: str, **keywords: Any) -> dict[str, Any]:
    return {"ansible.builtin.debug": {"msg": text}} | keywords


def said(
    warm: Warm, plays: list[dict[str, Any]], *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = warm.run("--inventory=inventory.yml", *options, warm.write("play.yml", yaml.safe_dump(plays)), **environment)
    assert "not warm" not in done.stderr
    return done


def workers(done: subprocess.CompletedProcess[str]) -> list[str]:
    found = re.findall(r"worker=(\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
def test_a_task_has_as_many_processes_as_forks(warm: Warm, strategy: str) -> None:
    inventory(warm)
    text = play(strategy, debug(WORKER))
    kept, fresh = said(warm, text, "--forks=2"), said(warm, text, "--forks=2", **FRESH)
    assert len(workers(kept)) == len(workers(fresh)) == len(set(workers(fresh))) == len(HOSTS)
    assert len(set(workers(kept))) <= 2


def test_what_others_leave_in_a_process_ends_it(warm: Warm) -> None:
    inventory(warm)
    text = play("linear", {"ansible.builtin.set_fact": {"who": WORKER}}, debug("{{ who }}"))
    assert len(set(workers(said(warm, text, "--forks=1")))) == len(HOSTS)


NAME = "{{ inventory_hostname }}"
#: e asks for what no VM can have; all are wrong about a VM without a name, and c is not allowed to.
DEPLOY = (
    {"millwright.virt.vm": {"name": NAME, "memory_mib": "{{ memory | default(64) }}"}, "register": "made"},
    debug("{{ made.vm.definition.memory_mib }} {{ made.changed }} {{ groups.all | join(' ') }}"),
    {"millwright.virt.vm_power": {"name": NAME, "state": "on"}, "when": "not ansible_check_mode", "register": "on"},
    {"millwright.virt.vm_info": {"name": NAME}, "register": "seen", "failed_when": "seen.vms | length > 1"},
    {
        "millwright.virt.vm_power": {"name": " ", "state": "off"},
        "ignore_errors": "{{ inventory_hostname != 'c' }}",
    },
    debug("{{ seen.vms | map(attribute='power') }} {{ on.skipped | default(1) }} {{ ansible_play_hosts }}"),
)  # fmt: skip


@pytest.mark.parametrize("strategy", ["linear", "free"])
@pytest.mark.parametrize("options", [(), ("--check",), ("--diff", "-vv")])
def test_each_host_has_the_results_that_it_would_have_of_a_fresh_worker(
    warm: Warm, strategy: str, options: tuple[str, ...]
) -> None:
    inventory(warm, b={"memory": 128}, d={"memory": "{{ 8 * 32 }}"}, e={"memory": -1})
    # With `free` it is a matter of luck which hosts have failed by then.
    text = play(strategy, *(DEPLOY if strategy == "linear" else DEPLOY[:-1]))
    ways = []
    for environment in (FRESH, {}):
        new_hypervisor(warm)
        done = said(warm, text, "--forks=1", *options, **environment)
        out = done.stdout.splitlines()
        if strategy == "free":  # Hosts get on in an order that is nobody's, and each change of task has a headline.
            out = sorted(line for line in out if line and not line.startswith(("TASK [", "task path:")))
        ways.append((done.returncode, out, done.stderr))
    assert ways[0] == ways[1]
    text = "\n".join(ways[0][1])
    assert "256 True" in text
    assert sorted(set(re.findall(r"fatal: \[(.)\]", text))) == list(HOSTS)


def test_a_worker_knows_what_other_hosts_have_registered_since_it_was_forked(warm: Warm) -> None:
    """With ``free`` the first host is at its second task before the last one is at its first."""
    inventory(warm)
    everybody = (
        "{{ groups.all | map('extract', hostvars) | selectattr('mine', 'defined') | map(attribute='mine.msg') }}"
    )
    text = play("free", debug(NAME, register="mine"), debug(everybody))
    last = said(warm, text, "--forks=1").stdout.rpartition("ok: [e] =>")[2]
    assert re.findall(r'"([a-e])"', last) == list(HOSTS)


def test_hosts_that_a_worker_is_done_with_still_have_their_variables_and_groups(warm: Warm) -> None:
    inventory(warm, **{host: {"colour": f"c-{host}"} for host in HOSTS})
    colours = "{{ groups.all | map('extract', hostvars) | map(attribute='colour') | join(' ') }}"
    shown = debug(colours + " {{ hostvars.a.group_names }}")
    kept, fresh = both_ways(warm, play("linear", shown), "--forks=1")
    assert kept == fresh
    assert kept[1].count("c-a c-b c-c c-d c-e") == len(HOSTS)


def test_a_template_of_one_host_is_text_of_another(warm: Warm) -> None:
    """They are equal, and only what Ansible has noted of them tells which one is to be evaluated."""
    warm.write(
        "inventory.yml",
        'all: {hosts: {a: {text: "{{ 6 * 7 }}"}, b: {text: !unsafe "{{ 6 * 7 }}"}, c: {text: "{{ 6 * 7 }}"}},'
        " vars: {ansible_connection: local}}",
    )
    done = said(warm, play("linear", debug("<{{ text }}>")), "--forks=1")
    assert re.findall(r'"msg": "(.*)"', done.stdout) == ["<42>", "<{{ 6 * 7 }}>", "<42>"]


def test_hosts_that_come_in_mid_play_are_served(warm: Warm) -> None:
    inventory(warm)
    late = {"ansible.builtin.add_host": {"name": "late", "groups": "latecomers"}}
    text = play("linear", debug(WORKER), late, debug("{{ groups.latecomers }}"))
    text += play("linear", debug("I am here"), hosts="latecomers")
    done = said(warm, text, "--forks=1")
    assert done.returncode == 0
    assert done.stdout.count("late") > len(HOSTS)
    assert "I am here" in done.stdout


def test_a_second_batch_of_hosts_has_workers_of_its_own(warm: Warm) -> None:
    inventory(warm)
    text = play("linear", debug(WORKER + " {{ ansible_play_batch }}"), serial=2)
    done = said(warm, text, "--forks=1")
    assert len(set(workers(done))) == 3
    assert "['e']" in done.stdout


KILL = "{{ lookup('ansible.builtin.pipe', 'kill -9 $PPID; sleep 9') if inventory_hostname == 'c' else 'well' }}"


@pytest.mark.parametrize("forks", [1, 2])
def test_a_worker_that_dies_ends_the_run_as_ever(warm: Warm, forks: int) -> None:
    """Ansible alone overlooks it when the next host has the dead one's place already."""
    inventory(warm)
    done = said(warm, play("linear", debug(KILL)), f"--forks={forks}")
    assert done.returncode != 0
    assert "A worker was found in a dead state" in done.stderr
    assert "well" in done.stdout


def test_no_worker_outlives_its_run(warm: Warm) -> None:
    inventory(warm)
    done = said(warm, play("free", debug(WORKER), debug("again")), "--forks=3")
    assert not [worker for worker in workers(done) if Path(f"/proc/{worker}").exists()]


def test_idle_workers_end_with_a_run_that_is_killed(warm: Warm) -> None:
    inventory(warm)
    text = yaml.safe_dump(play("linear", debug(WORKER), {"command": {"cmd": "sleep 60"}}))
    process = warm.start("--inventory=inventory.yml", "--forks=2", warm.write("play.yml", text))
    assert process.stdout is not None
    found: set[str] = set()
    for line in process.stdout:
        found.update(re.findall(r"worker=(\d+)", line))
        if "TASK [command]" in line:
            break
    assert found
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    wait_until(lambda: not [one for one in found if is_running(one)], 20, "no worker is left")


def is_running(process: str) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_an_error_of_one_host_is_not_told_of_the_next(warm: Warm) -> None:
    inventory(warm, b={"more": {"nonsense": 1}})
    arguments = "{{ {'name': inventory_hostname, 'memory_mib': 64} | combine(more | default({})) }}"
    text = play("linear", {"millwright.virt.vm": {}, "args": arguments, "ignore_errors": True})
    kept, fresh = (said(warm, text, "--forks=1", "--check", **environment) for environment in ({}, FRESH))
    assert (kept.stdout, kept.stderr) == (fresh.stdout, fresh.stderr)
    assert re.findall(r"fatal: \[(.)\]", kept.stdout) == ["b"]


def test_the_worker_of_a_run_is_no_other_runs(warm: Warm) -> None:
    inventory(warm)
    text = play("linear", debug(WORKER))
    one, other = (set(workers(said(warm, text, "--forks=2"))) for _ in range(2))
    assert not one & other


def both_ways(warm: Warm, plays: list[dict[str, Any]], *options: str, told: str = "") -> list[tuple[int, str, str]]:
    """What is said with kept workers, and what without."""
    ways = []
    for environment in ({}, FRESH):
        new_hypervisor(warm)
        done = warm.run(
            "--inventory=inventory.yml",
            *options,
            warm.write("play.yml", yaml.safe_dump(plays)),
            told=told,
            **environment,
        )
        ways.append((done.returncode, done.stdout, done.stderr))
    return ways


def test_each_host_has_the_python_that_was_found_for_it(warm: Warm) -> None:
    """Ansible notes it among the facts, within the worker."""
    inventory(warm)
    tasks = (
        {"millwright.virt.vm_info": {"name": NAME}, "register": "seen"},
        debug("{{ seen.ansible_facts | default('none') }}"),
    )
    kept, fresh = both_ways(warm, play("linear", *tasks, vars={}), "--forks=1")
    assert kept == fresh
    assert kept[1].count("discovered_interpreter_python") == len(HOSTS)


def test_a_task_that_was_changed_in_the_debugger_is_done_as_it_is_then(warm: Warm) -> None:
    inventory(warm)
    task = {"ansible.builtin.assert": {"that": ["word == 'right'"]}, "vars": {"word": "wrong"}}
    told = "task.args['that'] = [True]\nredo\n"
    kept, fresh = both_ways(warm, play("debug", task, hosts="a"), "--forks=1", told=told)
    assert kept == fresh
    assert "All assertions passed" in kept[1]


def test_equal_dicts_in_another_order_are_others(warm: Warm) -> None:
    inventory(warm)
    flags = {"ansible.builtin.set_fact": {"flags": "{{ {'x': true, 'y': false} if inventory_hostname != 'b'"
                                          " else {'y': false, 'x': true} }}"}}  # fmt: skip
    kept, fresh = both_ways(warm, play("linear", flags, debug("{{ flags.keys() | join(',') }}")), "--forks=1")
    assert kept == fresh
    assert "y,x" in kept[1]


REMEMBERING = """
import os

SEEN = []

def remember(host):
    SEEN.append(host)
    return f"{SEEN} {os.environ.setdefault('FIRST', host)}"

class FilterModule:
    def filters(self):
        return {"remember": remember}
"""


@pytest.mark.parametrize("module", ["ansible.builtin.debug", "millwright.virt.vm_info"])
def test_what_a_plugin_of_the_playbooks_keeps_for_one_host_is_not_there_for_the_next(warm: Warm, module: str) -> None:
    """As a login that a lookup caches."""
    inventory(warm)
    (warm.directory / "filter_plugins").mkdir()
    warm.write("filter_plugins/remembering.py", REMEMBERING)
    kept_by = "{{ inventory_hostname | remember }}"
    tasks = {
        "ansible.builtin.debug": (debug(kept_by),),
        "millwright.virt.vm_info": ({"millwright.virt.vm_info": {"name": kept_by}, "diff": True}, debug("{{ 1 }}")),
    }
    kept, fresh = both_ways(warm, play("linear", *tasks[module]), "--forks=1", "-vvv")
    assert kept[1].count("['e']") == fresh[1].count("['e']") > 0
    assert "'a', 'b'" not in kept[1]
