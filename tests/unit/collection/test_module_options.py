# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the modules and their documentation say what the definition and the code say."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.millwright.virt.plugins.module_utils.connection import CONNECTION
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import DRIVERS
from ansible_collections.millwright.virt.plugins.module_utils.vm.argspec import argument_spec
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import FieldSpec, fields_of

PLUGINS = "ansible_collections.millwright.virt.plugins"
ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (ROOT / "collection/plugins/modules").glob("[!_]*.py"))


def documented(fragment: str) -> dict[str, Any]:
    text = importlib.import_module(f"{PLUGINS}.doc_fragments.{fragment}").ModuleDocFragment.DOCUMENTATION
    return yaml.safe_load(text)["options"]


def agree(options: dict[str, Any], spec: dict[str, Any]) -> None:
    """Documentation of options and an argument spec say the same."""
    assert options.keys() == spec.keys()
    for name, option in spec.items():
        said = options[name]
        told = {
            key: option[key]
            for key in ("type", "elements", "default", "choices", "required", "aliases")
            if key in option
        }
        assert {key: said[key] for key in said if key not in ("description", "suboptions")} == told, name
        if "options" in option:
            agree(said["suboptions"], option["options"])


def explained(options: dict[str, Any], specs: tuple[FieldSpec, ...]) -> None:
    """Each field is described in the definition's own words."""
    for spec in specs:
        assert options[spec.name]["description"][0] == spec.rule.help
        if spec.kind == "object":
            explained(options[spec.name]["suboptions"], fields_of(spec.types[0]))


def test_the_doc_fragment_of_the_definition_is_the_definition():
    spec = argument_spec()
    spec["memory_mib"] = {"type": "int"}  # removing a VM needs no memory
    agree(documented("vm_definition"), spec)
    explained(documented("vm_definition"), fields_of(VmDefinition))


def test_the_doc_fragment_of_the_connection_is_the_connection():
    agree(documented("hypervisor"), CONNECTION)
    assert documented("hypervisor")["hypervisor_type"]["choices"] == sorted(DRIVERS)


def test_each_option_of_the_connection_names_its_environment_variable():
    for name, option in documented("hypervisor").items():
        assert f"E(MILLWRIGHT_{name.upper()})" in option["description"][-1]
        assert CONNECTION[name]["fallback"][1] == [f"MILLWRIGHT_{name.upper()}"]


def test_secrets_are_not_logged():
    assert CONNECTION["password"]["no_log"] is True
    assert argument_spec()["cloud_init"]["options"]["user_data"]["no_log"] is True


def test_every_module_is_in_the_action_group():
    groups = yaml.safe_load((ROOT / "collection/meta/runtime.yml").read_text())["action_groups"]
    assert sorted(groups["hypervisor"]) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_the_main_of_a_module_is_short_and_its_docs_are_whole(name):
    module = importlib.import_module(f"{PLUGINS}.modules.{name}")
    described = yaml.safe_load(module.DOCUMENTATION)
    assert described["module"] == name
    assert {"millwright.virt.hypervisor", "millwright.virt.attributes.action_group"} <= set(
        described["extends_documentation_fragment"]
    )
    assert all(task[f"millwright.virt.{name}"] is not False for task in yaml.safe_load(module.EXAMPLES)[:1])
    assert {"code", "detail", "retryable", "begun", "left"} <= yaml.safe_load(module.RETURN).keys()


def test_the_defaults_of_the_options_are_the_definition_s():
    given = {"name": "web", "memory_mib": 64, "disks": [{"size_mib": 8}], "nics": [{"network": "lan"}]}
    result = ArgumentSpecValidator(argument_spec()).validate(given)
    assert result.error_messages == []
    assert VmDefinition.from_dict(result.validated_parameters) == VmDefinition.from_dict(given)
