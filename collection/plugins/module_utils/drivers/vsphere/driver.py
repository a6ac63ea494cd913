# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vSphere driver: one open session, in the words of the driver contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

from ...vm.changes import Change, changes
from ...vm.definition import VmDefinition
from ...vm.states import PowerAction, PowerState
from ..base import Capability, Connection, HostFacts, ObservedVm, VmRef
from ..errors import Conflict, DriverError, InvalidTransition, VmNotFound, deciding
from . import host, power
from .address import shown
from .connection import Session
from .faults import asking, unless_gone
from .files import Files
from .inventory import Inventory
from .making import Maker
from .observation import Seen, observed
from .placement import Places
from .planning import Plan, Planner
from .sdk import require
from .templates import Templates
from .vms import Vms


class VsphereDriver:
    """VMs of a vCenter or ESXi host. A VM's identity is its instance uuid; its definition is kept in its extra
    configuration."""

    hypervisor_type = "vsphere"
    capabilities = frozenset({Capability.SESSIONS, Capability.CLOUD_INIT, Capability.UEFI, Capability.SHUTDOWN})
    changeable = frozenset({"name", "cpu.count", "cpu.cores_per_socket", "memory_mib", "description", "tags"})

    def __init__(self, session: Session, url: str):
        self._session = session
        self._url = url

    @classmethod
    def open(cls, connection: Connection) -> VsphereDriver:
        """Raises Unsupported, Untrusted, Unreachable, AuthenticationFailed, SessionEnded, ImportError."""
        require()
        return cls(Session(connection), connection.url)

    # What was read of the inventory serves one operation, as it may be another one later.
    @property
    def _inventory(self) -> Inventory:
        return Inventory(self._session)

    @cached_property
    def _vms(self) -> Vms:
        return Vms(self._session, self._inventory)

    def _asking(self, tried: str) -> AbstractContextManager[None]:
        return asking(f"{tried} at {shown(self._url)}")

    @contextmanager
    def _looking(self, tried: str) -> Iterator[None]:
        """Like ``_asking``, around what changes nothing."""
        with deciding(), self._asking(tried):
            yield

    # --- looking ---

    def find(self, ref: VmRef) -> ObservedVm | None:
        with self._asking(f"finding {ref}"):
            found = self._vms.find(ref)
            return self._observed([found[1]])[0] if found else None

    def _observed(self, seen: list[Seen]) -> list[ObservedVm]:
        inventory = self._inventory
        return [observed(one, lambda key: _network_name(inventory, key)) for one in seen]

    def residue(self, ref: VmRef) -> tuple[str, ...]:
        with self._asking(f"looking for what is left of {ref}"):
            found = self._vms.by_uuid(ref.identity)
            return self._files_of(found[0]) if found and found[1].half_made else ()

    def _files_of(self, vm: Any) -> tuple[str, ...]:
        told = self._session.read([vm], ["layoutEx.file"])[vm].get("layoutEx.file", ())
        return tuple(sorted(file.name for file in told))

    def list_vms(self) -> tuple[ObservedVm, ...]:
        with self._asking("listing VMs"):
            return tuple(sorted(self._observed(self._vms.all()), key=lambda vm: (vm.name, vm.uuid)))

    def host(self) -> HostFacts:
        with self._asking("reading the host"):
            inventory = self._inventory
            return host.facts_of(self._session, inventory, Places(self._session, inventory))

    def _present(self, ref: VmRef) -> tuple[Any, Seen]:
        found = self._vms.find(ref)
        if found is None:
            raise VmNotFound(f"{ref} is not at {shown(self._url)}")
        return found

    # --- making ---

    @property
    def _places(self) -> Places:
        return Places(self._session, self._inventory)

    @property
    def _planner(self) -> Planner:
        inventory = self._inventory
        places = Places(self._session, inventory)
        return Planner(places, Templates(self._session, inventory), Files(self._session, places))

    def check(self, want: VmDefinition, updating: VmRef | None = None) -> None:
        with self._looking(f"checking VM {want.name!r}"):
            if updating:
                self._changeable(updating, want)
            else:
                self._plan(want)

    def _plan(self, want: VmDefinition) -> tuple[Plan, Maker] | None:
        """None if the VM is there as it is wanted: an earlier delivery of the same task has made it."""
        same = self._vms.by_uuid(want.identity)
        whole = same[1] if same and not same[1].half_made else None
        if whole and not self._is_as_wanted(whole, want):
            raise Conflict(f"VM {whole.name!r} has the identity {want.identity} that VM {want.name!r} is to have")
        self._refuse_name(want)
        planner = self._planner
        plan = planner.plan(want)
        return None if whole else (plan, Maker(self._session, planner.places, self._vms))

    def _is_as_wanted(self, seen: Seen, want: VmDefinition) -> bool:
        vm = self._observed([seen])[0]
        return bool(vm.managed and vm.definition and not changes(vm.definition, want))

    def _refuse_name(self, want: VmDefinition) -> None:
        """vSphere wants names to be unique in a folder only; Millwright finds VMs by name."""
        others = [uuid for uuid in self._vms.namesakes(want.name) if uuid != want.identity]
        if others:
            raise Conflict(f"another VM is called {want.name!r}; its uuid is {others[0]}")

    def create(self, want: VmDefinition) -> None:
        tried = f"creating VM {want.name!r}"
        with self._looking(tried):
            planned = self._plan(want)
        if planned is None:
            return
        plan, maker = planned
        with self._saying_what_is_left(tried, want.identity):
            maker.remove_half_made(want.identity)
            maker.make(plan)

    @contextmanager
    def _saying_what_is_left(self, tried: str, identity: str) -> Iterator[None]:
        try:
            with self._asking(tried):
                yield
        except DriverError as error:
            with suppress(DriverError), self._asking(tried):
                found = self._vms.by_uuid(identity)
                error.left = self._files_of(found[0]) if found else ()
            raise

    # --- changing ---

    def update(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> None:  # noqa: ARG002  # all of want
        with self._looking(f"changing {ref}"):
            vm, seen = self._changeable(ref, want)
            if seen.power is not PowerState.OFF:
                raise InvalidTransition(f"VM {seen.name!r} is {seen.power.value}; changing it needs it powered off")
        with self._asking(f"changing {ref}"):
            kept = replace(seen.kept, definition=_changed(seen.kept.definition, want))
            self._maker().change(vm, seen, want, kept)

    def _changeable(self, ref: VmRef, want: VmDefinition) -> tuple[Any, Seen]:
        """The VM, if it can be made as wanted once it is off."""
        vm, seen = self._present(ref)
        self._refuse_foreign(seen, "changed")
        self._planner.refuse_what_hosts_lack(want)
        self._refuse_name(replace(want, uuid=seen.uuid))
        return vm, seen

    def _refuse_foreign(self, seen: Seen, verb: str) -> None:
        if not seen.managed and not seen.half_made:
            raise Conflict(f"VM {seen.name!r} was not made by Millwright and is not {verb}")

    def _maker(self) -> Maker:
        return Maker(self._session, self._places, self._vms)

    def delete(self, ref: VmRef) -> None:
        """vSphere removes a VM with its disks in one step, or says what is wrong with the whole of it."""
        with self._looking(f"deleting {ref}"):
            found = self._deletable(ref)
        if found:
            with self._saying_what_is_left(f"deleting {ref}", found[1].uuid):
                unless_gone(lambda: self._maker().remove(*found))

    def check_delete(self, ref: VmRef) -> None:
        with self._looking(f"checking whether {ref} can be deleted"):
            self._deletable(ref)

    def _deletable(self, ref: VmRef) -> tuple[Any, Seen] | None:
        """The VM, whole or half made, if there is one and it is ours."""
        found = self._vms.find(ref) or self._half_made(ref)
        if found:
            self._refuse_foreign(found[1], "deleted")
        return found

    def _half_made(self, ref: VmRef) -> tuple[Any, Seen] | None:
        found = self._vms.by_uuid(ref.identity)
        return found if found and found[1].half_made else None

    def power(self, ref: VmRef, action: PowerAction, timeout: int) -> None:
        with self._looking(f"{action.value} of {ref}"):
            vm, seen = self._present(ref)
        with self._asking(f"{action.value} of {ref}"):
            power.carry_out(self._session, vm, seen.name, action, timeout)

    # --- the connection ---

    def session(self) -> str | None:
        """The session's cookie."""
        return self._session.share()

    def logout(self) -> None:
        self._session.log_out()

    def close(self) -> None:
        self._session.close()


def _network_name(inventory: Inventory, key: str) -> str | None:
    """A distributed port group's key is its id."""
    found = next((one for one in inventory.networks if one.id == key), None)
    return found.name if found else None


def _changed(kept: VmDefinition, want: VmDefinition) -> VmDefinition:
    """The kept definition with every field of ``changeable`` as wanted; others of ``want`` may say nothing."""
    return replace(
        kept, name=want.name, cpu=want.cpu, memory_mib=want.memory_mib, description=want.description, tags=want.tags
    )
