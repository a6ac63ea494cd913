# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every part of the libvirt driver stands on: the connection, and looking at what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cached_property
from typing import Self

from ...vm.changes import Change
from ...vm.definition import VmDefinition
from ...vm.states import PowerState
from ..alone import alone
from ..base import Capability, Connection, HostFacts, ObservedVm, VmRef
from ..errors import Conflict, DriverError, VmNotFound, deciding
from . import agent, features, host, hotplug, live, power
from .connection import is_local, is_test, open_connection, shown
from .devices import Domain
from .faults import asking, unless
from .leftovers import Leftovers, leftovers, markers, stale_seeds
from .making import Making
from .mending import Apart
from .observation import as_it_runs, definition_of, disk_use
from .overview import Overview
from .sdk import libvirt, require
from .storage import Storage

#: A domain as it is kept, without what only its running guest has.
INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE


class Looking:
    """One open connection, and the questions that change nothing."""

    def __init__(self, connection: libvirt.virConnect, url: str):
        self._connection = connection
        self._url = url
        self._storage = Storage(connection, local=is_local(url))

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Raises Unreachable or AuthenticationFailed; ImportError if a library is missing."""
        require()
        return cls(open_connection(connection), connection.url)

    @cached_property
    def _features(self) -> features.Features:
        with self._asking("reading the host's capabilities"):
            return host.features_of(self._connection)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """They depend on what the URL leads to."""
        return features.TEST if is_test(self._url) else self._features.capabilities

    def _asking(self, tried: str) -> AbstractContextManager[None]:
        return asking(f"{tried} at {shown(self._url)}")

    @contextmanager
    def _looking(self, tried: str) -> Iterator[None]:
        """Like ``_asking``, around what changes nothing."""
        with deciding(), self._asking(tried):
            yield

    def _alone(self, identity: str, tried: str) -> AbstractContextManager[None]:
        """Around what changes a VM. The mock's VMs are each process's own."""
        return nullcontext() if is_test(self._url) else alone(self._url, identity, tried)

    # --- looking ---

    def find(self, ref: VmRef) -> ObservedVm | None:
        with self._asking(f"finding {ref}"):
            domain = self._domain(ref)
            return None if domain is None else self._observed(domain)

    def residue(self, ref: VmRef) -> tuple[str, ...]:
        with self._asking(f"looking for what is left of {ref}"):
            domain = self._domain(ref)
            if domain is not None:
                return tuple(volume.name() for volume in self._left_beside(domain))
            # A VM that was renamed keeps its identity, and its files are not what somebody left.
            return () if self._by_uuid(ref.identity) else self._leftovers(ref.identity).names

    def remove_residue(self, ref: VmRef) -> None:
        tried = f"removing what is left beside {ref}"
        with self._looking(tried):
            identity = self._present(ref).UUIDString()
        with self._alone(identity, tried), self._asking(tried):
            for volume in self._left_beside(self._present(ref)):
                self._storage.remove(volume)

    def _left_beside(self, domain: libvirt.virDomain) -> list[libvirt.virStorageVol]:
        told = Domain(domain.XMLDesc(INACTIVE))
        stale = stale_seeds(self._storage, told, hotplug.files_of(domain)) if told.managed else []
        return markers(self._storage, told.uuid, lambda: self._features.host) + stale

    def _leftovers(self, identity: str) -> Leftovers:
        found = leftovers(self._storage, identity, lambda: self._features.host)
        if not found.unclear:
            return found
        # Another host may have removed them since libvirt read the pool.
        self._storage.refresh_owned(identity)
        return leftovers(self._storage, identity, lambda: self._features.host)

    def list_vms(self) -> tuple[ObservedVm, ...]:
        with self._asking("listing VMs"):
            overview = Overview(self._connection, self._storage)
            seen = [self._observed(domain, overview) for domain in self._connection.listAllDomains(0)]
            return tuple(sorted((vm for vm in seen if vm), key=lambda vm: (vm.name, vm.uuid)))

    def host(self) -> HostFacts:
        with self._asking("reading the host"):
            return host.facts_of(self._connection, self._storage, self._features)

    def _domain(self, ref: VmRef) -> libvirt.virDomain | None:
        if ref.uuid:
            return self._by_uuid(ref.uuid)
        return unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: self._connection.lookupByName(ref.name))

    def _by_uuid(self, uuid: str) -> libvirt.virDomain | None:
        return unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: self._connection.lookupByUUIDString(uuid))

    def _present(self, ref: VmRef) -> libvirt.virDomain:
        domain = self._domain(ref)
        if domain is None:
            raise VmNotFound(f"{ref} is not at {shown(self._url)}")
        return domain

    def _observed(self, domain: libvirt.virDomain, overview: Overview | None = None) -> ObservedVm | None:
        """None if it vanished while it was looked at. What an overview of all domains tells is not asked again."""
        return unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: self._read(domain, overview))

    def _read(self, domain: libvirt.virDomain, overview: Overview | None = None) -> ObservedVm:
        told = Domain(domain.XMLDesc(INACTIVE))
        state = overview.power(domain) if overview else power.settled(domain)
        definition = self._definition_of(domain, told, overview)
        use = disk_use(told, definition, overview or self._storage) if definition else {}
        return ObservedVm(
            name=domain.name(),
            uuid=domain.UUIDString(),
            power=state,
            managed=told.managed,
            definition=definition,
            addresses=self._addresses(domain, told, overview) if state is PowerState.ON else (),
            serial_log=told.serial_log,
            disk_use=use,
            half_deleted=told.is_being_removed and any(disk.name not in use for disk in definition.disks)
            if definition
            else False,
            live=self._live(domain, told, definition) if definition and told.managed and not overview else (),
        )

    def _live(self, domain: libvirt.virDomain, told: Domain, definition: VmDefinition) -> tuple[Change, ...]:
        apart = self._apart(domain, told, definition)
        return apart.differences if apart else ()

    def _apart(self, domain: libvirt.virDomain, told: Domain, definition: VmDefinition) -> Apart | None:
        """None for a domain that is off."""
        if not domain.isActive():
            return None
        guest = Domain(domain.XMLDesc(0))
        runs = as_it_runs(guest, definition, self._storage)
        differences = live.differences(definition, told, runs, guest)
        return Apart(domain=domain, told=told, kept=definition, live=guest, runs=runs, differences=differences)

    def _addresses(self, domain: libvirt.virDomain, told: Domain, overview: Overview | None) -> tuple[str, ...]:
        """By lease; of one VM alone also by its agent, which may take seconds to say nothing."""
        leases = overview.leases if overview else host.leases_of(self._connection)
        known = {address for mac in told.macs for address in leases.get(mac, ())}
        if overview is None and agent.answers(domain):
            known |= agent.addresses(domain)
        return tuple(sorted(known))

    def _definition_of(
        self, domain: libvirt.virDomain, told: Domain, overview: Overview | None = None
    ) -> VmDefinition | None:
        """Whether it starts with its host is the one thing that its XML does not tell."""
        definition = definition_of(told, overview or self._storage)
        if definition is None:
            return None
        autostart = overview.autostart(domain) if overview else bool(domain.autostart())
        return replace(definition, autostart=autostart)

    def _refuse_foreign(self, domain: libvirt.virDomain, told: Domain, verb: str) -> None:
        if not told.managed:
            raise Conflict(f"VM {domain.name()!r} was not made by Millwright and is not {verb}")

    def _refuse_name(self, want: VmDefinition) -> None:
        namesake = self._domain(VmRef(name=want.name))
        if namesake is not None and namesake.UUIDString() != want.identity:
            raise Conflict(f"another VM is called {want.name!r}; its uuid is {namesake.UUIDString()}")

    @contextmanager
    def _all_or_nothing(self, making: Making, tried: str) -> Iterator[None]:
        """Whatever ends the block early, what it made is taken back, or the error names it."""
        try:
            with self._saying_what_is_left(tried, making.take_back):
                yield
        except DriverError:
            raise
        except BaseException:
            making.take_back()
            raise

    @contextmanager
    def _saying_what_is_left(self, tried: str, left: Callable[[], tuple[str, ...]]) -> Iterator[None]:
        try:
            with self._asking(tried):
                yield
        except DriverError as error:
            with suppress(libvirt.libvirtError):
                error.left = left()
            raise
