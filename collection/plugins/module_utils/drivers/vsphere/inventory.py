# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is at a vCenter or ESXi host beside VMs, and which of it a name, path or managed-object id means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from typing import Any

from ..errors import Ambiguous, NotFound
from . import names
from .connection import Session
from .sdk import vim

#: Everything that stands in a path; subtypes come with them.
_KINDS = (
    vim.Datacenter, vim.Folder, vim.ComputeResource, vim.HostSystem, vim.ResourcePool, vim.Datastore, vim.Network,
)  # fmt: skip
_PATHS = ("name", "parent")


@dataclass(frozen=True)
class Entity:
    """One thing of the inventory."""

    object: Any
    name: str
    #: From the root, like ``/DC0/datastore/fast``.
    path: str

    @property
    def id(self) -> str:
        return str(self.object._GetMoId())

    def is_called(self, said: str) -> bool:
        return said in (self.name, self.path, self.id)


class Inventory:
    """Read once, when it is first asked for, in one call."""

    def __init__(self, session: Session):
        self._session = session

    @cached_property
    def _all(self) -> dict[Any, Entity]:
        told = self._session.read_all(self._session.content.rootFolder, _KINDS, vim.ManagedEntity, _PATHS)
        if not told:
            raise HTTPException("what was answered is no answer of a vCenter or ESXi host")
        return {one: Entity(one, names.read(seen["name"]), _path(one, told)) for one, seen in told.items()}

    def every(self, kind: type, within: Entity | None = None) -> list[Entity]:
        """All of a kind, by path; only those of the datacenter, if it is given."""
        found = (one for one in self._all.values() if isinstance(one.object, kind))
        ours = (one for one in found if within is None or one.path.startswith(f"{within.path}/"))
        return sorted(ours, key=lambda one: one.path)

    @cached_property
    def _networks(self) -> dict[str, str]:
        return {one.id: one.name for one in self.every(vim.Network)}

    def network_name(self, key: str) -> str | None:
        """A distributed port group's key is its id."""
        return self._networks.get(key)

    def entity(self, reference: Any) -> Entity | None:
        return self._all.get(reference)

    @cached_property
    def datacenter(self) -> Entity:
        """Where VMs are made. Raises NotFound or Ambiguous."""
        return pick("datacenter", self.every(vim.Datacenter), self._session.placement.datacenter)


def pick(what: str, there: Iterable[Entity], said: str | None) -> Entity:
    """The one that is called as was said; if nothing was said, the only one. Raises NotFound or Ambiguous."""
    candidates = list(there)
    fitting = [one for one in candidates if said is None or one.is_called(said)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        wanted = f" {said!r}" if said else ""
        raise NotFound(f"there is no {what}{wanted}; there are: {listed(candidates)}")
    if said is None:
        raise Ambiguous(f"nothing says which {what} is meant; there are: {listed(fitting)}")
    raise Ambiguous(f"several things are called {what} {said!r}; give a path or an id: {listed(fitting)}")


def listed(entities: Iterable[Entity]) -> str:
    return ", ".join(f"{one.path} ({one.id})" for one in entities) or "none"


def _path(reference: Any, told: dict[Any, dict[str, Any]]) -> str:
    """The root folder has no name in a path; what we may not see ends it early."""
    parts: list[str] = []
    while reference in told:
        parts.append(names.read(told[reference]["name"]))
        reference = told[reference].get("parent")
    return "/" + "/".join(reversed(parts))
