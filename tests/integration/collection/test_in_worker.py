# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that run inside the Ansible worker say and do what they do the ordinary way, to the letter."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from pathlib import Path

import pytest
import yaml
from ansible_commands import ROOT, run

from ansible_collections.millwright.virt.plugins.action.vm import said_by

pytestmark = pytest.mark.slow

CANARY = "#cloud-config canary-77"
VM = {"name": "web", "memory_mib": 64, "disks": [{"template": "/templates/a.qcow2"}]}

#: Every module: what changes, what does not, what is refused by us and by Ansible, and what holds secrets.
TASKS = {
    "vm: made": {"vm": {**VM, "cloud_init": {"user_data": CANARY}}},
    "vm: unchanged": {"vm": {**VM, "cloud_init": {"user_data": CANARY}}},
    "vm: changed": {"vm": {**VM, "cpu": {"count": 2}, "memory_mib": 128}, "diff": True},
    "vm: planned": {"vm": {**VM, "memory_mib": 256}, "check_mode": True, "diff": True},
    "vm: breaks a rule of ours": {"vm": {**VM, "memory_mib": 1}},
    "vm: breaks a rule of Ansible's": {"vm": {**VM, "firmware": "none"}},
    "vm: names an option that is not one": {"vm": {**VM, "colour": "red"}},
    "vm: names what is not there": {"vm": {**VM, "name": "db", "nics": [{"network": "none"}]}},
    "vm: is data": {"vm": {**VM, "name": "{% raw %}{{ lookup('pipe', 'id') }}{% endraw %} '\" <&>"}},
    "vm_power: on": {"vm_power": {"name": "web", "state": "on"}},
    "vm_power: already on": {"vm_power": {"name": "web", "state": "on"}},
    "vm_power: refused": {"vm_power": {"name": "web", "state": "resumed", "password": "canary-78"}},
    "vm_power: missing": {"vm_power": {"name": "nobody", "state": "off"}},
    # When a snapshot was taken is never the same, so none is.
    "vm_snapshot: planned": {"vm_snapshot": {"name": "web", "snapshot": "one"}, "check_mode": True, "diff": True},
    "vm_snapshot: breaks a rule of ours": {"vm_snapshot": {"name": "web", "snapshot": "1"}},
    "vm_snapshot: names what is not there": {"vm_snapshot": {"name": "web", "snapshot": "one", "state": "reverted"}},
    "vm_snapshot_info": {"vm_snapshot_info": {"name": "web"}},
    "vm_capture: refused": {"vm_capture": {"name": "web", "template": "golden"}},
    "vm_power: off": {"vm_power": {"name": "web", "state": "shutdown", "force": True}},
    "vm_capture: made": {"vm_capture": {"name": "web", "template": "golden"}, "diff": True},
    "vm_info: one": {"vm_info": {"name": "web"}},
    "vm_info: all": {"vm_info": {}},
    "hypervisor_info": {"hypervisor_info": {}},
    "hypervisor_login": {"hypervisor_login": {"session_file": "session"}},
    "vm_info: with the kept session": {"vm_info": {"session_file": "session", "keep_session": True}},
    "hypervisor_logout": {"hypervisor_logout": {"session_file": "session"}},
    "vm_info: keeps its session": {"vm_info": {"session_file": "session", "keep_session": True}},
    "hypervisor_logout: of what was kept": {"hypervisor_logout": {"session_file": "session"}},
    "vm_info: cannot keep its session": {"vm_info": {"session_file": "nowhere/session", "keep_session": True}},
    "vm: unreachable": {"vm": {**VM, "url": "fake:///nowhere"}},
    "vm: gone": {"vm": {"name": "web", "state": "absent"}},
}


#: Writes every result as callbacks get it, ansible-runner's among them: with the invocation.
CALLBACK = """
import json
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "results"
    def v2_runner_on_ok(self, result, **_):
        with open("results.jsonl", "a") as file:
            file.write(json.dumps([result.task_name, result.result], default=str, sort_keys=True) + "\\n")
    v2_runner_on_failed = v2_runner_on_ok
"""


def played(place: Path, tasks: list[dict], **variables: object) -> str:
    """The results of a play of the tasks, a line each; the fake hypervisor is a new one."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "lab").mkdir(parents=True)
    (place / "callbacks").mkdir()
    (place / "callbacks/results.py").write_text(CALLBACK)
    (place / "python").symlink_to(sys.executable)
    defaults = {"hypervisor_type": "fake", "url": f"fake://{place}/lab"}
    told = {"ansible_python_interpreter": "{{ ansible_playbook_python }}", **variables}
    play = {
        "hosts": "localhost", "connection": "local", "gather_facts": False, "ignore_errors": True, "vars": told,
        "module_defaults": {"group/millwright.virt.hypervisor": defaults}, "tasks": tasks,
    }  # fmt: skip
    (place / "play.yml").write_text(yaml.safe_dump([play]))
    talk(place)
    return (place / "results.jsonl").read_text()


def talk(place: Path) -> str:
    """Run the play and give all that Ansible says of it, command by command."""
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections", "ANSIBLE_CALLBACK_PLUGINS": place / "callbacks",
        "ANSIBLE_CALLBACKS_ENABLED": "results",
    }  # fmt: skip
    done = run("ansible-playbook", "-vvv", "play.yml", cwd=place, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def named(tasks: dict[str, dict]) -> list[dict]:
    """The tasks as a play lists them."""
    return [
        {"name": name, **{f"millwright.virt.{key}" if key in MODULES else key: task[key] for key in task}}
        for name, task in tasks.items()
    ]


MODULES = {path.stem for path in (ROOT / "collection/plugins/modules").glob("*.py")}


def test_every_module_is_compared():
    assert {next(iter(task)) for task in TASKS.values()} == MODULES


def test_the_worker_says_what_the_ordinary_way_says(tmp_path: Path):
    ordinary = played(tmp_path / "play", named(TASKS), millwright_in_worker=False).splitlines()
    here = played(tmp_path / "play", named(TASKS)).splitlines()
    assert [json.loads(line) for line in here] == [json.loads(line) for line in ordinary]
    assert [json.loads(line)[0] for line in here] == list(TASKS)
    assert all("invocation" in json.loads(line)[1] for line in here)
    assert "canary" not in str(here)


@pytest.mark.parametrize(
    ("task", "variables"),
    [
        pytest.param({"environment": {"MILLWRIGHT_X": "1"}}, {}, id="environment"),
        pytest.param({"async": 60, "poll": 1}, {}, id="async"),
        # Nobody else is asked for a password.
        pytest.param(
            {"become": True, "become_method": "su"},
            {},
            id="become",
            marks=pytest.mark.skipif(os.getuid() != 0 or not shutil.which("su"), reason="only root becomes root"),
        ),
        pytest.param({}, {"ansible_python_interpreter": "{{ playbook_dir }}/python"}, id="another Python"),
        pytest.param({}, {"millwright_in_worker": False}, id="asked not to"),
    ],
)
def test_what_is_not_the_same_here_goes_the_ordinary_way(tmp_path: Path, task: dict, variables: dict):
    played(tmp_path / "play", [{"millwright.virt.vm_info": {}, **task}], **variables)
    assert "AnsiballZ" in talk(tmp_path / "play")


def test_the_worker_starts_no_interpreter(tmp_path: Path):
    played(tmp_path / "play", [{"millwright.virt.vm_info": {}}])
    assert "AnsiballZ" not in talk(tmp_path / "play")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of the collection whose ``main`` a test gives."""
    name = "ansible_collections.millwright.virt.plugins.modules.odd"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    return sys.modules[name]


def test_a_module_that_raises_ends_its_own_task_and_shows_no_secret(module: types.ModuleType):
    def main():
        raise ValueError("canary-79")

    module.main = main
    said = said_by("odd", {"password": "canary-79"})
    assert json.loads(said["stdout"]) == {"failed": True, "msg": "the module ended with ValueError"}
    assert "canary" not in str(said)


def test_what_a_module_prints_before_it_exits_is_its_output(module: types.ModuleType, capfd):
    def main():
        print("a note")  # noqa: T201
        sys.exit(3)

    module.main = main
    assert said_by("odd", {}) == {"stdout": "a note\n", "stderr": "", "rc": 3}
    assert capfd.readouterr() == ("", "")


def test_relative_paths_start_where_ansible_was_started_however_the_module_runs(tmp_path: Path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "login.json").write_text('{"username": "u", "password": "p"}')
    asked = {"hypervisor_type": "fake", "url": f"fake://{tmp_path}/lab"}
    given = {"millwright.virt.vm_info": {**asked, "credentials_file": "login.json"}}
    missing = {
        "millwright.virt.vm_info": {**asked, "credentials_file": "nowhere.json"},
        "register": "told", "failed_when": f"'file {tmp_path}/nowhere.json cannot be used' not in told.msg",
    }  # fmt: skip
    by_environment = {"millwright.virt.vm_info": asked}
    ways = ({}, {"vars": {"millwright_in_worker": False}}, {"environment": {"X": "1"}})
    tasks = [{**task, **way} for task in (given, missing, by_environment) for way in ways]
    here = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": here, "tasks": tasks}
    delegated = [{**task, "delegate_to": "localhost"} for task in (given, missing)]
    far = {"hosts": "far", "connection": "ssh", "gather_facts": False, "tasks": delegated}
    (tmp_path / "elsewhere/play.yml").write_text(yaml.safe_dump([play, far]))
    environment = {"ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections", "MILLWRIGHT_CREDENTIALS_FILE": "login.json"}
    done = run("ansible-playbook", "-i", "far,", "elsewhere/play.yml", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
