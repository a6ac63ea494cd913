# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a fake machine. Each is kept as Snapshot.to_dict gives it, with the ``machine`` as it was."""

from __future__ import annotations

import time
from typing import Any

from ...vm.snapshots import Quiesce, Snapshot, WantedSnapshot, after_create, after_delete, after_revert, named
from ...vm.states import PowerState
from ..base import VmRef
from ..errors import NotFound, Unsupported, deciding
from . import refusals
from .behaviour import Behaviour
from .world import Machine, World

#: What a revert brings back beside the power state.
_KEPT = ("name", "definition", "memory_mib")


def of(machine: Machine) -> tuple[Snapshot, ...]:
    return tuple(_snapshot(kept) for kept in machine.snapshots)


def _snapshot(kept: dict[str, Any]) -> Snapshot:
    told = {key: value for key, value in kept.items() if key != "machine"}
    return Snapshot(**{**told, "power": PowerState(kept["power"])})


@deciding()
def changeable(world: World, ref: VmRef) -> Machine:
    machine = refusals.get(world, ref)
    refusals.refuse_foreign(machine)
    return machine


@deciding()
def refuse(world: World, ref: VmRef, want: WantedSnapshot, behaviour: Behaviour) -> Machine:
    """The machine, if it can have the snapshot."""
    machine = changeable(world, ref)
    if want.quiesce is Quiesce.ALWAYS and not is_quiet(machine, want, behaviour):
        raise Unsupported(
            f"no agent answers in VM {machine.name!r}, or it does not run, so it cannot be brought to rest"
        )
    return machine


def is_quiet(machine: Machine, want: WantedSnapshot, behaviour: Behaviour) -> bool:
    """Whether the guest's file systems rest while the snapshot is taken."""
    asked = want.quiesce is not Quiesce.NEVER and not want.memory
    return asked and machine.power is PowerState.ON and behaviour.has_agent(machine.name)


def take(machine: Machine, want: WantedSnapshot) -> None:
    """One of this name that is there already stays as it is."""
    before = of(machine)
    if named(before, want.name) is None:
        machine.snapshots = _kept(after_create(before, want, machine.power), machine)


def _kept(snapshots: tuple[Snapshot, ...], machine: Machine) -> list[dict[str, Any]]:
    """One that is not kept yet is of now, and of the machine as it is."""
    were = {kept["name"]: kept for kept in machine.snapshots}
    new = {"created": round(time.time()), "machine": {key: getattr(machine, key) for key in _KEPT}}
    return [{**snapshot.to_dict(), **{key: were.get(snapshot.name, new)[key] for key in new}} for snapshot in snapshots]


@deciding()
def get(world: World, ref: VmRef, name: str) -> tuple[Machine, dict[str, Any]]:
    """The machine and what is kept of its snapshot. Raises NotFound."""
    machine = changeable(world, ref)
    found = next((kept for kept in machine.snapshots if kept["name"] == name), None)
    if found is None:
        there = ", ".join(kept["name"] for kept in machine.snapshots) or "none"
        raise NotFound(f"VM {machine.name!r} has no snapshot {name!r}; it has: {there}")
    return machine, found


def revert(world: World, ref: VmRef, name: str) -> None:
    machine, kept = get(world, ref, name)
    refusals.refuse_name(world, kept["machine"]["name"], machine.uuid)
    for key in _KEPT:
        setattr(machine, key, kept["machine"][key])
    machine.power = PowerState(kept["power"])
    machine.snapshots = _kept(after_revert(of(machine), name), machine)


def delete(world: World, ref: VmRef, name: str, *, children: bool) -> None:
    machine = changeable(world, ref)
    machine.snapshots = _kept(after_delete(of(machine), name, children=children), machine)
