# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the READMEs show works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_commands import ROOT, succeed

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from webapi.cli.appliance import read_appliance

FILE_IN_TEXT = re.compile(r"<!-- tested: (\S+) -->\n```yaml\n(.*?)```", re.DOTALL)


def file_of(readme: str, name: str) -> str:
    return dict(FILE_IN_TEXT.findall((ROOT / readme).read_text()))[name]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """The README's inventory, with the hypervisor in a directory of its own."""
    (tmp_path / "lab").mkdir()
    text = file_of("README.md", "inventory.yml")
    assert "fake:///tmp/lab" in text
    (tmp_path / "inventory.yml").write_text(text.replace("fake:///tmp/lab", f"fake://{tmp_path}/lab"))
    return tmp_path


def play(lab: Path, playbook: str, *more: str) -> str:
    collections = {"ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections"}
    return succeed(
        "ansible-playbook", "-i", "inventory.yml", f"millwright.virt.{playbook}", *more, cwd=lab, **collections
    )


def power_of(lab: Path) -> dict[str, str]:
    return {machine.name: machine.power.value for machine in Store(lab / "lab").read().machines.values()}


def changed(output: str) -> dict[str, int]:
    return {host: int(count) for host, count in re.findall(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)}


def test_the_example_inventory_is_planned_deployed_and_undeployed(lab: Path):
    planned = play(lab, "vapp_deploy", "--check", "--diff")
    assert "memory_mib" in planned
    assert power_of(lab) == {}
    play(lab, "vapp_deploy")
    assert power_of(lab) == {"web": "on", "db": "on"}
    assert changed(play(lab, "vapp_deploy")) == {"web": 0, "db": 0}
    play(lab, "vapp_undeploy")
    assert power_of(lab) == {}


def test_the_example_appliance_is_one(tmp_path: Path):
    path = tmp_path / "shop.yml"
    path.write_text(file_of("README.md", "shop.yml"))
    appliance = read_appliance(path)
    assert [vm.definition["name"] for vm in appliance.vms] == ["web", "db"]
