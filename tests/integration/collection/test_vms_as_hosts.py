# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, asked by ansible-inventory and ansible-playbook as people do."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_commands import ROOT, run, succeed

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.world import Machine
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

pytestmark = pytest.mark.slow

CANARY = "canary-4711"
DEAD = {"name": "dead", "type": "libvirt", "url": f"qemu+tcp://admin:{CANARY}@127.0.0.1:1/system"}
INJECTION = "{{ lookup('pipe', 'touch evaluated') }}"


class Lab:
    """A directory with fake hypervisors and the inventory file that names them."""

    def __init__(self, directory: Path):
        self.directory = directory

    def hypervisor(self, name: str, *vms: str, **more: Any) -> dict[str, Any]:
        """The entry of a hypervisor that has these VMs, each with a tag "role" that is its name without digits."""
        store = self.store(name)
        store.directory.mkdir(exist_ok=True)
        url = f"fake://{store.directory}"
        with open_driver(Connection(hypervisor_type="fake", url=url)) as driver:
            for vm in vms:
                tags = {"role": vm.rstrip("0123456789")}
                driver.create(VmDefinition.from_dict({"name": vm, "memory_mib": 64, "tags": tags}))
        return {"name": name, "type": "fake", "url": url, **more}

    def store(self, name: str) -> Store:
        return Store(self.directory / name)

    def write(self, *hypervisors: dict[str, Any], **options: Any) -> None:
        text = {"plugin": "millwright.virt.vms", "hypervisors": list(hypervisors), **options}
        (self.directory / "lab.millwright.yml").write_text(yaml.safe_dump(text))

    def ansible(self, command: str, *arguments: str, **environment: str):
        # A file that cannot be read is an empty inventory to Ansible unless it is told otherwise.
        strict = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", "ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections"}
        given = ("-i", "lab.millwright.yml", *arguments)
        return run(command, *given, cwd=self.directory, **{**strict, **environment})

    def groups(self, **environment: str) -> dict[str, Any]:
        done = self.ansible("ansible-inventory", "--list", **environment)
        assert done.returncode == 0, done.stderr
        return plain(json.loads(done.stdout))

    def hosts(self) -> dict[str, dict[str, Any]]:
        return dict(self.groups()["_meta"]["hostvars"])

    def refusal(self) -> str:
        done = self.ansible("ansible-inventory", "--list")
        assert done.returncode != 0
        return " ".join(done.stderr.split())


def plain(told: Any) -> Any:
    """Without the marks with which Ansible says that a text is not to be evaluated."""
    match told:
        case {"__ansible_unsafe": text}:
            return text
        case dict():
            return {key: plain(value) for key, value in told.items()}
        case list():
            return [plain(value) for value in told]
    return told


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_vms_of_several_hypervisors_are_hosts_in_the_groups_of_their_hypervisors(lab: Lab):
    lab.write(lab.hypervisor("kvm-1", "web1", "web2"), lab.hypervisor("kvm2", "db"))
    told = lab.groups()
    assert told["kvm_1"]["hosts"] == ["web1", "web2"]
    assert told["kvm2"]["hosts"] == ["db"]
    db = told["_meta"]["hostvars"]["db"]
    assert db["millwright_power"] == "off"
    assert db["millwright_managed"] is True
    assert db["millwright_definition"]["memory_mib"] == 64
    assert db["millwright_vm"] == {"name": "db", "uuid": db["millwright_uuid"]}
    assert db["millwright_hypervisor"] == {"type": "fake", "url": f"fake://{lab.directory}/kvm2"}


def test_groups_variables_and_filters_are_constructed(lab: Lab):
    lab.write(
        lab.hypervisor("kvm", "web1", "web2", "db"),
        keyed_groups=[{"key": "millwright_tags.role", "prefix": "role"}],
        groups={"ours": "millwright_managed"},
        compose={"ansible_user": "'debian'", "size": "millwright_definition.memory_mib * 2"},
        filters=["millwright_name != 'web2'"],
    )
    told = lab.groups()
    assert told["role_web"]["hosts"] == ["web1"]
    assert told["role_db"]["hosts"] == ["db"]
    assert sorted(told["ours"]["hosts"]) == ["db", "web1"]
    assert told["_meta"]["hostvars"]["db"]["size"] == 128
    assert told["_meta"]["hostvars"]["db"]["ansible_user"] == "debian"


@pytest.mark.parametrize(
    "wrong", [{"compose": {"x": "nothing.here"}}, {"groups": {"x": "nothing.here"}}, {"filters": ["nothing.here"]}]
)
def test_an_expression_that_fails_is_passed_over_or_with_strict_an_error(lab: Lab, wrong: dict[str, Any]):
    kvm = lab.hypervisor("kvm", "web")
    lab.write(kvm, **wrong)
    told = lab.groups()
    assert "x" not in told
    assert "x" not in told["_meta"]["hostvars"].get("web", {})
    lab.write(kvm, **wrong, strict=True)
    assert "web" in lab.refusal()


def test_a_filter_that_has_an_answer_for_no_vm_is_warned_of(lab: Lab):
    wrong, right = "name.startswith('w')", "millwright_tags.role == 'web'"
    lab.write(lab.hypervisor("kvm", "web", "db"), filters=[right, wrong])
    done = lab.ansible("ansible-inventory", "--list")
    said = " ".join(done.stderr.split())
    assert "leaves out every VM" in said
    assert "startswith" in said
    assert "'name' is undefined" in said
    lab.write(lab.hypervisor("kvm2", "web"), filters=[right, "millwright_tags.there_is_none == 'x' or true", "false"])
    assert right not in lab.ansible("ansible-inventory", "--list").stderr


def test_an_option_that_there_is_not_is_refused_with_what_is_meant(lab: Lab):
    lab.write(lab.hypervisor("kvm", "web"), filter=["millwright_power == 'on'"])
    assert "there is no option 'filter'; is 'filters' meant?" in lab.refusal()
    lab.write(lab.hypervisor("kvm2", "web"), cache=False, strict=True, use_extra_vars=True, keyed_groups=[])
    assert "web" in lab.hosts()


def test_a_file_that_is_called_otherwise_says_how_it_must_be_called(lab: Lab):
    lab.write(lab.hypervisor("kvm", "web"))
    (lab.directory / "lab.millwright.yml").rename(lab.directory / "lab.yml")
    command = ("ansible-inventory", "-i", "lab.yml", "--list")
    done = run(*command, cwd=lab.directory, ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections")
    assert "its name must end in millwright.yml" in " ".join(done.stderr.split())


def test_credentials_that_others_can_read_are_warned_of(lab: Lab):
    file = lab.directory / "kvm.json"
    file.write_text(json.dumps({"username": "admin", "password": CANARY}))
    file.chmod(0o644)
    lab.write(lab.hypervisor("kvm", "web", credentials_file=str(file)))
    said = " ".join(lab.ansible("ansible-inventory", "--list").stderr.split())
    assert said.count("can be read by others") == 1


def test_the_mock_of_libvirt_gives_its_vm(lab: Lab):
    lab.write({"name": "mock", "type": "libvirt", "url": "test:///default"})
    vm = lab.hosts()["test"]
    assert vm["millwright_power"] == "on"
    assert vm["millwright_managed"] is False
    assert vm["millwright_hypervisor"] == {"type": "libvirt", "url": "test:///default"}


def test_a_dead_hypervisor_is_told_and_takes_no_other_away(lab: Lab):
    lab.write(DEAD, lab.hypervisor("kvm", "web"))
    done = lab.ansible("ansible-inventory", "--list")
    assert done.returncode == 0
    assert json.loads(done.stdout)["kvm"]["hosts"] == ["web"]
    assert "hypervisor dead: connecting to" in " ".join(done.stderr.split())
    assert CANARY not in done.stdout + done.stderr


def test_a_dead_hypervisor_can_be_an_error(lab: Lab):
    lab.write(DEAD, lab.hypervisor("kvm", "web"), on_error="fail")
    assert "hypervisors that cannot be read: dead" in lab.refusal()


def test_nothing_but_dead_hypervisors_is_an_error_and_no_empty_inventory(lab: Lab):
    lab.write(DEAD)
    assert "hypervisors that cannot be read: dead" in lab.refusal()


def test_a_hypervisor_that_hangs_is_given_up_and_no_process_stays(lab: Lab):
    hanging = lab.hypervisor("slow", "web")
    lab.store("slow").tell({"delays": {"list_vms": 600}})
    lab.write(hanging, lab.hypervisor("kvm", "db"), timeout=2)
    began = time.monotonic()
    done = lab.ansible("ansible-inventory", "--list")
    assert time.monotonic() - began < 60
    assert json.loads(done.stdout)["kvm"]["hosts"] == ["db"]
    assert "no answer within 2 seconds" in done.stderr
    [asked] = [span for span in lab.store("slow").operations() if span.operation == "list_vms"]
    assert not Path(f"/proc/{asked.pid}").exists()


def test_vms_of_the_same_name_are_all_there(lab: Lab):
    lab.write(lab.hypervisor("kvm1", "web", "db"), lab.hypervisor("kvm2", "web"))
    done = lab.ansible("ansible-inventory", "--list")
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"web.kvm1", "web.kvm2", "db"}
    assert "2 VMs are called 'web'" in " ".join(done.stderr.split())


def test_no_vm_becomes_the_control_host_or_a_group_whatever_it_is_called(lab: Lab):
    """Tasks that are delegated to localhost have the hypervisor's password, and names are whoever's who makes VMs."""
    lab.write(lab.hypervisor("kvm", "localhost", "127.0.0.1", "all", "kvm", "web"))
    done = lab.ansible("ansible-inventory", "--list")
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {
        "localhost.kvm", "127.0.0.1.kvm", "all.kvm", "kvm.kvm", "web",
    }  # fmt: skip
    assert "'localhost' means something else to Ansible" in " ".join(done.stderr.split())
    assert "'web'" not in done.stderr


def test_hosts_can_be_named_otherwise(lab: Lab):
    lab.write(lab.hypervisor("kvm1", "web"), hostname="millwright_name ~ '.' ~ millwright_hypervisor_name ~ '.lab'")
    assert set(lab.hosts()) == {"web.kvm1.lab"}
    lab.write(lab.hypervisor("kvm1"), hostname="millwright_tags.nothing")
    assert "hostname: web" in lab.refusal()


def test_no_secret_is_in_the_inventory_and_a_wrong_one_is_no_text_of_it(lab: Lab):
    secured = lab.hypervisor("kvm", "web")
    lab.store("kvm").tell({"accounts": {"admin": CANARY}})
    (lab.directory / "login.json").write_text(json.dumps({"username": "admin", "password": CANARY}))
    lab.write({**secured, "username": "admin", "password": CANARY})
    assert CANARY not in json.dumps(told := lab.hosts())
    assert told["web"]["millwright_hypervisor"]["username"] == "admin"
    lab.write({**secured, "credentials_file": str(lab.directory / "login.json")})
    assert lab.hosts()["web"]["millwright_hypervisor"]["credentials_file"] == str(lab.directory / "login.json")
    lab.write({**secured, "username": "admin", "password": f"{CANARY}-wrong"})
    assert "hypervisors that cannot be read: kvm" in (said := lab.refusal())
    assert CANARY not in said


def test_the_environment_gives_what_the_file_does_not_say(lab: Lab):
    secured = lab.hypervisor("kvm", "web")
    lab.store("kvm").tell({"accounts": {"admin": CANARY}})
    (lab.directory / "login.json").write_text(json.dumps({"username": "admin", "password": CANARY}))
    given = {"MILLWRIGHT_CREDENTIALS_FILE": str(lab.directory / "login.json")}
    lab.write(secured)
    told = lab.groups(**given)["_meta"]["hostvars"]["web"]
    assert "credentials_file" not in told["millwright_hypervisor"]
    (lab.directory / "lab.millwright.yml").write_text("plugin: millwright.virt.vms\n")
    told = lab.groups(MILLWRIGHT_HYPERVISOR_TYPE="fake", MILLWRIGHT_URL=secured["url"], **given)
    assert told["fake"]["hosts"] == ["web"]
    # A login that an entry names is not mixed with one of the environment.
    lab.write({**secured, "username": "admin", "password": "wrong"})
    assert lab.ansible("ansible-inventory", "--list", **given).returncode != 0


def test_values_of_entries_may_be_templates_and_vaulted(lab: Lab):
    secured = lab.hypervisor("kvm", "web")
    lab.store("kvm").tell({"accounts": {"admin": CANARY}})
    (lab.directory / "vault").write_text("vault password")
    vaulted = succeed(
        "ansible-vault", "encrypt_string", "--vault-password-file", "vault", CANARY, cwd=lab.directory
    )  # fmt: skip
    text = f"""
plugin: millwright.virt.vms
hypervisors:
  - type: fake
    url: "{{{{ lookup('env', 'WHERE') }}}}"
    username: admin
    password: {vaulted}
"""
    (lab.directory / "lab.millwright.yml").write_text(text)
    given = {"WHERE": secured["url"], "ANSIBLE_VAULT_PASSWORD_FILE": str(lab.directory / "vault")}
    assert lab.groups(**given)["fake"]["hosts"] == ["web"]


def test_answers_are_cached_and_failures_are_not(lab: Lab):
    slow = lab.hypervisor("late", "db")
    lab.store("late").tell({"unreachable": True})
    lab.write(
        lab.hypervisor("kvm", "web"), slow, cache=True, cache_plugin="ansible.builtin.jsonfile",
        cache_connection=str(lab.directory / "cache"), hostname="millwright_name",
    )  # fmt: skip
    assert set(lab.hosts()) == {"web"}
    lab.store("late").tell({})
    lab.hypervisor("kvm", "new")
    assert set(lab.hosts()) == {"web", "db"}
    done = lab.ansible("ansible-inventory", "--list", "--flush-cache")
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"web", "new", "db"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "fake"}, "hypervisors[0]: missing required arguments: url"),
        ({"type": "xen", "url": "x"}, "hypervisors[0]: value of hypervisor_type must be one of"),
        ({"type": "fake", "url": "fake:///x", "pasword": "x"}, "hypervisors[0]: pasword"),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_wrong(lab: Lab, entry: dict[str, Any], words: str):
    lab.write(entry)
    assert words in lab.refusal()


def test_two_hypervisors_of_one_name_are_refused(lab: Lab):
    lab.write(lab.hypervisor("kvm", "web"), lab.hypervisor("kvm"))
    assert "more than one is called 'kvm'" in lab.refusal()


def test_a_vms_name_is_never_evaluated(lab: Lab):
    kvm = lab.hypervisor("kvm")
    with lab.store("kvm").change() as world:
        uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f"
        world.machines[uuid] = Machine(name=INJECTION, uuid=uuid)
    lab.write(
        kvm, compose={"copied": "millwright_name"}, keyed_groups=[{"key": "millwright_name", "prefix": "named"}]
    )  # fmt: skip
    assert lab.hosts()[INJECTION]["copied"] == INJECTION
    lab.ansible("ansible", "all", "-c", "local", "-m", "ansible.builtin.debug", "-a", "var=copied")
    assert not list(lab.directory.glob("evaluated*"))


def test_the_operation_playbooks_run_over_the_inventory_as_it_is(lab: Lab):
    lab.write(
        lab.hypervisor("kvm", "web", "db"), keyed_groups=[{"key": "millwright_tags.role", "prefix": "role"}]
    )  # fmt: skip
    done = lab.ansible("ansible-playbook", "millwright.virt.power_on", "--limit", "role_web")
    assert done.returncode == 0, done.stdout
    power = {machine.name: machine.power.value for machine in lab.store("kvm").read().machines.values()}
    assert power == {"web": "on", "db": "off"}
