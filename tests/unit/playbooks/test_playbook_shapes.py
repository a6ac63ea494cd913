# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks are what runner and people rely on: one for each operation, all of one shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner_service.contract.operations import OPERATIONS, Operation

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
FOR_PEOPLE = ("vapp_deploy", "vapp_undeploy")
#: Ends what operations keep; it is run like one, and no job asks for it.
LOGOUT = "logout"
#: Shaped like operations; no job asks for them yet.
#: Each runs a role, over what hosts and how is its own matter.
WITH_ROLES = ("appliance_deploy", "appliance_undeploy", "rolling_reconfigure", "guarded_change", "vm_deploy")
#: Tells AWX; it has nothing to do with a hypervisor.
SETUP = "awx_setup"
NAMES = [*(operation.value for operation in Operation), *FOR_PEOPLE, LOGOUT]


def play(name: str) -> dict[str, Any]:
    (only,) = yaml.safe_load((PLAYBOOKS / f"{name}.yml").read_text())
    return only


def test_there_is_a_playbook_for_each_operation_and_no_unknown_one():
    assert {path.stem for path in PLAYBOOKS.glob("*.yml")} == {*NAMES, *WITH_ROLES, SETUP}


@pytest.mark.parametrize("name", NAMES)
def test_a_playbook_runs_its_hosts_apart_from_each_other_and_here(name):
    shape = {key: play(name)[key] for key in ("hosts", "gather_facts", "connection", "strategy", "vars")}
    assert shape == {
        "hosts": "all",
        "gather_facts": False,
        "connection": "local",
        # With one task, "linear" keeps no host waiting for another, and notices a worker that was killed.
        "strategy": "free" if name in FOR_PEOPLE else "linear",
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_playbook_tells_its_modules_the_hypervisor_as_all_others_do(name):
    group = "group/millwright.virt.hypervisor"
    assert play(name)["module_defaults"][group] == play("discover")["module_defaults"][group]


@pytest.mark.parametrize("operation", Operation)
def test_the_last_task_of_an_operation_is_its_result(operation: Operation):
    last = play(operation.value)["tasks"][-1]
    assert last["name"] == f"Millwright: {operation.value}"
    assert [key for key in last if key.startswith("millwright.virt.")]
    assert ("millwright_vm" in (PLAYBOOKS / f"{operation.value}.yml").read_text()) == OPERATIONS[operation].needs_vm
