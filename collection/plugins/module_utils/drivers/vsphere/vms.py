# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding VMs: by identity in one call, by name in one more, all of them in one."""

from __future__ import annotations

import re
from functools import cached_property, partial
from typing import Any

from ..base import VmRef
from ..errors import Ambiguous, Busy
from . import names
from .connection import Session
from .faults import unless_gone
from .inventory import Inventory
from .observation import PATHS, Seen
from .placement import Places
from .sdk import vim

#: What no uuid looks like.
_ID = re.compile(r"vm-\d+|\d+")
_POOL = "resourcePool"
_IDENTITY = "config.instanceUuid"
_NAMED = ("name", _IDENTITY, "config.template")
#: Seconds to wait for a VM that is only just being made: its configuration is told when it is there.
SETTLE_TIMEOUT = 60


class Vms:
    """The VMs of one connection: those of the datacenter, and of the cluster or host, that the URL names; else all.
    Templates are none."""

    def __init__(self, session: Session, inventory: Inventory):
        self._session = session
        self._inventory = inventory

    @cached_property
    def _datacenter(self) -> Any:
        return self._inventory.datacenter.object if self._session.placement.datacenter else None

    @property
    def _is_bounded(self) -> bool:
        """Whether there may be VMs in the datacenter that are none of this connection."""
        return bool(self._session.placement.cluster or self._session.placement.host)

    def _pools(self) -> set[Any]:
        """The resource pools of the cluster or host. VMs of a cluster go from host to host."""
        inventory = Inventory(self._session)
        compute = Places(self._session, inventory).compute
        return {one.object for one in inventory.every(vim.ResourcePool, within=compute)}

    def by_uuid(self, uuid: str) -> tuple[Any, Seen] | None:
        """Also one that is only half made."""
        return self._here(self.anywhere(uuid))

    def _here(self, found: tuple[Any, Seen] | None) -> tuple[Any, Seen] | None:
        """None for a VM of another cluster."""
        if not (found and self._is_bounded):
            return found
        told = unless_gone(lambda: self._session.read([found[0]], [_POOL])[found[0]])
        return found if told and told.get(_POOL) in self._pools() else None

    def _by_id(self, said: str) -> tuple[Any, Seen] | None:
        found = self._read_pair(self._session.vm(said))
        return self._here(found) if found and not found[1].is_template else None

    def anywhere(self, uuid: str) -> tuple[Any, Seen] | None:
        """Also one of another cluster: no two VMs of a vCenter have one identity."""
        found = self._session.content.searchIndex.FindByUuid(self._datacenter, uuid, vmSearch=True, instanceUuid=True)
        seen = unless_gone(lambda: self.read(found)) if found else None
        return (found, seen) if seen and not seen.is_template else None

    def find(self, ref: VmRef) -> tuple[Any, Seen] | None:
        """By uuid, or managed-object id, if there is one, else by name. Raises Ambiguous if several have the name."""
        if ref.uuid and _ID.fullmatch(ref.uuid):
            return self._whole(self._by_id(ref.uuid))
        if ref.uuid:
            return self._whole(self.by_uuid(ref.uuid))
        named = [one for one, told in self._named(ref.name).items() if _IDENTITY in told]
        if len(named) > 1:
            return self._ours(ref, named)
        return self._whole(self._read_pair(named[0])) if named else None

    def _ours(self, ref: VmRef, named: list[Any]) -> tuple[Any, Seen]:
        """Folders may hold VMs of one name; the name alone means the one that was made by it."""
        ours = self.by_uuid(ref.identity)
        if ours and ours[0] in named:
            return ours
        ids = ", ".join(one._GetMoId() for one in named)
        raise Ambiguous(f"several VMs are called {ref.name!r} ({ids}); give the uuid")

    def _read_pair(self, one: Any) -> tuple[Any, Seen] | None:
        seen = unless_gone(lambda: self.read(one))
        return (one, seen) if seen else None

    def half_made(self, ref: VmRef) -> tuple[Any, Seen] | None:
        """What a create has left that was killed. vSphere goes on with what it was asked for: raises Busy if after a
        while it is still at work on a VM of this name, as nobody can tell yet whose that is."""
        found = self.by_uuid(ref.identity)
        if found is None and self._settled(ref.name):
            found = self.by_uuid(ref.identity)
        return found if found and found[1].half_made else None

    def _settled(self, name: str) -> dict[Any, dict[str, Any]]:
        """The VMs of this name, once each of them is there or gone."""
        found = self._named(name)
        coming = [one for one, told in found.items() if _IDENTITY not in told]
        if not coming:
            return found
        for one in coming:
            unless_gone(partial(self._session.waiter.until, one, [_IDENTITY], _has_identity, SETTLE_TIMEOUT))
        found = self._named(name)
        if not all(map(_has_identity, found.values())):
            raise Busy(f"a VM {name!r} is only just being made, or its files cannot be read")
        return found

    def _whole(self, found: tuple[Any, Seen] | None) -> tuple[Any, Seen] | None:
        return None if found is None or found[1].half_made else found

    def namesakes(self, name: str) -> list[str]:
        """Identities of the VMs of this name. One that is being made is waited for; raises Busy if that takes long."""
        return [told[_IDENTITY].lower() for told in self._settled(name).values()]

    def _named(self, name: str) -> dict[Any, dict[str, Any]]:
        written = names.written(name)
        # A simulator, and old versions, keep names as they are.
        every = self._every(_NAMED)
        return {one: told for one, told in every.items() if told.get("name") in (written, name)}

    def _every(self, paths: tuple[str, ...]) -> dict[Any, dict[str, Any]]:
        root = self._datacenter or self._session.content.rootFolder
        told = self._session.read_vms(root, (*paths, _POOL) if self._is_bounded else paths)
        there = {one: seen for one, seen in told.items() if not seen.get("config.template")}
        if not self._is_bounded:
            return there
        pools = self._pools()
        return {one: seen for one, seen in there.items() if _is_within(seen, pools)}

    def read(self, one: Any) -> Seen:
        """Raises ManagedObjectNotFound."""
        return Seen(self._session.read([one], PATHS)[one])

    def all(self) -> list[Seen]:
        """Those that are whole, and whose configuration can be read: only they have an identity."""
        seen = (Seen(told) for told in self._every(PATHS).values())
        return [one for one in seen if one.uuid and not one.half_made]


def _is_within(told: dict[str, Any], pools: set[Any]) -> bool:
    """Of a VM that is only just being made nobody may know yet where it goes: it may be ours."""
    return told.get(_POOL) in pools or not {_POOL, _IDENTITY} & told.keys()


def _has_identity(told: dict[str, Any]) -> bool:
    return _IDENTITY in told
