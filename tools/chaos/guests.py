# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real guests under chaos: this machine's libvirt, with a storage pool of the chaos' own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import libvirt

from tools import libvirtd
from tools.chaos.plan import Host, Plan
from tools.chaos.seen import Bound, HostSeen, MachineSeen
from tools.guest.build import guest_image
from tools.guest.pool import GuestPool
from tools.guest.pool import host as connected
from tools.processes import Background
from tools.waiting import wait_until
from webapi.cli.client import Json

_POWER = {libvirt.VIR_DOMAIN_RUNNING: "on", libvirt.VIR_DOMAIN_SHUTOFF: "off", libvirt.VIR_DOMAIN_PAUSED: "paused"}


class GuestHost:
    """libvirt as a hypervisor: it is as quick as it is, and fails when libvirtd is dead."""

    type, name, url = "libvirt", "libvirt", libvirtd.URI

    def __init__(self, pool: GuestPool, told: Host):
        self.id, self.told, self.template = "", told, pool.template
        self._pool = pool

    def behave(self, plan: Plan, *, dark: bool = False) -> None:
        """Nobody can tell it anything."""

    def calm_down(self) -> None:
        """It does nothing wrong by itself."""

    def definition(self, name: str) -> Json:
        disks = [{"name": "root", "pool": self._pool.name}]
        return {"name": name, "memory_mib": 64, "console": {"serial_log": True}, "disks": disks}

    def pulse(self) -> int:
        """libvirt keeps no journal: what happens is seen in the tasks."""
        return 0

    def seen(self, deaths: dict[str, float], bounds: tuple[Bound, ...]) -> HostSeen:  # noqa: ARG002  # it has no journal
        with connected() as connection:
            domains = [domain for domain in connection.listAllDomains() if f"{self._pool.target}/" in domain.XMLDesc()]
            machines = tuple(_machine(domain) for domain in domains)
        return HostSeen(
            id=self.id,
            name=self.name,
            bounds=bounds,
            machines=machines,
            volumes=frozenset(self._pool.volumes()),
            was_dark=True,
        )


def _machine(domain: libvirt.virDomain) -> MachineSeen:
    power = _POWER.get(domain.state()[0], "unknown")
    return MachineSeen(domain.UUIDString(), domain.name(), power, domain.maxMemory() // 1024)


class Libvirt:
    """The daemon. It is killed only if it is ours: others may have guests of theirs on this machine's own."""

    def __init__(self, place: Path):
        libvirtd.ensure(place)
        self._place = place
        self._daemon = Background(place, "libvirtd")

    def kill(self) -> None:
        if (pid := self._daemon.pid()) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self._daemon.pid() != pid, 30, f"the end of libvirtd ({pid})")

    def start(self) -> None:
        libvirtd.ensure(self._place)

    def close(self) -> None:
        libvirtd.stop(self._place)


@contextmanager
def alone(place: Path) -> Iterator[Libvirt]:
    """A machine has one libvirtd: seeds that run side by side have it one after the other."""
    with (place / "libvirt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with closing(Libvirt(place)) as libvirt:
            yield libvirt


@contextmanager
def pool_for(seed: int) -> Iterator[GuestPool]:
    """A pool with the guest's template, empty but for that; removed afterwards."""
    pool = GuestPool(f"millwright-chaos-{os.getpid()}-{seed}")
    pool.prepare(guest_image())
    try:
        yield pool
    finally:
        pool.remove()
