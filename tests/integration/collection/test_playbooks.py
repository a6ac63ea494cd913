# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks, run with plain ansible-playbook as people do: no API and no broker."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_commands import ROOT, run, succeed

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.vm.fingerprint import is_fingerprint_of

pytestmark = pytest.mark.slow

CANARY = "canary-4711"
GUEST = {"memory_mib": 64, "disks": [{"template": "/templates/guest.qcow2"}], "nics": [{"network": "default"}]}


class Unsafe(str):
    """A text that Ansible must not evaluate."""


class Dumper(yaml.SafeDumper):
    """Writes inventories."""


Dumper.add_representer(Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    directory = tmp_path / "hypervisor"
    directory.mkdir()
    return Store(directory)


class Site:
    """An inventory of VMs on one hypervisor, and the playbooks run over it."""

    def __init__(self, directory: Path, hypervisor: dict[str, Any]):
        self.directory = directory
        self.hypervisor = hypervisor

    def play(self, name: str, vms: dict[str, dict[str, Any]], *flags: str) -> subprocess.CompletedProcess[str]:
        hosts = {host: {"millwright_vm": vm} for host, vm in vms.items()}
        kvm = {"hosts": hosts, "vars": {"millwright_hypervisor": self.hypervisor}}
        inventory = self.directory / "inventory.yml"
        inventory.write_text(yaml.dump({"all": {"children": {"kvm": kvm}}}, Dumper=Dumper, allow_unicode=True))
        return run(
            "ansible-playbook", "-i", inventory, ROOT / f"playbooks/{name}.yml", *flags,
            cwd=self.directory, ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections",
        )  # fmt: skip

    def recap(self, done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, int]]:
        """Counts by host, from the end of the output."""
        lines = done.stdout.partition("PLAY RECAP")[2].splitlines()[1:]
        counted = (line.partition(" : ") for line in lines if " : " in line)
        return {
            host.strip(): {key: int(n) for key, n in (pair.split("=") for pair in counts.split())}
            for host, _, counts in counted
        }


@pytest.fixture
def site(tmp_path: Path, store: Store) -> Site:
    return Site(tmp_path, {"type": "fake", "url": f"fake://{store.directory}"})


def machines(store: Store) -> dict[str, str]:
    return {machine.name: machine.power.value for machine in store.read().machines.values()}


def test_a_virtual_appliance_comes_and_goes(site: Site, store: Store):
    vms = {"web": GUEST, "db": GUEST}
    plan = site.play("vapp_deploy", vms, "--check", "--diff")
    assert "memory_mib" in plan.stdout
    assert machines(store) == {}
    assert site.play("vapp_deploy", vms).returncode == 0
    assert machines(store) == {"web": "on", "db": "on"}
    again = site.recap(site.play("vapp_deploy", vms))
    assert [counts["changed"] for counts in again.values()] == [0, 0]
    assert site.play("vapp_undeploy", vms).returncode == 0
    assert (machines(store), store.read().pools["default"].volumes) == ({}, {})


def test_one_vm_s_failure_leaves_nothing_of_it_and_the_others_alone(site: Site, store: Store):
    store.tell({"failures": [{"operation": "power_on", "vm": "db", "error": "driver.insufficient_resources"}]})
    done = site.play("vapp_deploy", {"web": GUEST, "db": GUEST, "log": GUEST})
    assert done.returncode != 0
    assert {host: counts["failed"] for host, counts in site.recap(done).items()} == {"web": 0, "db": 1, "log": 0}
    assert machines(store) == {"web": "on", "log": "on"}
    assert len(store.read().pools["default"].volumes) == 2
    assert "power_on of VM 'db' failed" in done.stdout + done.stderr


def test_a_vm_that_was_there_before_is_not_removed_when_it_cannot_start(site: Site, store: Store):
    site.play("configure", {"web": GUEST})
    store.tell({"failures": [{"operation": "power_on"}]})
    assert site.play("vapp_deploy", {"web": GUEST}).returncode != 0
    assert machines(store) == {"web": "off"}


def test_every_operation_of_one_vm_runs_in_turn(site: Site, store: Store):
    powers = []
    turns = ("configure", "power_on", "pause", "resume", "reset", "shutdown", "power_on", "power_off", "unconfigure")
    for operation in turns:
        done = site.play(operation, {"web": GUEST})
        assert (done.returncode, site.recap(done)["web"]["changed"]) == (0, 1), done.stdout
        powers.append(machines(store).get("web"))
    assert powers == ["off", "on", "paused", "on", "on", "off", "on", "off", None]


@pytest.mark.parametrize("name", ["unconfigure", "vapp_undeploy"])
def test_disks_of_others_go_with_a_vm_only_if_that_is_said(site: Site, store: Store, name: str):
    for flags, left in (((), ["theirs.img"]), (("-e", "millwright_remove_foreign_disks=true"), [])):
        site.play("configure", {"web": GUEST})
        with store.change() as world:
            world.pools["default"].volumes["theirs.img"] = 4
            next(iter(world.machines.values())).attached.append("default/theirs.img")
        assert site.play(name, {"web": GUEST}, *flags).returncode == 0
        assert (machines(store), list(store.read().pools["default"].volumes)) == ({}, left)


def test_reconfigure_changes_a_vm_and_makes_none(site: Site, store: Store):
    assert site.play("reconfigure", {"web": GUEST}).returncode != 0
    assert machines(store) == {}
    site.play("configure", {"web": GUEST})
    assert site.play("reconfigure", {"web": {**GUEST, "memory_mib": 96}}).returncode == 0
    assert [machine.memory_mib for machine in store.read().machines.values()] == [96]


def test_a_guest_that_ignores_the_shutdown_is_waited_for_as_long_as_it_was_told(site: Site, store: Store):
    store.tell({"deaf_guests": ["web"]})
    site.play("vapp_deploy", {"web": GUEST})
    done = site.play("shutdown", {"web": GUEST}, "-e", "millwright_timeout=1")
    assert "driver.timed_out" in done.stdout
    assert "within 1 seconds" in done.stdout
    assert machines(store) == {"web": "on"}


def test_a_wrong_field_is_refused_by_name(site: Site, store: Store):
    done = site.play("configure", {"web": {**GUEST, "memory": 64}, "db": {**GUEST, "memory_mib": 4}})
    said = done.stdout + done.stderr
    assert "memory. Supported parameters include" in said
    assert "memory_mib: must be at least 16, not 4" in said
    assert machines(store) == {}


def test_what_users_type_is_never_evaluated(site: Site, store: Store):
    evil = Unsafe("{{ lookup('pipe','touch pwned') }}'\"&<>; DROP TABLE vms")
    text = Unsafe(f"#{evil}")
    vm = {**GUEST, "name": evil, "description": evil, "tags": {"evil": evil}, "cloud_init": {"user_data": text}}
    for operation in ("configure", "power_on", "get_state", "reset", "power_off"):
        assert site.play(operation, {"h1": vm}, "-v").returncode == 0
    (machine,) = store.read().machines.values()
    assert machine.name == machine.definition["description"] == machine.definition["tags"]["evil"] == evil
    assert is_fingerprint_of(machine.definition["cloud_init"]["user_data"], text)
    assert site.play("unconfigure", {"h1": vm}).returncode == 0
    assert machines(store) == {}
    assert not list(site.directory.rglob("pwned"))


@pytest.mark.parametrize("told", [{}, {"accounts": {"admin": "another"}}, {"failures": [{"operation": "create"}]}])
def test_no_secret_is_in_the_output_however_talkative_and_failed(site: Site, store: Store, told):
    store.tell(told)
    site.hypervisor |= {"username": "admin", "password": CANARY}
    vm = {**GUEST, "cloud_init": {"user_data": f"#cloud-config\npassword: {CANARY}"}}
    for playbook in ("configure", "vapp_deploy"):
        done = site.play(playbook, {"web": vm}, "-vvv", "--diff")
        assert (done.returncode != 0) == bool(told)
        assert CANARY not in done.stdout + done.stderr


def test_credentials_come_from_a_file(site: Site, store: Store):
    store.tell({"accounts": {"admin": CANARY}})
    assert "driver.authentication_failed" in site.play("discover", {"hypervisor": {}}).stdout
    credentials = site.directory / "credentials.json"
    credentials.write_text(json.dumps({"username": "admin", "password": CANARY}))
    site.hypervisor |= {"credentials_file": str(credentials)}
    done = site.play("discover", {"hypervisor": {}}, "-vvv")
    assert done.returncode == 0
    assert CANARY not in done.stdout


def test_the_inventory_of_the_readme_deploys(site: Site, store: Store):
    blocks = (ROOT / "collection/README.md").read_text().split("```")
    (text,) = [block.removeprefix("yaml\n") for block in blocks if block.startswith("yaml\nall:")]
    inventory = site.directory / "inventory.yml"
    there = text.replace("type: libvirt", "type: fake").replace("qemu:///system", f"fake://{store.directory}")
    inventory.write_text(there.replace("/var/lib/libvirt/images/", "/templates/"))
    asked = {"cwd": site.directory, "ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections"}
    for playbook in ("vapp_deploy", "get_state", "vapp_undeploy"):
        succeed("ansible-playbook", "-i", inventory, f"millwright.virt.{playbook}", **asked)
    created = [span.vm for span in store.operations() if span.operation == "create"]
    assert (sorted(created), machines(store)) == (["db", "web"], {})


def test_discover_and_power_work_on_libvirt_s_test_hypervisor(tmp_path: Path):
    site = Site(tmp_path, {"type": "libvirt", "url": "test:///default"})
    told = site.play("discover", {"hypervisor": {}}, "-v")
    assert told.returncode == 0, told.stdout
    assert '"name": "test"' in told.stdout
    paused = site.play("pause", {"test": {"name": "test"}}, "-v")
    assert site.recap(paused)["test"]["changed"] == 1, paused.stdout


def test_vms_go_back_to_a_snapshot_and_become_templates(site: Site, store: Store):
    vms = {"web": GUEST, "db": GUEST}
    told = json.dumps(
        {"millwright_snapshot": {"name": "before", "children": True}, "millwright_template": {"name": "t"}}
    )

    def changed(name: str, guests: dict[str, dict[str, Any]] = vms, *flags: str) -> list[int]:
        done = site.play(name, guests, "-e", told, *flags)
        assert done.returncode == 0, done.stdout
        return [counts["changed"] for counts in site.recap(done).values()]

    changed("configure")
    assert changed("snapshot_create", vms, "--check") == [1, 1]
    assert changed("snapshot_create") == [1, 1]
    assert changed("snapshot_create") == [0, 0]
    changed("reconfigure", {name: {**GUEST, "memory_mib": 128} for name in vms})
    assert changed("snapshot_revert") == [1, 1]
    assert {machine.memory_mib for machine in store.read().machines.values()} == {64}
    assert changed("snapshot_delete") == [1, 1]
    assert changed("snapshot_delete") == [0, 0]
    assert changed("capture", {"web": GUEST}) == [1]
    assert changed("capture", {"web": GUEST}) == [0]
    taken = site.play("capture", {"db": GUEST}, "-e", told)
    assert (taken.returncode, "has a volume 't.qcow2' already" in taken.stdout + taken.stderr) == (2, True)


def test_a_vm_that_runs_is_reconfigured_as_far_as_is_allowed(site: Site, store: Store):
    site.play("vapp_deploy", {"web": GUEST})
    larger = {"web": {**GUEST, "memory_mib": 128, "disks": []}}
    for told, code in (({}, 2), ({"millwright_allow_disk_removal": True}, 2)):
        assert site.play("reconfigure", larger, "-e", json.dumps(told)).returncode == code
    told = {"millwright_allow_disk_removal": True, "millwright_allow_power_cycle": True}
    assert site.play("reconfigure", larger, "-e", json.dumps(told)).returncode == 0
    [machine] = store.read().machines.values()
    assert (machine.memory_mib, machine.power.value, store.read().pools["default"].volumes) == (128, "on", {})
    store.tell({"deaf_guests": ["web"]})
    told = {"millwright_timeout": 1, "millwright_force": True}
    assert site.play("shutdown", larger, "-e", json.dumps(told)).returncode == 0
    assert machines(store) == {"web": "off"}
