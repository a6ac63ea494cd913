# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules and playbooks on vSphere, run with plain ansible-playbook as people do."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_commands import ROOT, run

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from tools import vcsim

pytestmark = [pytest.mark.vcsim, pytest.mark.slow]

LOGIN = {"username": "millwright", "password": "canary-0815"}
GUEST = {"memory_mib": 64, "disks": [{"size_mib": 4, "pool": "LocalDS_0"}], "nics": [{"network": "VM Network"}]}


class Site:
    """A vCenter, and playbooks run over VMs there."""

    def __init__(self, directory: Path, simulator: vcsim.Simulator):
        self.directory = directory
        self.login = {**LOGIN, "ca_path": str(simulator.certificate)}
        self.url = f"{simulator.url.removesuffix('/sdk')}/?datastore=LocalDS_0"

    @property
    def session_file(self) -> Path:
        return self.directory / "session"

    def play(self, playbook: Path, *flags: str, hypervisor: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        hosts = {name: {"millwright_vm": GUEST} for name in ("web", "db")}
        group = {"hosts": hosts, "vars": {"millwright_hypervisor": {"type": "vsphere", "url": self.url, **hypervisor}}}
        inventory = self.directory / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"children": {"vsphere": group}}}))
        return run(
            "ansible-playbook", "-i", inventory, playbook, *flags,
            cwd=self.directory, ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections",
        )  # fmt: skip

    def ours(self, name: str, *flags: str, **hypervisor: Any) -> subprocess.CompletedProcess[str]:
        chosen = {**self.login, "session_file": str(self.session_file), "keep_session": True, **hypervisor}
        return self.play(ROOT / f"playbooks/{name}.yml", *flags, hypervisor=chosen)

    def machines(self) -> dict[str, str]:
        with open_driver(Connection(hypervisor_type="vsphere", url=self.url, **self.login)) as driver:
            return {vm.name: vm.power.value for vm in driver.list_vms()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    account = f"{LOGIN['username']}:{LOGIN['password']}"
    with vcsim.running(tmp_path / "vcsim", "-user", account) as simulator:
        yield Site(tmp_path, simulator)


def test_an_appliance_comes_and_goes_in_one_session(site: Site):
    plan = site.ours("vapp_deploy", "--check", "--diff")
    assert plan.returncode == 0, plan.stdout
    assert "memory_mib" in plan.stdout
    assert site.machines() == {}
    assert site.ours("vapp_deploy").returncode == 0
    assert site.machines() == {"web": "on", "db": "on"}
    kept = site.session_file.read_text()
    again = site.ours("vapp_deploy")
    assert again.stdout.count("changed=0") == 2
    assert site.session_file.read_text() == kept
    assert (site.session_file.stat().st_mode & 0o777, LOGIN["password"] in kept) == (0o600, False)
    for name, powers in (("pause", "paused"), ("resume", "on"), ("reset", "on"), ("shutdown", "off")):
        done = site.ours(name)
        assert (done.returncode, set(site.machines().values())) == (0, {powers}), done.stdout
    assert site.ours("vapp_undeploy").returncode == 0
    assert site.machines() == {}
    assert site.ours("logout").returncode == 0
    assert not site.session_file.exists()


def test_wrong_credentials_and_certificates_are_told_with_their_codes(site: Site):
    for wrong, code in (
        ({"password": "wrong-4711"}, "driver.authentication_failed"),
        ({"ca_path": None}, "driver.untrusted"),
        ({"url": site.url + "&cluster=none"}, "driver.not_found"),
    ):
        done = site.ours("configure", **wrong)
        assert done.returncode != 0
        assert code in done.stdout
        assert "wrong-4711" not in done.stdout + done.stderr
    assert site.machines() == {}
