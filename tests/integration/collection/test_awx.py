# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX is told: by the rules of AWX and of awx.awx, and applied to a controller that is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_commands import ROOT, run, succeed
from fake_controller import TOKEN, Controller, controller
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import DRIVERS
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerState
from tools.ansible_checks import COLLECTIONS

pytestmark = pytest.mark.slow

#: The list of awx/controller.yml -> the module of awx.awx that its items are for.
MODULES = {
    "controller_credential_types": "credential_type",
    "controller_execution_environments": "execution_environment",
    "controller_projects": "project",
    "controller_inventories": "inventory",
    "controller_inventory_sources": "inventory_source",
    "controller_templates": "job_template",
}
#: AWX's question types, and what their defaults are.
QUESTIONS: dict[str, type | tuple[type, ...]] = {
    "text": str, "textarea": str, "password": str, "multiplechoice": str, "multiselect": str,
    "integer": int, "float": (int, float),
}  # fmt: skip
FIELD_KEYS = {
    "string": {"id", "label", "type", "help_text", "default", "secret", "multiline", "format", "choices"},
    "boolean": {"id", "label", "type", "help_text", "default"},
}
CANARY = "canary-'\"<&>{{7*7}}\\4711"


class Loader(yaml.SafeLoader):
    """Reads Ansible's YAML."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
DATA: dict[str, list[dict[str, Any]]] = yaml.load((ROOT / "awx/controller.yml").read_text(), Loader)
TEMPLATES = {template["name"]: template for template in DATA["controller_templates"]}
[CREDENTIAL_TYPE] = DATA["controller_credential_types"]
FIELDS = CREDENTIAL_TYPE["inputs"]["fields"]


def spec_of(option: dict[str, Any]) -> dict[str, Any]:
    """An option's documentation as an argument spec; awx.awx's sanity tests hold the two equal."""
    told = {key: option[key] for key in ("type", "choices", "required", "elements", "aliases") if key in option}
    return {"type": "str", **told}


@pytest.fixture(scope="module")
def specs(tmp_path_factory) -> dict[str, Any]:
    names = [f"awx.awx.{module}" for module in MODULES.values()]
    told = succeed(
        "ansible-doc", "-j", *names, cwd=tmp_path_factory.mktemp("doc"), ANSIBLE_COLLECTIONS_PATH=COLLECTIONS
    )  # fmt: skip
    documented = json.loads(told)
    return {
        name.rpartition(".")[2]: {key: spec_of(option) for key, option in page["doc"]["options"].items()}
        for name, page in documented.items()
    }


def problems(specs: dict[str, Any], kind: str, item: dict[str, Any]) -> list[str]:
    return ArgumentSpecValidator(specs[MODULES[kind]]).validate(item).error_messages


def test_every_list_is_applied_and_every_item_keeps_its_modules_rules(specs: dict[str, Any]):
    assert set(DATA) == set(MODULES)
    wrong = {
        item["name"]: found for kind, items in DATA.items() for item in items if (found := problems(specs, kind, item))
    }
    assert wrong == {}
    broken = {**DATA["controller_templates"][0], "ask_limits": True}
    assert problems(specs, "controller_templates", broken)


def survey_problems(survey: dict[str, Any]) -> Iterator[str]:
    """By AWX's rules for surveys."""
    variables = [question["variable"] for question in survey["spec"]]
    if {"name", "description", "spec"} != set(survey) or not variables or len(set(variables)) != len(variables):
        yield "name, description, and a spec with different variables"
    for question in survey["spec"]:
        kind, default = question["type"], question.get("default", "")
        if not {"type", "question_name", "variable", "required"} <= set(question):
            yield f"{question}: lacks a key"
        if default != "" and (not isinstance(default, QUESTIONS[kind]) or isinstance(default, bool)):
            yield f"{question['variable']}: the default is no {kind}"
        choices = question.get("choices", [])
        if kind.startswith("multi") and (not choices or (default and default not in choices)):
            yield f"{question['variable']}: choices"
        limits = (question.get("min", 0), question.get("max", 0))
        if not all(isinstance(limit, int) for limit in limits) or limits[0] > limits[1] > 0:
            yield f"{question['variable']}: min and max"


@pytest.mark.parametrize("name", [name for name, template in TEMPLATES.items() if "survey_spec" in template])
def test_a_survey_keeps_the_rules_and_asks_what_its_playbook_reads(name: str):
    template = TEMPLATES[name]
    assert template["survey_enabled"] is True
    assert list(survey_problems(template["survey_spec"])) == []
    read = (ROOT / template["playbook"]).read_text() + json.dumps(template.get("extra_vars", {}))
    for question in template["survey_spec"]["spec"]:
        assert re.search(rf"\b{question['variable']}\b", read), question["variable"]


def test_the_rules_for_surveys_find_what_breaks_them():
    question = {"type": "integer", "question_name": "Q", "variable": "q", "required": True}
    for wrong in ({"default": "7"}, {"type": "multiplechoice"}, {"min": 3, "max": 2}):
        assert list(survey_problems({"name": "", "description": "", "spec": [{**question, **wrong}]}))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_names_a_playbook_that_awx_lists(name: str):
    path = ROOT / TEMPLATES[name]["playbook"]
    assert not path.is_symlink()
    assert re.search(r"^- .*\n(.*\n)*?  hosts:", path.read_text(), re.MULTILINE)
    assert TEMPLATES[name]["inventory"] in {inventory["name"] for inventory in DATA["controller_inventories"]}


def test_the_credential_type_keeps_the_rules():
    names = [field["id"] for field in FIELDS]
    assert all(re.fullmatch(r"[a-zA-Z_]\w*", name) and name != "tower" for name in names)
    assert len(set(names)) == len(names)
    assert all(set(field) <= FIELD_KEYS[field["type"]] for field in FIELDS)
    assert set(CREDENTIAL_TYPE["inputs"]["required"]) <= set(names)
    assert set(CREDENTIAL_TYPE["injectors"]) <= {"file", "env", "extra_vars"}
    assert set(CREDENTIAL_TYPE["injectors"]["file"]) == {"template"}
    environment = CREDENTIAL_TYPE["injectors"]["env"]
    assert all(re.fullmatch(r"[a-zA-Z_]\w*", name) and not name.startswith("ANSIBLE_") for name in environment)
    [kinds] = [field["choices"] for field in FIELDS if field["id"] == "hypervisor_type"]
    assert set(kinds) <= set(DRIVERS)


def injected(directory: Path, **values: Any) -> dict[str, str]:
    """The environment that AWX gives a job, and the file that it points to."""
    path = directory / "injected"
    known = {field["id"]: "" for field in FIELDS} | {"validate_certs": True, **values}
    awx = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    path.write_text(awx.from_string(CREDENTIAL_TYPE["injectors"]["file"]["template"]).render(known))
    told = {**known, "tower": {"filename": str(path)}}
    return {name: awx.from_string(text).render(told) for name, text in CREDENTIAL_TYPE["injectors"]["env"].items()}


@pytest.fixture
def secured(tmp_path: Path) -> tuple[Store, dict[str, str]]:
    """A hypervisor that wants a login with a password of the sharpest characters, and what a job in AWX gets."""
    store = Store(tmp_path / "hypervisor")
    store.directory.mkdir()
    store.tell({"accounts": {"admin": CANARY}})
    url = f"fake://{store.directory}"
    return store, injected(tmp_path, hypervisor_type="fake", url=url, username="admin", password=CANARY)


def test_a_survey_makes_a_vm_and_the_inventory_source_shows_it(tmp_path: Path, secured):
    store, environment = secured
    here = {"cwd": tmp_path, "ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections", **environment}
    answers = {"vm_name": "web", "vm_memory_mib": 64, "vm_cpus": 2, "vm_template": "/templates/guest.qcow2"}
    answers |= {"vm_disk_mib": "", "vm_network": "default", "vm_user_data": "#cloud-config\n{}\n"}
    asked = {question["variable"] for question in TEMPLATES["Millwright - deploy a VM"]["survey_spec"]["spec"]}
    assert set(answers) == asked
    succeed("ansible-playbook", ROOT / "playbooks/vm_deploy.yml", "-e", json.dumps(answers), **here)
    assert [machine.power.value for machine in store.read().machines.values()] == ["on"]
    told = succeed("ansible-inventory", "-i", ROOT / "awx/vms.millwright.yml", "--graph", **here)
    assert "power_on" in told
    assert "web" in told
    [source] = DATA["controller_inventory_sources"]
    assert source["source_path"] == "awx/vms.millwright.yml"


def launch(name: str, answers: dict[str, Any], directory: Path, environment: dict[str, str]):
    """Run a template's playbook as AWX does: a template's own variables are evaluated, and answers never are."""
    template = TEMPLATES[name]
    assert set(answers) == {question["variable"] for question in template["survey_spec"]["spec"]}

    class Safely(yaml.SafeDumper):
        """Writes answers that Ansible does not evaluate."""

    Safely.add_representer(str, lambda dumper, text: dumper.represent_scalar("!unsafe", text))
    (directory / "own.yml").write_text(yaml.safe_dump(template["extra_vars"]))
    (directory / "answers.yml").write_text(yaml.dump(answers, Dumper=Safely))
    return run(
        "ansible-playbook", ROOT / template["playbook"], "-i", ROOT / "awx/vms.millwright.yml", "--limit", "web",
        "-e", "@own.yml", "-e", "@answers.yml", cwd=directory,
        ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections", **environment,
    )  # fmt: skip


CHANGE = {
    "change_memory_mib": "", "change_cpus": "", "change_disk_mib": "", "change_description": "",
    "change_power_cycle": "no", "change_timeout": 1,
}  # fmt: skip


@pytest.fixture
def there(tmp_path: Path) -> tuple[Store, dict[str, str]]:
    """VM web, which is on, and one that somebody else made, with what a job in AWX gets."""
    store = Store(tmp_path / "hypervisor")
    store.directory.mkdir()
    environment = injected(tmp_path, hypervisor_type="fake", url=f"fake://{store.directory}")
    answers = {"vm_name": "web", "vm_memory_mib": 64, "vm_template": "/templates/guest.qcow2", "vm_network": "default"}
    succeed(
        "ansible-playbook", ROOT / "playbooks/vm_deploy.yml", "-e", json.dumps(answers), cwd=tmp_path,
        ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections", **environment,
    )  # fmt: skip
    return store, environment


def test_a_survey_changes_what_it_asks_for_and_nothing_else(tmp_path: Path, there):
    store, environment = there
    name = "Millwright - change VMs"
    description = "a {{ 7 * 7 }}"
    asked = {**CHANGE, "change_memory_mib": 128, "change_disk_mib": 64, "change_description": description}
    refused = launch(name, asked, tmp_path, environment)
    assert "allow_power_cycle" in refused.stdout
    done = launch(name, {**asked, "change_power_cycle": "yes"}, tmp_path, environment)
    assert done.returncode == 0, done.stdout
    [machine] = store.read().machines.values()
    assert (machine.memory_mib, machine.power.value) == (128, "on")
    assert machine.definition["description"] == description
    assert (machine.definition["cpu"]["count"], machine.definition["disks"][0]["size_mib"]) == (1, 64)
    again = launch(name, CHANGE, tmp_path, environment)
    assert "changed=0" in again.stdout, again.stdout
    assert list(store.read().machines.values()) == [machine]


def test_a_survey_raises_what_has_a_limit_above_it(tmp_path: Path, there):
    store, environment = there
    with store.change() as world:
        [machine] = world.machines.values()
        machine.definition |= {"memory_max_mib": 96, "cpu": {**machine.definition["cpu"], "max_count": 1}}
    answers = {**CHANGE, "change_memory_mib": 128, "change_cpus": 2, "change_power_cycle": "yes"}
    done = launch("Millwright - change VMs", answers, tmp_path, environment)
    assert done.returncode == 0, done.stdout
    [machine] = store.read().machines.values()
    assert (machine.memory_mib, machine.definition["cpu"]["count"]) == (128, 2)


def test_a_vm_of_somebody_else_is_not_changed_by_a_survey(tmp_path: Path, there):
    store, environment = there
    with store.change() as world:
        [machine] = world.machines.values()
        machine.definition = None
    asked = {**CHANGE, "change_cpus": 2, "change_disk_mib": 64}
    done = launch("Millwright - change VMs", asked, tmp_path, environment)
    assert "was not made by Millwright" in " ".join(done.stdout.split())


def test_surveys_make_a_template_and_delete_snapshots(tmp_path: Path, there):
    store, environment = there

    def snapshots() -> list[str]:
        return [one["name"] for machine in store.read().machines.values() for one in machine.snapshots]

    for snapshot, memory in (("first", "no"), ("second", "yes")):
        answers = {"snapshot_name": snapshot, "snapshot_memory": memory}
        assert launch("Millwright - take a snapshot", answers, tmp_path, environment).returncode == 0
    [machine] = store.read().machines.values()
    assert [snapshot["power"] for snapshot in machine.snapshots] == ["off", "on"]
    with store.change() as world:
        [machine] = world.machines.values()
        machine.power = PowerState.OFF
    answers = dict.fromkeys(("template_disk", "template_pool"), "")
    answers |= {"template_name": "golden", "template_format": "qcow2", "template_snapshot": "first"}
    done = launch("Millwright - make a template of a VM", answers, tmp_path, environment)
    assert done.returncode == 0, done.stdout
    assert "golden.qcow2" in store.read().pools["default"].captured
    for name, children, left in (("second", "no", ["first"]), ("first", "yes", [])):
        answers = {"snapshot_name": name, "snapshot_children": children}
        assert launch("Millwright - delete a snapshot", answers, tmp_path, environment).returncode == 0
        assert snapshots() == left


def told_awx(told: Controller, tmp_path: Path, **more: str):
    path = f"{ROOT / '.collections'}:{COLLECTIONS}"
    given = {"millwright_credential": {"hypervisor_type": "libvirt", "url": "qemu:///system", "password": CANARY}}
    (tmp_path / "vault.yml").write_text(json.dumps(more or given))
    return run(
        "ansible-playbook", ROOT / "playbooks/awx_setup.yml", "-e", "@vault.yml", cwd=tmp_path,
        ANSIBLE_COLLECTIONS_PATH=path, CONTROLLER_HOST=told.address, CONTROLLER_OAUTH_TOKEN=TOKEN,
    )  # fmt: skip


def test_the_setup_tells_awx_everything_once(tmp_path: Path):
    with controller() as told:
        done = told_awx(told, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr
        first = told.changes
        for kind, table in (("credential_types", "credential_types"), ("templates", "job_templates")):
            assert {item["name"] for item in told.tables[table]} == {
                item["name"] for item in DATA[f"controller_{kind}"]
            }
        # What AWX evaluates was not evaluated on the way.
        assert told.tables["credential_types"][0]["injectors"] == CREDENTIAL_TYPE["injectors"]
        snapshot = told.named("job_templates", "Millwright - take a snapshot")
        assert json.loads(snapshot["extra_vars"]) == TEMPLATES["Millwright - take a snapshot"]["extra_vars"]
        assert told.surveys[snapshot["related"]["survey_spec"]]["spec"][0]["variable"] == "snapshot_name"
        [credential] = told.tables["credentials"]
        assert told.associated[f"{snapshot['url']}credentials/"] == [credential["id"]]
        [source] = told.tables["inventory_sources"]
        assert source["credential"] == credential["id"]
        again = told_awx(told, tmp_path)
        assert "changed=0" in again.stdout, again.stdout
        assert told.changes == first


def test_the_setup_wants_a_hypervisor(tmp_path: Path):
    with controller() as told:
        assert "Give millwright_credential" in told_awx(told, tmp_path, nothing="here").stdout
        assert told.changes == 0


def test_what_a_release_does_not_hold_passes_the_linter_for_production(tmp_path: Path):
    path = f"{ROOT / '.collections'}:{COLLECTIONS}"
    files = ("playbooks/awx_setup.yml", "awx", "execution-environment.yml", "molecule")
    homes = {"HOME": tmp_path, "ANSIBLE_HOME": tmp_path / ".ansible", "ANSIBLE_COLLECTIONS_PATH": path}
    succeed("ansible-lint", "--offline", "--profile", "production", *files, cwd=ROOT, **homes)


def test_the_execution_environment_is_one_and_has_what_the_collection_needs(tmp_path: Path):
    succeed(
        "ansible-builder", "create", "-f", ROOT / "execution-environment.yml", "-c", tmp_path / "context", cwd=tmp_path
    )
    described = yaml.safe_load((ROOT / "execution-environment.yml").read_text())
    pinned = (ROOT / "pyproject.toml").read_text()
    for package in ("ansible_core", "ansible_runner"):
        assert f'"{described["dependencies"][package]["package_pip"]}"' in pinned
    collections = yaml.safe_load((tmp_path / "context/_build/requirements.yml").read_text())["collections"]
    assert [one["name"] for one in collections] == ["https://github.com/millwright/millwright.git"]
