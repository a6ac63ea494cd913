# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API gives a person to repeat a job by hand runs, and does what the job did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_commands import ROOT, run, succeed

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.vm.fingerprint import is_fingerprint_of
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate
from runner_service.contract.messages import Hypervisor
from runner_service.contract.operations import ON_SNAPSHOTS, OPERATIONS, Operation
from runner_service.contract.tree import SnapshotOrder
from tests.requests import definition, job, vm_id
from webapi.services.replay import recipe, replay

pytestmark = pytest.mark.slow

#: What a template would make of it is not what it is.
NASTY = "{{ 7 * 7 }} {% raw %} {{ lookup('pipe', 'touch canary') }}"
SECRET = f"#cloud-config\npassword: hunter2 {NASTY}\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    directory = tmp_path / "hypervisor"
    directory.mkdir()
    return Store(directory)


class Person:
    """Somebody with an empty folder, and what the API says."""

    def __init__(self, folder: Path, store: Store):
        self.folder = folder
        self.hypervisor = Hypervisor(
            id="hypervisor-1", type="fake", url=f"fake://{store.directory}", sealed_credentials="c2VhbGVk",
            ca_certificates="-----BEGIN CERTIFICATE-----",
        )  # fmt: skip

    def repeat(self, operation: Operation, *flags: str, must: bool = True, **fields: Any) -> str:
        kept = recipe(self.hypervisor, job("web", operation, **fields))
        found = replay(operation, json.loads(json.dumps(kept)))
        assert {"credentials.json", "ca.pem"} <= found.files.keys()
        (self.folder / "inventory.yml").write_text(found.inventory)
        command = [*found.command.split(), *flags]
        environment = {"ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections"}
        if must:
            return succeed(*command, cwd=self.folder, **environment)
        return run(*command, cwd=self.folder, **environment).stdout


@pytest.fixture
def person(tmp_path: Path, store: Store) -> Person:
    folder = tmp_path / "by hand"
    folder.mkdir()
    (folder / "credentials.json").write_text('{"username": "admin", "password": "letmein"}')
    return Person(folder, store)


def test_a_job_is_tried_in_check_mode_and_then_done(person: Person, store: Store):
    wanted = definition("web", cloud_init={"meta_data": NASTY})
    fields = {"definition": wanted, "sealed_user_data": "c2VhbGVk"}
    (person.folder / "user-data").write_text(SECRET)
    said = person.repeat(Operation.CONFIGURE, "--check", "--diff", **fields)
    assert "changed=1" in said
    assert store.read().machines == {}
    person.repeat(Operation.CONFIGURE, **fields)
    [machine] = store.read().machines.values()
    assert machine.definition["uuid"] == vm_id("web")
    told = machine.definition["cloud_init"]
    assert told["meta_data"] == NASTY
    assert is_fingerprint_of(told["user_data"], SECRET), "the very file, to the last line feed"
    assert "changed=0" in person.repeat(Operation.CONFIGURE, **fields)
    assert not list(person.folder.rglob("canary"))


def test_what_is_missing_is_said(person: Person):
    (person.folder / "credentials.json").unlink()
    assert "credentials.json" in person.repeat(Operation.GET_STATE, must=False)


@pytest.mark.parametrize("operation", [each for each in Operation if each is not Operation.CONFIGURE])
def test_every_operation_can_be_repeated(person: Person, operation: Operation):
    """That the playbook is there and understands its inventory: against a hypervisor with such a VM, switched off."""
    person.repeat(Operation.CONFIGURE)
    fields: dict[str, Any] = {} if OPERATIONS[operation].needs_vm else {"definition": None}
    if operation is Operation.SHUTDOWN:
        fields["timeout"] = 5
    if operation is Operation.CAPTURE:
        fields["template"] = WantedTemplate(name="golden")
    if operation in ON_SNAPSHOTS:
        fields["snapshot"] = SnapshotOrder(name="first")
    said = person.repeat(operation, "--check", must=False, **fields)
    assert "ok=1" in said or "driver.invalid_transition" in said or "not be" in said or "driver.not_found" in said, said
