# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contestants that are an ``ansible-playbook``: with our collection, cold or warm, and with community.libvirt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from runner_service.warm.keeper import Keeper, ordinary_playbook, write_shim
from tools.bench_all.community import COLLECTIONS
from tools.bench_all.hosts import LibvirtHost
from tools.bench_all.place import SESSIONS
from tools.stack import ROOT
from tools.waiting import wait_until

OURS = ROOT / "playbooks" / "vapp_deploy.yml"
#: As their documentation has it; forks, strategy and interpreter are those of our playbook.
THEIRS = """- hosts: all
  gather_facts: false
  connection: local
  strategy: free
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - community.libvirt.virt:
        uri: "{{ uri }}"
        command: define
        xml: "{{ xml }}"
    - community.libvirt.virt:
        uri: "{{ uri }}"
        name: "{{ inventory_hostname }}"
        state: running
"""


class PlaybookFailed(Exception):
    """A playbook failed; the message is the end of what it said."""


def our_inventory(host: LibvirtHost, names: Sequence[str]) -> dict[str, Any]:
    hypervisor = {"millwright_hypervisor": {"type": host.type, "url": host.url}}
    return _inventory({name: {"millwright_vm": host.definition(name)} for name in names}, hypervisor)


def their_inventory(host: LibvirtHost, names: Sequence[str]) -> dict[str, Any]:
    return _inventory({name: {"xml": host.xml(name)} for name in names}, {"uri": host.url})


def _inventory(hosts: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    return {"all": {"hosts": hosts, "vars": variables}}


class Plays:
    """Runs playbooks below a directory, in an environment in which nothing of the user's counts."""

    def __init__(self, directory: Path):
        self._directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        (directory / "community.yml").write_text(THEIRS)
        self._ordinary = ordinary_playbook() or "ansible-playbook"

    def write(self, name: str, inventory: dict[str, Any]) -> Path:
        path = self._directory / f"{name}.yml"
        path.write_text(yaml.safe_dump(inventory))
        return path

    def ours(self, inventory: Path, program: str = "") -> None:
        self._run(program or self._ordinary, OURS, inventory, self._environment(ROOT / ".collections"))

    def theirs(self, inventory: Path) -> None:
        self._run(self._ordinary, self._directory / "community.yml", inventory, self._environment(COLLECTIONS))

    @contextmanager
    def warm(self) -> Iterator[str]:
        """The program that runs playbooks warm, while its server lives."""
        keeper = Keeper(self._directory / "warm", self._environment(ROOT / ".collections"))
        try:
            wait_until(keeper.socket.exists, 60, "warm Ansible listens")
            yield str(write_shim(self._directory / "bin", keeper.socket, self._ordinary))
        finally:
            keeper.close()

    def _environment(self, collections: Path) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self._directory), "TMPDIR": str(self._directory), "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(self._directory / "ansible"), "ANSIBLE_COLLECTIONS_PATH": str(collections),
            # The shim says so where a run was not warm.
            "MILLWRIGHT_WARM_TELL": "1",
        }  # fmt: skip

    def _run(self, program: str, playbook: Path, inventory: Path, environment: Mapping[str, str]) -> None:
        command = [program, "-i", str(inventory), "--forks", str(SESSIONS), str(playbook)]
        done = subprocess.run(
            command, cwd=self._directory, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode or "not warm" in done.stderr:
            raise PlaybookFailed(f"{playbook.name}: {done.stdout[-1500:]}\n{done.stderr[-1500:]}")
