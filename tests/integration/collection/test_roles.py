# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and playbooks for people, run as they run them."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_commands import ROOT, run, succeed

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store

pytestmark = pytest.mark.slow

GUEST = {"memory_mib": 64, "disks": [{"template": "/templates/guest.qcow2"}]}


class Lab:
    """A directory with one fake hypervisor, and what people write beside it."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.store = Store(directory / "hypervisor")
        self.store.directory.mkdir()
        self.hypervisor = {"type": "fake", "url": f"fake://{self.store.directory}"}

    def play(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(
            "ansible-playbook", f"millwright.virt.{name}", *arguments,
            cwd=self.directory, PWD=self.directory, ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections",
        )  # fmt: skip

    def write(self, name: str, content: Any) -> None:
        (self.directory / name).write_text(yaml.safe_dump(content))

    def appliance(self, *names: str, **more: Any) -> None:
        vms = [{"name": name} for name in names]
        self.write("shop.yml", {"name": "shop", "hypervisor": self.hypervisor, "defaults": GUEST, "vms": vms, **more})

    def inventory(self, **changes: Any) -> None:
        """Two VMs, a and b, with the changes to their definition."""
        hosts = {name: {"millwright_vm": {**GUEST, **changes}} for name in ("a", "b")}
        self.write("inventory.yml", {"lab": {"hosts": hosts, "vars": {"millwright_hypervisor": self.hypervisor}}})

    def power(self) -> dict[str, str]:
        return {machine.name: machine.power.value for machine in self.store.read().machines.values()}

    def memory(self) -> dict[str, int]:
        return {machine.name: machine.memory_mib for machine in self.store.read().machines.values()}

    def order(self, operation: str) -> list[str]:
        return [span.vm for span in self.store.operations() if span.operation == operation]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    found = re.findall(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.MULTILINE)
    return {host: int(count) for host, count in found}


SHOP = ("-e", "appliance_file=shop.yml")


def test_an_appliance_comes_in_order_and_goes_in_the_reverse(lab: Lab):
    lab.appliance("db", "web")
    planned = lab.play("appliance_deploy", *SHOP, "--check")
    assert planned.returncode == 0, planned.stdout
    assert "web would be powered on" in planned.stdout
    assert lab.power() == {}
    assert lab.play("appliance_deploy", *SHOP).returncode == 0
    assert lab.power() == {"db": "on", "web": "on"}
    assert lab.order("power_on") == ["db", "web"]
    assert changed(lab.play("appliance_deploy", *SHOP)) == {"localhost": 0}
    assert lab.play("appliance_undeploy", *SHOP).returncode == 0
    assert lab.power() == {}
    assert lab.order("delete") == ["web", "db"]
    assert changed(lab.play("appliance_undeploy", *SHOP)) == {"localhost": 0}


def test_no_verbosity_shows_what_is_secret_in_an_appliance(lab: Lab):
    login = {"username": "admin", "password": "canary-password"}
    user_data = {"user_data": "#cloud-config\npassword: canary-user-data\n"}
    lab.appliance("web", hypervisor={**lab.hypervisor, **login}, defaults={**GUEST, "cloud_init": user_data})
    done = lab.play("appliance_deploy", *SHOP, "-vvv", "--diff")
    assert done.returncode == 0, done.stdout
    assert "canary" not in done.stdout + done.stderr


def test_a_vm_that_fails_is_named_and_taken_back_and_the_others_are_deployed(lab: Lab):
    lab.appliance("db", "web", "log")
    lab.store.tell({"failures": [{"operation": "power_on", "vm": "web"}]})
    done = lab.play("appliance_deploy", *SHOP)
    assert done.returncode != 0
    assert lab.power() == {"db": "on", "log": "on"}
    assert "web: powering on" in done.stdout or "web: power" in done.stdout


def test_a_vm_that_was_there_before_stays_when_it_does_not_start(lab: Lab):
    lab.appliance("web")
    play = {"hosts": "localhost", "gather_facts": False, "roles": [{"role": "millwright.virt.appliance"}]}
    play["vars"] = {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "appliance_file": "shop.yml"}
    for state, power in (("present", "off"), ("running", "on"), ("stopped", "off")):
        lab.write("site.yml", [{**play, "vars": {**play["vars"], "appliance_state": state}}])
        succeed("ansible-playbook", "site.yml", cwd=lab.directory, ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections")
        assert lab.power() == {"web": power}
    lab.store.tell({"failures": [{"operation": "power_on"}]})
    assert lab.play("appliance_deploy", *SHOP).returncode != 0
    assert lab.power() == {"web": "off"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"vms": [{"name": "a"}, {"name": "a"}]}, "vms: 2 of them are called 'a'"),
        ({"hypervisor": None, "vms": "x"}, "vms: is required, a list of VMs"),
        ({"default": {}}, "default: unknown field, did you mean 'defaults'?"),
        ({"vms": [{"name": "a"}, {"name": "b", "memory_mb": 64}]}, "VM b: memory_mb: unknown field, did you mean"),
        ({"vms": [{"name": "a"}, {"name": "b", "memory_mib": 1}]}, "VM b: memory_mib: must be at least 16, not 1"),
        # What is known later only is no fault, and does not hide one.
        ({"vms": [{"name": "a", "description": "{{ appliance_vm.name }}", "nic": []}]}, "VM a: nic: unknown field"),
    ],
)
def test_what_is_no_appliance_is_refused_before_anything_is_done(lab: Lab, wrong: dict[str, Any], says: str):
    lab.appliance("web", **wrong)
    done = lab.play("appliance_deploy", *SHOP)
    assert says in " ".join(done.stdout.split())
    assert f"{lab.directory}/shop.yml: {says.partition(':')[0]}" in " ".join(done.stdout.split())
    assert lab.store.operations() == []


def test_a_template_of_the_file_may_use_what_is_known_at_its_vm_only(lab: Lab):
    lab.appliance("web", defaults={**GUEST, "memory_mib": "{{ 64 + appliance_vm.name | length }}"})
    done = lab.play("appliance_deploy", *SHOP)
    assert done.returncode == 0, done.stdout
    assert lab.memory() == {"web": 67}


def test_a_mistake_in_the_files_yaml_is_told_with_its_place_and_without_what_stands_there(lab: Lab):
    (lab.directory / "shop.yml").write_text("name: shop\npassword: canary\n  bad: [\n")
    done = lab.play("appliance_deploy", *SHOP, "-vvv")
    assert f"{lab.directory}/shop.yml, line 3, column 6: this is no YAML" in " ".join(done.stdout.split())
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "Give appliance_file or appliance_definition."),
        (["-e", "appliance_file=shpo.yml"], "There is no file shpo.yml (appliance_file)"),
    ],
)
def test_what_is_missing_is_named(lab: Lab, given: list[str], says: str):
    done = lab.play("appliance_deploy", *given)
    assert done.returncode != 0
    assert says in " ".join(done.stdout.split())


def test_a_change_that_needs_a_power_cycle_says_where_it_is_allowed_and_is_done_where_the_file_allows_it(lab: Lab):
    lab.appliance("web")
    first = lab.play("appliance_deploy", *SHOP)
    assert "Make or change the VM web]" in first.stdout and "Power on the VM web]" in first.stdout
    more = {**GUEST, "memory_mib": 128}
    lab.appliance("web", defaults=more)
    refused = lab.play("appliance_deploy", *SHOP)
    assert "-e millwright_allow_power_cycle=true" in " ".join(refused.stdout.split())
    lab.appliance("web", defaults={**more, "allow_power_cycle": True})
    assert lab.play("appliance_deploy", *SHOP).returncode == 0
    assert (lab.memory(), lab.power()) == ({"web": 128}, {"web": "on"})


def test_vms_are_reconfigured_one_after_the_other_and_run_again(lab: Lab):
    lab.inventory()
    assert lab.play("vapp_deploy", "-i", "inventory.yml").returncode == 0
    rolling = ("rolling_reconfigure", "-i", "inventory.yml")
    assert changed(lab.play(*rolling)) == {"a": 0, "b": 0}
    assert lab.order("power_shutdown") == []
    lab.inventory(memory_mib=128)
    planned = lab.play(*rolling, "--check")
    assert "would be shut down, changed and powered on" in planned.stdout
    assert lab.memory() == {"a": 64, "b": 64}
    done = lab.play(*rolling)
    assert done.returncode == 0, done.stdout
    assert lab.memory() == {"a": 128, "b": 128}
    assert lab.power() == {"a": "on", "b": "on"}
    ends = {(span.operation, span.vm): span for span in lab.store.operations()[-200:]}
    assert ends["power_on", "a"].end < ends["power_shutdown", "b"].start


def test_a_rolling_change_ends_with_the_first_vm_that_fails_and_that_runs_on(lab: Lab):
    lab.inventory()
    assert lab.play("vapp_deploy", "-i", "inventory.yml").returncode == 0
    lab.inventory(memory_mib=128)
    lab.store.tell({"failures": [{"operation": "update", "vm": "a"}]})
    assert lab.play("rolling_reconfigure", "-i", "inventory.yml").returncode != 0
    assert lab.memory() == {"a": 64, "b": 64}
    assert lab.power() == {"a": "on", "b": "on"}
    assert lab.order("power_shutdown") == ["a"]


def test_a_guest_that_does_not_shut_down_is_powered_off_only_where_that_is_allowed(lab: Lab):
    lab.inventory()
    assert lab.play("vapp_deploy", "-i", "inventory.yml").returncode == 0
    lab.inventory(memory_mib=128)
    lab.store.tell({"deaf_guests": ["*"]})
    rolling = ("rolling_reconfigure", "-i", "inventory.yml", "-e", "millwright_timeout=1")
    assert lab.play(*rolling).returncode != 0
    assert lab.memory() == {"a": 64, "b": 64}
    assert lab.power() == {"a": "on", "b": "on"}
    assert lab.play(*rolling, "-e", "reconfigure_hard_off=true").returncode == 0
    assert lab.memory() == {"a": 128, "b": 128}


def test_a_port_that_stays_closed_ends_a_rolling_change(lab: Lab):
    lab.inventory()
    assert lab.play("vapp_deploy", "-i", "inventory.yml").returncode == 0
    lab.inventory(memory_mib=128)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        given = ("-e", f"ansible_host=127.0.0.1 reconfigure_timeout=2 reconfigure_ready_port={port}")
        assert lab.play("rolling_reconfigure", "-i", "inventory.yml", "--limit", "a", *given).returncode == 0
    assert lab.play("rolling_reconfigure", "-i", "inventory.yml", "--limit", "b", *given).returncode != 0


CHANGE = {
    "name": "Give the VM more memory",
    "millwright.virt.vm": {"name": "a", "memory_mib": 128, "disks": GUEST["disks"], "create": False},
    "delegate_to": "localhost",
}
CHECK_FAILS = {"name": "Check the change", "ansible.builtin.fail": {"msg": "the shop is closed"}}


def guarded(lab: Lab, *tasks: dict[str, Any], more: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the tasks under guard at VM a, which is off or on as it was left."""
    lab.write("change.yml", list(tasks))
    given = ("-e", f"guarded_change_tasks={lab.directory}/change.yml", "--limit", "a")
    return lab.play("guarded_change", "-i", "inventory.yml", *given, *more)


def snapshots(lab: Lab) -> list[str]:
    return [snapshot["name"] for machine in lab.store.read().machines.values() for snapshot in machine.snapshots]


def test_a_change_that_fails_is_taken_back(lab: Lab):
    lab.inventory()
    assert lab.play("configure", "-i", "inventory.yml").returncode == 0
    done = guarded(lab, CHANGE, CHECK_FAILS)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "The change was taken back. Check the change: the shop is closed" in said
    assert lab.memory()["a"] == 64
    assert snapshots(lab) == []
    assert lab.order("revert_snapshot") == ["a"]


def test_a_change_that_cuts_the_guest_off_is_taken_back(lab: Lab):
    lab.inventory()
    assert lab.play("configure", "-i", "inventory.yml").returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    (lab.directory / "host_vars").mkdir()
    lab.write("host_vars/a.yml", {"ansible_host": "127.0.0.1", "ansible_port": port, "ansible_connection": "ssh"})
    asked = {"name": "See that the guest is well", "ansible.builtin.command": "systemctl is-system-running"}
    later = {"name": "Go on", "ansible.builtin.debug": {"msg": "went on"}}
    done = guarded(lab, CHANGE, asked, later)
    assert done.returncode != 0
    assert "The change was taken back. The guest did not answer." in " ".join(done.stdout.split())
    assert "went on" not in done.stdout
    assert (lab.memory()["a"], snapshots(lab)) == (64, [])
    assert lab.order("revert_snapshot") == ["a"]


ROLE = {"role": "millwright.virt.guarded_change"}
INCLUDED = {"ansible.builtin.include_role": {"name": "millwright.virt.guarded_change"}}


@pytest.mark.parametrize(
    ("play", "says"),
    [
        ({"roles": [ROLE]}, "it runs 2 at once, by linear"),
        ({"roles": [ROLE], "serial": 1, "strategy": "free"}, "it runs 1 at once, by free"),
        ({"tasks": [{"block": [INCLUDED]}], "serial": 1, "strategy": "{{ pinned }}"}, "by ansible.builtin.host_pinned"),
    ],
)
def test_a_play_that_would_not_take_a_guest_that_is_cut_off_back_is_refused(lab: Lab, play: dict[str, Any], says: str):
    lab.inventory()
    assert lab.play("configure", "-i", "inventory.yml").returncode == 0
    lab.write("change.yml", [CHANGE])
    variables = {"guarded_change_tasks": "change.yml", "pinned": "ansible.builtin.host_pinned"}
    lab.write("site.yml", [{"hosts": "lab", "gather_facts": False, "vars": variables, **play}])
    given = {"cwd": lab.directory, "ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections"}
    done = run("ansible-playbook", "site.yml", "-i", "inventory.yml", **given)
    said = " ".join(done.stdout.split())
    assert "give the play serial: 1, and strategy: linear" in said and says in said
    assert lab.order("create_snapshot") == []


def test_a_vm_that_ran_runs_again_after_its_change_was_taken_back(lab: Lab):
    lab.inventory()
    assert lab.play("vapp_deploy", "-i", "inventory.yml").returncode == 0
    off = {
        "name": "Power it off",
        "millwright.virt.vm_power": {"name": "a", "state": "off"},
        "delegate_to": "localhost",
    }
    assert guarded(lab, off, CHANGE, CHECK_FAILS).returncode != 0
    assert lab.memory()["a"] == 64
    assert lab.power() == {"a": "on", "b": "on"}


def test_a_change_that_goes_well_stays_and_its_snapshot_goes_unless_it_is_to_be_kept(lab: Lab):
    lab.inventory()
    assert lab.play("configure", "-i", "inventory.yml").returncode == 0
    done = guarded(lab, CHANGE)
    assert done.returncode == 0, done.stdout
    assert lab.memory()["a"] == 128
    assert snapshots(lab) == []
    assert guarded(lab, CHANGE, more=("-e", "guarded_change_keep=true")).returncode == 0
    assert snapshots(lab) == ["before-change"]
    said = " ".join(guarded(lab, CHANGE).stdout.split())
    assert "There is a snapshot before-change already" in said
    assert "millwright.virt.snapshot_delete --limit a -e" in said and "-e guarded_change_snapshot=NAME" in said
    assert snapshots(lab) == ["before-change"]
    plain = ("-e", "millwright_snapshot=before-change", "--limit", "a")
    assert lab.play("snapshot_delete", "-i", "inventory.yml", *plain).returncode == 0
    assert snapshots(lab) == []


def test_what_cannot_be_included_takes_the_change_back(lab: Lab):
    lab.inventory()
    assert lab.play("configure", "-i", "inventory.yml").returncode == 0
    done = guarded(lab, CHANGE, {"ansible.builtin.include_tasks": "{{ playbook_dir }}/mistyped.yml"})
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "The change was taken back. " in said and "mistyped.yml" in said
    assert (lab.memory()["a"], snapshots(lab)) == (64, [])


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "There is no file tasks.yml"), ("{name: x}", "is no list of tasks"), ("- a: [", "Refuse what are no")],
)
def test_tasks_that_cannot_be_run_are_refused_before_a_snapshot_is_taken(lab: Lab, text: str | None, says: str):
    lab.inventory()
    assert lab.play("configure", "-i", "inventory.yml").returncode == 0
    if text:
        (lab.directory / "tasks.yml").write_text(text)
    done = lab.play("guarded_change", "-i", "inventory.yml", "-e", "guarded_change_tasks=tasks.yml", "--limit", "a")
    assert done.returncode != 0
    assert says in " ".join(done.stdout.split())
    assert lab.order("create_snapshot") == []


def test_tasks_are_looked_for_where_the_person_stands(lab: Lab):
    lab.inventory()
    assert lab.play("configure", "-i", "inventory.yml").returncode == 0
    lab.write("tasks.yml", [CHANGE])
    done = lab.play("guarded_change", "-i", "inventory.yml", "-e", "guarded_change_tasks=tasks.yml", "--limit", "a")
    assert done.returncode == 0, done.stdout
    assert lab.memory()["a"] == 128


def test_every_role_explains_itself(lab: Lab):
    told = succeed(
        "ansible-doc", "-t", "role", "-l", "millwright.virt", cwd=lab.directory,
        ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections",
    )  # fmt: skip
    for role in sorted(path.name for path in (ROOT / "collection/roles").iterdir()):
        assert f"millwright.virt.{role}" in told
        assert (ROOT / f"collection/roles/{role}/README.md").exists()
