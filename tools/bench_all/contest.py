# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contestants at one libvirt: each makes the same VMs and starts them, is checked, and is cleared up after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.bench_all import names
from tools.bench_all.hosts import LibvirtHost, raw_loop
from tools.bench_all.house import LOOK, LOOK_AT_ONE, Tenant
from tools.bench_all.place import vm_names
from tools.bench_all.plays import Plays, our_inventory, their_inventory
from tools.bench_all.rounds import Turn
from tools.bench_all.rows import Reading
from tools.bench_all.usage import cpu_of


@dataclass(frozen=True)
class Contest:
    """So many VMs at one hypervisor."""

    host: LibvirtHost
    tenant: Tenant
    plays: Plays
    vms: int

    def all_turns(self, warm: str) -> list[Turn]:
        """Everybody's; ``warm`` is the program that runs playbooks warm."""
        cold = self._play(names.COLD, lambda inventory: self.plays.ours(inventory), self._ours())
        hot = self._play(names.WARM, lambda inventory: self.plays.ours(inventory, warm), self._ours())
        return [self.raw, self.rest, cold, hot, self.community()]

    def raw(self) -> Iterator[Reading]:
        wanted = vm_names(self.vms)
        yield self._measured(names.RAW, lambda: raw_loop(self.host, wanted))

    def community(self) -> Turn:
        theirs = self.plays.write("their-inventory", their_inventory(self.host, vm_names(self.vms)))
        return self._play(names.COMMUNITY, self.plays.theirs, theirs)

    def _ours(self) -> Path:
        return self.plays.write("our-inventory", our_inventory(self.host, vm_names(self.vms)))

    def _play(self, name: str, run: Callable[[Path], None], inventory: Path) -> Turn:
        return lambda: [self._measured(name, lambda: run(inventory))]

    def _measured(self, name: str, work: Callable[[], None]) -> Reading:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
        self.host.require(self.vms)
        self.host.clear()
        return Reading(name, seconds)

    def rest(self) -> Iterator[Reading]:
        parts = self.tenant.parts()
        before, began = cpu_of(parts), time.monotonic()
        appliance = self.tenant.appliance(self.host, vm_names(self.vms))
        self.tenant.deploy(appliance, every=LOOK if self.vms > 1 else LOOK_AT_ONE)
        seconds = time.monotonic() - began
        # A part may have got processes meanwhile.
        after = cpu_of(self.tenant.parts())
        self.host.require(self.vms)
        self.tenant.undeploy(appliance)
        self.host.require(0)
        yield Reading(names.REST, seconds)
        yield from self._effort(seconds, {part: after[part] - before[part] for part in before})

    def _effort(self, seconds: float, spent: dict[str, float]) -> Iterator[Reading]:
        yield Reading(names.REST, self.vms / seconds, "VMs/s")
        for part, cpu in {names.TOTAL: sum(spent.values()), **spent}.items():
            yield Reading(names.effort(part), cpu / self.vms, "CPU s/VM")
