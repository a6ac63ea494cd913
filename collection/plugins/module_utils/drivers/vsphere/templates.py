# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that others are made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import NotFound, Unsupported
from . import names
from .connection import Session
from .inventory import Entity, Inventory, pick
from .observation import Seen
from .sdk import vim

_LOOKED_FOR = ("name", "parent", "config.template")
_DEVICES = "config.hardware.device"
_READ = (
    _DEVICES, "config.template", "config.instanceUuid", "config.extraConfig", "runtime.powerState",
    "snapshot.currentSnapshot", "summary.storage.committed",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Template:
    """A VM or template as it is now."""

    object: Any
    path: str
    power: str
    devices: list[Any]
    #: What linked disks refer to; None if there is none.
    snapshot: Any
    #: Bytes on its datastores.
    committed: int
    #: It is a VM that we change and remove when we are asked to.
    managed: bool


class Templates:
    """The templates that one connection can see."""

    def __init__(self, session: Session, inventory: Inventory):
        self._session = session
        self._inventory = inventory

    def find(self, said: str) -> Template:
        """By name, path or id; a VM may serve as well. Raises NotFound, which lists the templates, and Ambiguous."""
        if not self._session.is_vcenter:
            raise Unsupported(f"a stand-alone ESXi host cannot clone, so no disk can be made from template {said!r}")
        there = self._every()
        fitting = [one for one, _kept in there if one.is_called(said)]
        if fitting:
            return self._read(pick("template", fitting, said))
        known = ", ".join(one.path for one, is_template in there if is_template) or "none"
        raise NotFound(f"there is no template {said!r}; templates: {known}")

    def called(self, name: str) -> Template | None:
        """The template of this name; a VM is none. Raises Ambiguous."""
        fitting = [one for one, is_template in self._every() if is_template and one.name == name]
        return self._read(pick("template", fitting, name)) if fitting else None

    def _every(self) -> list[tuple[Entity, bool]]:
        root = self._session.content.rootFolder
        told = self._session.read_all(root, (vim.VirtualMachine,), vim.VirtualMachine, _LOOKED_FOR)
        return [
            (self._entity(one, seen), bool(seen.get("config.template"))) for one, seen in told.items() if "name" in seen
        ]

    def _entity(self, one: Any, seen: dict[str, Any]) -> Entity:
        parent, name = self._inventory.entity(seen.get("parent")), names.read(seen["name"])
        return Entity(one, name, f"{parent.path if parent else ''}/{name}")

    def _read(self, entity: Entity) -> Template:
        told = self._session.read([entity.object], _READ)[entity.object]
        seen = Seen(told)
        return Template(
            object=entity.object,
            path=entity.path,
            power=told.get("runtime.powerState", "unknown"),
            devices=list(told.get(_DEVICES, ())),
            snapshot=told.get("snapshot.currentSnapshot"),
            committed=told.get("summary.storage.committed", 0),
            managed=not seen.is_template and seen.managed,
        )

    def as_of_snapshot(self, template: Template) -> Template:
        """With the devices that it had then: they are what a linked clone gets."""
        told = self._session.read([template.snapshot], [_DEVICES])[template.snapshot]
        return replace(template, devices=list(told.get(_DEVICES, ())))
