# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users type is data, all the way, or is refused; and it is refused alike by everybody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.sites import real, small
from tests.waiting import wait_until
from tools.guest.pool import GuestPool
from tools.stack import MILLWRIGHT, ROOT
from webapi.cli.errors import Refused

HOSTILE = (
    "{{ lookup('pipe','id') }}",
    "{% raw %}a\"b'c&<>]]>",
    "'; DROP TABLE vms; -- naïve-🜚",
    "$(id)`id` !unsafe *x",
)


def test_hostile_names_and_texts_arrive_as_they_were_typed(site, tmp_path: Path):
    canary = tmp_path / "canary"
    text = f"#cloud-config\n{{{{ lookup('pipe','touch {canary}') }}}}\n'\"&<>; DROP TABLE tasks;\n"
    fake = site.fake()
    definitions = [small(name, description=text, tags={name: name}, cloud_init={"user_data": text}) for name in HOSTILE]
    shop = site.appliance(definitions)

    assert site.ended(site.deploy(shop))["state"] == "FINISHED_SUCCESSFULLY"

    vms = site.vms(shop)
    assert sorted(vm["name"] for vm in vms) == sorted(HOSTILE)
    assert sorted(fake.machines) == sorted(f"{vm['name']}-{vm['id'][:8]}" for vm in vms)
    kept = [machine.definition for machine in fake.store.read().machines.values()]
    assert {definition["description"] for definition in kept} == {text}
    assert not canary.exists()


@pytest.mark.qemu
@pytest.mark.slow
def test_a_real_guest_with_a_hostile_name_finds_its_cloud_init_data_unchanged(site, guest_pool: GuestPool):
    site.register("libvirt", "qemu:///system")
    line = "#cloud-config {{ lookup('pipe','id') }} '\"&<>; DROP TABLE vms"
    definition = real(HOSTILE[0], guest_pool, cloud_init={"user_data": f"{line}\nx: y\n"})
    shop = site.appliance([definition], type="libvirt", template=guest_pool.template)
    assert site.ended(site.deploy(shop))["state"] == "FINISHED_SUCCESSFULLY"
    (vm,) = site.vms(shop)

    said = wait_until(lambda: "GUEST-UP" in (text := guest_pool.consoles()[vm["id"]]) and text, 120, "the guest")

    assert f"MILLWRIGHT-GUEST-SEED {line}" in said
    site.ended(site.undeploy(shop))
    assert guest_pool.volumes() == set()


@pytest.mark.parametrize("name", ["two\nlines", "../etc/passwd", " space", "bell\a"])
def test_names_that_no_hypervisor_could_carry_are_refused(site, name: str):
    with pytest.raises(Refused) as refused:
        site.appliance([small(name)])
    assert refused.value.status == 422
    assert [problem.path for problem in refused.value.problems] == ["vms[0].definition.name"]


WRONG = {
    "name": "web",
    "memory_mib": 4,
    "cpu": {"count": 3, "cores_per_socket": 2},
    "disks": [{"name": "root", "size_mib": 16}, {"name": "extra"}],
    "nics": [{"network": "default", "mac": "fe:ed"}],
}


def test_a_wrong_definition_is_refused_alike_by_module_api_and_command_line(site, tmp_path: Path):
    by_module = _refused_by_module(tmp_path)
    assert {path for path, _ in by_module} == {
        "memory_mib", "cpu.cores_per_socket", "disks[1].size_mib", "nics[0].mac"
    }  # fmt: skip

    with pytest.raises(Refused) as refused:
        site.appliance([WRONG])
    assert refused.value.status == 422
    assert {(problem.path, problem.rule) for problem in refused.value.problems} == {
        (f"vms[0].definition.{path}", rule) for path, rule in by_module
    }

    said = _refused_by_command_line(site, tmp_path)
    assert all(f"vms[0].{path}: {rule}" in said for path, rule in by_module)


def _refused_by_module(place: Path) -> set[tuple[str, str]]:
    """What the playbook's last task says of it."""
    inventory = place / "inventory.yml"
    variables = {"millwright_vm": WRONG, "millwright_hypervisor": {"type": "fake", "url": f"fake://{place}"}}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"web": variables}}}))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", inventory, ROOT / "playbooks" / "configure.yml"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    result = json.loads(done.stdout[done.stdout.index("=> {") + 3 : done.stdout.index("\nPLAY RECAP")])
    assert result["code"] == "definition.invalid"
    return {(problem["path"], problem["rule"]) for problem in result["problems"]}


def _refused_by_command_line(site, place: Path) -> str:
    path = place / "shop.yml"
    path.write_text(yaml.safe_dump({"name": "shop", "virtualdatacenter": "any", "vms": [WRONG]}))
    done = subprocess.run(
        [MILLWRIGHT, "--api", site.house.api_url, "--token", "none", "vapp", "create", "-f", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    return done.stderr
