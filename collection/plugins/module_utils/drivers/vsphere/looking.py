# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the vSphere driver that looks: what is there, and what of it may be changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from typing import Any, Self

from ...vm.definition import VmDefinition
from ..alone import alone
from ..base import Connection, HostFacts, ObservedVm, VmRef
from ..errors import Busy, Conflict, DriverError, Unsupported, VmNotFound, deciding
from . import host, names
from .address import address_of, shown
from .connection import Session
from .faults import asking
from .files import Files
from .inventory import Inventory
from .observation import Seen, observed
from .placement import Places
from .planning import Planner
from .sdk import require, vim
from .templates import Templates
from .vms import Vms


class Looking:
    """One open session, and what can be seen by it."""

    def __init__(self, session: Session, url: str):
        self._session = session
        self._url = url

    @classmethod
    def open(cls, connection: Connection) -> Self:
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

    def _alone(self, identity: str, tried: str) -> AbstractContextManager[None]:
        """Around what changes a VM, wherever at this vCenter or host the URL would have it."""
        address = address_of(self._url)
        return alone(f"{address.host}:{address.port}", identity, tried)

    # --- looking ---

    def find(self, ref: VmRef) -> ObservedVm | None:
        with self._asking(f"finding {ref}"):
            found = self._vms.find(ref)
            return self._observed([found[1]])[0] if found else None

    def _observed(self, seen: list[Seen]) -> list[ObservedVm]:
        inventory = self._inventory
        return [observed(one, inventory.network_name) for one in seen]

    def residue(self, ref: VmRef) -> tuple[str, ...]:
        with self._asking(f"looking for what is left of {ref}"):
            found = self._vms.half_made(ref)
            return self._files_of(found[0]) if found else ()

    def remove_residue(self, ref: VmRef) -> None:
        """What says that a VM is half made is part of it, and goes with the last step of its making."""

    def _files_of(self, vm: Any) -> tuple[str, ...]:
        told = self._session.read([vm], ["layoutEx.file"])[vm].get("layoutEx.file", ())
        return tuple(sorted(file.name for file in told))

    @contextmanager
    def _saying_what_is_left(self, tried: str, identity: str, *, of_whole: bool = False) -> Iterator[None]:
        """A whole VM is left by what was to remove it; by what makes one it is not: another delivery has made it."""
        try:
            with self._asking(tried):
                yield
        except DriverError as error:
            with suppress(DriverError), self._asking(tried):
                found = self._vms.by_uuid(identity)
                error.left = self._files_of(found[0]) if found and (of_whole or found[1].half_made) else ()
            raise

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

    @property
    def _places(self) -> Places:
        return Places(self._session, self._inventory)

    @property
    def _planner(self) -> Planner:
        inventory = self._inventory
        places = Places(self._session, inventory)
        return Planner(places, Templates(self._session, inventory), Files(self._session, places))

    def _refuse_name(self, want: VmDefinition) -> None:
        """Millwright finds VMs by name."""
        others = [uuid for uuid in self._vms.namesakes(want.name) if uuid != want.identity]
        if others:
            raise Conflict(f"another VM is called {want.name!r}; its uuid is {others[0]}")

    def _refuse_beside(self, folder: Any, name: str, identity: str, *ours: Any) -> None:
        """vSphere wants names to be unique in a folder, whatever they are names of. A VM of a vApp is in none."""
        written = names.written(name)
        if len(written) > names.LONGEST:
            raise Unsupported(
                f"the name {name!r} is {len(written)} characters long as vSphere writes it; it takes {names.LONGEST}"
            )
        found = self._session.content.searchIndex.FindChild(folder, written) if folder else None
        if found and found not in ours:
            self._refuse_made_meanwhile(found, name, identity)
            what = "folder" if isinstance(found, vim.Folder) else "template or VM"
            raise Conflict(
                f"there is a {what} {name!r} ({found._GetMoId()}) already, in the folder where this one is to be"
            )

    def _refuse_made_meanwhile(self, found: Any, name: str, identity: str) -> None:
        """Who asks again finds it whole, or as what a killed run has left."""
        made = self._vms.by_uuid(identity)
        if made and made[0] == found:
            raise Busy(f"somebody else is making VM {name!r} right now")

    def _refuse_foreign(self, seen: Seen, verb: str) -> None:
        if not seen.managed and not seen.half_made:
            raise Conflict(f"VM {seen.name!r} was not made by Millwright and is not {verb}")
