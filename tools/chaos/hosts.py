# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors under chaos, seen from their own side: directories that are told how to behave."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Span as Written
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from tools.chaos.plan import Host, Plan
from tools.chaos.seen import Bound, HostSeen, MachineSeen, Span
from webapi.cli.client import Json

#: Reading changes nothing, and needs no session of its own.
CHANGING = ("create", "update", "delete", "power_")


class Hypervisor(Protocol):
    """What a site needs of one."""

    #: Given by the API when it is registered.
    id: str
    type: str
    name: str
    url: str
    template: str
    told: Host

    def behave(self, plan: Plan, *, dark: bool = False) -> None:
        """It does from now on what the plan says; while it is dark it answers nobody."""

    def calm_down(self) -> None:
        """From now on it is quick and does nothing wrong."""

    def definition(self, name: str) -> Json:
        """Of a VM that is small here."""

    def pulse(self) -> int:
        """Another number whenever something has happened there."""

    def seen(self, deaths: dict[str, float], bounds: tuple[Bound, ...]) -> HostSeen:
        """All that it has, and what was done to it; ``deaths`` says when the processes of operations died."""


class FakeHost:
    """A hypervisor in a directory."""

    type, template = "fake", "/templates/guest.qcow2"

    def __init__(self, directory: Path, told: Host):
        directory.mkdir()
        self.id, self.name, self.url = "", directory.name, f"fake://{directory}"
        self.told, self.directory = told, directory
        self._store = Store(directory)

    def behave(self, plan: Plan, *, dark: bool = False) -> None:
        rules = [failure.rule() for failure in plan.failures]
        self._store.tell({"delays": self.told.delays, "failures": rules, "unreachable": dark})

    def calm_down(self) -> None:
        self._store.tell({})

    def definition(self, name: str) -> Json:
        return {"name": name, "memory_mib": 64, "console": {"serial_log": True}}

    def pulse(self) -> int:
        journal = self.directory / "journal.jsonl"
        return journal.stat().st_size if journal.exists() else 0

    def seen(self, deaths: dict[str, float], bounds: tuple[Bound, ...]) -> HostSeen:
        world = self._store.read()
        machines = tuple(
            MachineSeen(machine.uuid, machine.name, machine.power.value, machine.memory_mib)
            for machine in world.machines.values()
        )
        return HostSeen(
            id=self.id,
            name=self.name,
            bounds=bounds,
            machines=machines,
            volumes=frozenset(name for pool in world.pools.values() for name in pool.volumes),
            spans=tuple(_span(written, deaths) for written in self._store.operations() if _changes(written)),
            was_dark=self.told.dark is not None,
        )


def _changes(written: Written) -> bool:
    return written.operation.startswith(CHANGING)


def _span(written: Written, deaths: dict[str, float]) -> Span:
    """One without an end lasts until its process has died; if that lives, until now."""
    end = written.end if written.end is not None else deaths.get(written.id, time.time())
    return Span(written.operation, written.vm, written.pid, written.start, end, written.error)
