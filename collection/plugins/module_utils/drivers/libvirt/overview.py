# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked once for all domains of a host instead of once for each: a host may have thousands."""

from __future__ import annotations

from functools import cached_property

from ...vm.states import PowerState
from . import host, power
from .observation import Usage
from .sdk import libvirt
from .storage import Storage

#: What libvirt lists by itself -> the state that all of the list are in, of two lists the later one (power.power_of).
#: The few others are asked one by one.
BY_LIST = {
    libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING: PowerState.ON,
    libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED: PowerState.PAUSED,
    libvirt.VIR_CONNECT_LIST_DOMAINS_SHUTOFF: PowerState.OFF,
    libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE: PowerState.PAUSED,
}


class Overview:
    """All domains of a host at one moment. It keeps the promises of observation.Volumes, too."""

    def __init__(self, connection: libvirt.virConnect, storage: Storage):
        self._connection = connection
        self._storage = storage
        self._usages: dict[str, Usage | None] = {}
        self._powers = {domain.UUID(): state for flag, state in BY_LIST.items() for domain in self._list(flag)}
        self._starting = {domain.UUID() for domain in self._list(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)}

    def _list(self, flag: int) -> list[libvirt.virDomain]:
        listed: list[libvirt.virDomain] = self._connection.listAllDomains(flag)
        return listed

    def power(self, domain: libvirt.virDomain) -> PowerState:
        listed = self._powers.get(domain.UUID())
        # A list does not tell those that are being started from those that are paused.
        return power.power_of(domain) if listed in (None, PowerState.PAUSED) else listed

    def autostart(self, domain: libvirt.virDomain) -> bool:
        return domain.UUID() in self._starting

    @cached_property
    def leases(self) -> dict[str, tuple[str, ...]]:
        return host.leases_of(self._connection)

    @cached_property
    def _volumes(self) -> dict[str, libvirt.virStorageVol]:
        """By key, which is its path where the pool has files."""
        return {volume.key(): volume for volume in self._storage.volumes()}

    def usage(self, path: str) -> Usage | None:
        if path not in self._usages:
            volume = self._volumes.get(path)
            self._usages[path] = self._storage.usage_of(volume) if volume else self._storage.usage(path)
        return self._usages[path]

    def pool_of(self, path: str) -> str | None:
        return self._storage.pool_of(path)
