# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates made of a fake machine's disk: a volume of the pool, and an image that disks can be made of."""

from __future__ import annotations

from ...vm.definition import Disk, VmDefinition
from ...vm.states import PowerState
from ...vm.templates import Template, WantedTemplate
from ..base import VmRef
from ..errors import Conflict, InsufficientResources, InvalidTransition, NotFound
from . import refusals, snapshots
from .world import Machine, Pool, World


def find(world: World, ref: VmRef, want: WantedTemplate) -> Template | None:
    machine = refusals.get(world, ref)
    disk = _disk(machine, want)
    name, pool = _place(world, disk, want)
    size, made = pool.volumes.get(want.volume), pool.captured.get(want.volume)
    if size is None or made is None or not _is_wanted(made, _origin(machine, disk, want), want):
        return None
    return Template(name=want.volume, pool=name, size_mib=size, format=want.format)


def refuse(world: World, ref: VmRef, want: WantedTemplate) -> Machine:
    """The machine, if the template can be made of it."""
    machine = refusals.get(world, ref)
    disk = _disk(machine, want)
    name, pool = _place(world, disk, want)
    if machine.power is not PowerState.OFF:
        raise InvalidTransition(
            f"VM {machine.name!r} is {machine.power.value}; a template is made of it when it is off"
        )
    if want.snapshot is not None:
        snapshots.get(world, ref, want.snapshot)
    if want.volume in pool.volumes:
        raise Conflict(f"pool {name!r} has a volume {want.volume!r} already")
    if world.size_of(disk) > pool.free_mib:
        raise InsufficientResources(f"pool {name!r} has {pool.free_mib} MiB free; {want.volume!r} needs more")
    return machine


def make(world: World, ref: VmRef, want: WantedTemplate) -> None:
    machine = refuse(world, ref, want)
    disk = _disk(machine, want)
    _name, pool = _place(world, disk, want)
    pool.volumes[want.volume] = world.images[want.volume] = world.size_of(disk)
    pool.captured[want.volume] = {**_origin(machine, disk, want), "made_for": want.made_for}


def _is_wanted(made: dict[str, str | None], origin: dict[str, str | None], want: WantedTemplate) -> bool:
    if want.made_for is not None and made["made_for"] != want.made_for:
        return False
    return all(made[what] == origin[what] for what in origin)


def _origin(machine: Machine, disk: Disk, want: WantedTemplate) -> dict[str, str | None]:
    return {"machine": machine.uuid, "disk": disk.name, "snapshot": want.snapshot}


def _disk(machine: Machine, want: WantedTemplate) -> Disk:
    if machine.definition is None:
        raise Conflict(f"VM {machine.name!r} was not made by Millwright, and nobody knows its disks")
    disks = {disk.name: disk for disk in VmDefinition.from_dict(machine.definition).disks}
    name = want.disk or next(iter(disks), "")
    if name not in disks:
        raise NotFound(f"VM {machine.name!r} has no disk {name!r}; it has: {', '.join(disks) or 'none'}")
    return disks[name]


def _place(world: World, disk: Disk, want: WantedTemplate) -> tuple[str, Pool]:
    name = want.pool or disk.pool
    if name not in world.pools:
        raise NotFound(f"there is no pool {name!r}; there are: {', '.join(sorted(world.pools))}")
    return name, world.pools[name]
