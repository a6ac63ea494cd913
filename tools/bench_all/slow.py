# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fake hypervisors on which every operation takes its time, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerState
from tools.bench_all.hosts import NotDone
from tools.bench_all.place import SESSIONS
from webapi.cli.client import Json

SECONDS = 0.2
#: A deploy creates a VM and powers it on.
OPERATIONS = 2


class SlowHost:
    """One of them, in a directory."""

    type = "fake"

    def __init__(self, directory: Path):
        directory.mkdir()
        self.url = f"fake://{directory}"
        self._store = Store(directory)

    def slow(self) -> None:
        self._store.tell({"delays": dict.fromkeys(("create", "power_*"), SECONDS)})

    def quick(self) -> None:
        self._store.tell({})

    def definition(self, name: str) -> Json:
        return {"name": name, "memory_mib": 16}

    def running(self) -> int:
        return sum(machine.power is PowerState.ON for machine in self._store.read().machines.values())


def require(hosts: Sequence[SlowHost], vms: int) -> None:
    """Raises NotDone unless each runs so many VMs: else the ideal would be another one."""
    running = [host.running() for host in hosts]
    if running != [vms] * len(hosts):
        raise NotDone(f"hypervisors run {running} VMs, where each should run {vms}")


def ideal(vms: int) -> float:
    """Seconds for so many VMs on each hypervisor, if sessions alone were to be waited for."""
    return vms * OPERATIONS * SECONDS / SESSIONS
