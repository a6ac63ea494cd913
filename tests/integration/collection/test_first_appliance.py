# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/first-appliance.md, followed to the letter: its files, and its commands in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from ansible_commands import ROOT, succeed

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

GUIDE = (ROOT / "docs/first-appliance.md").read_text()
MARKED = re.findall(r"<!-- tested: (\S+) -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
FILES = {name: text for name, text in MARKED if name.endswith(".yml")}
COMMANDS = [line for name, text in MARKED if name == "commands" for line in text.splitlines()]


class Reader:
    """Somebody who follows the guide, with the lab in a directory of their own."""

    def __init__(self, place: Path):
        self.place = place
        self.lab = Store(place / "lab")
        self.lab.directory.mkdir()
        for name, text in FILES.items():
            (place / name).write_text(text.replace("fake:///tmp/lab", f"fake://{self.lab.directory}"))

    def follow(self, command: str) -> str:
        words = shlex.split(command.replace("$PWD", str(self.place)))
        here = {"PWD": self.place, "ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections"}
        return succeed(*words, cwd=self.place, **here)

    def power(self) -> dict[str, str]:
        return {machine.name: machine.power.value for machine in self.lab.read().machines.values()}


@pytest.mark.slow
def test_the_guide_works_as_it_stands(tmp_path: Path):
    reader = Reader(tmp_path)
    check, deploy, graph, site, plan, rolling, guarded, undeploy = COMMANDS
    assert "would be powered on" in reader.follow(check)
    assert reader.power() == {}
    reader.follow(deploy)
    assert reader.power() == {"db": "on", "web": "on"}
    assert re.search(r"changed=0 ", reader.follow(deploy))
    shown = reader.follow(graph)
    assert re.search(r"@role_web:\n.*--web\n", shown)
    assert re.search(r"@power_on:\n", shown)
    assert "web has 1024 MiB at lab" in reader.follow(site)
    reader.follow(plan)
    assert {machine.memory_mib for machine in reader.lab.read().machines.values()} == {1024, 2048}
    reader.follow(rolling)
    assert {machine.memory_mib for machine in reader.lab.read().machines.values()} == {1536, 2048}
    assert reader.power() == {"db": "on", "web": "on"}
    assert "failed=0" in reader.follow(guarded)
    assert "create_snapshot" in {span.operation for span in reader.lab.operations()}
    reader.follow(undeploy)
    assert reader.power() == {}


def test_the_cloud_init_of_the_guide_is_part_of_a_definition():
    [text] = [text for name, text in MARKED if name == "cloud-init"]
    VmDefinition.from_dict({"name": "web", "memory_mib": 64, **yaml.safe_load(text)})


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", GUIDE))
def test_what_the_guide_points_to_is_there(link: str):
    assert (ROOT / "docs" / link).exists()
