# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fake hypervisor refuses, as real ones do: pure functions over its world."""

from __future__ import annotations

from ...vm.changes import Change, same_changes
from ...vm.changes import changes as compare
from ...vm.definition import Disk, VmDefinition
from ...vm.hot import can_be_hot, mending
from ...vm.states import POWER_FROM, POWER_GOAL, PowerAction, PowerState, refusal
from ..base import VmRef
from ..errors import (
    Conflict,
    InsufficientResources,
    InvalidTemplate,
    InvalidTransition,
    NotFound,
    Unsupported,
    VmNotFound,
    deciding,
)
from .world import Machine, World


def find(world: World, ref: VmRef) -> Machine | None:
    return world.machines.get(ref.uuid) if ref.uuid else world.named(ref.name)


def get(world: World, ref: VmRef) -> Machine:
    """Raises VmNotFound."""
    machine = find(world, ref)
    if machine is None:
        raise VmNotFound(f"{ref} is not at the hypervisor")
    return machine


def refuse_foreign(machine: Machine) -> None:
    if not machine.managed:
        raise Conflict(f"VM {machine.name!r} was not made by Millwright and is left alone")


def refuse_name(world: World, name: str, identity: str) -> None:
    """The name may be free, or the VM's own."""
    other = world.named(name)
    if other is not None and other.uuid != identity:
        raise Conflict(f"the name {name!r} is taken by another VM ({other.uuid})")


def refuse_cpus(world: World, want: VmDefinition) -> None:
    if want.cpu.count > world.max_cpus:
        raise Unsupported(f"cpu.count {want.cpu.count} is more than a guest can have here, which is {world.max_cpus}")


def refuse_create(world: World, want: VmDefinition) -> None:
    """What ``create`` would refuse."""
    refuse_name(world, want.name, want.identity)
    if want.identity in world.machines:
        taken = world.machines[want.identity]
        raise Conflict(f"VM {want.name!r} cannot be made: VM {taken.name!r} has its identity ({taken.uuid})")
    refuse_cpus(world, want)
    for disk in want.disks:
        _refuse_disk(world, disk)
    _refuse_networks(world, want)
    _refuse_missing_iso(world, want)
    _refuse_space(world, list(want.disks), want.name)


def _refuse_networks(world: World, want: VmDefinition) -> None:
    for nic in want.nics:
        if nic.network is not None and nic.network not in world.networks:
            raise NotFound(f"there is no network {nic.network!r}; there are: {', '.join(world.networks)}")


def _refuse_missing_iso(world: World, want: VmDefinition) -> None:
    if want.cdrom and not world.size_of_image(want.cdrom):
        raise _no_image("ISO image", want.cdrom, world)


def _refuse_disk(world: World, disk: Disk) -> None:
    if disk.pool not in world.pools:
        raise NotFound(f"there is no pool {disk.pool!r}; there are: {', '.join(sorted(world.pools))}")
    if disk.template is None:
        return
    size = world.size_of_image(disk.template)
    if not size:
        raise _no_image("template", disk.template, world)
    if not disk.template.endswith(f".{disk.template_format.value}"):
        raise InvalidTemplate(f"template {disk.template!r} is not of format {disk.template_format.value}")
    if disk.size_mib is not None and disk.size_mib < size:
        raise InvalidTemplate(
            f"disk {disk.name!r} is {disk.size_mib} MiB, smaller than its template {disk.template!r} ({size} MiB)"
        )


def _no_image(what: str, name: str, world: World) -> NotFound:
    return NotFound(f"there is no {what} {name!r}; there are: {', '.join(world.images)}")


def _refuse_space(world: World, disks: list[Disk], vm: str) -> None:
    for name in sorted({disk.pool for disk in disks}):
        needed = sum(world.size_of(disk) for disk in disks if disk.pool == name)
        free = world.pools[name].free_mib
        if needed > free:
            raise InsufficientResources(f"pool {name!r} has {free} MiB free; VM {vm!r} needs {needed} MiB")


def refuse_start(world: World, machine: Machine) -> None:
    if machine.memory_mib > world.free_memory_mib:
        raise InsufficientResources(
            f"VM {machine.name!r} needs {machine.memory_mib} MiB of memory; {world.free_memory_mib} MiB are free"
        )


@deciding()
def changeable(world: World, ref: VmRef, want: VmDefinition) -> Machine:
    """The machine, if it can be made as wanted, whatever its power."""
    machine = get(world, ref)
    refuse_foreign(machine)
    refuse_name(world, want.name, machine.uuid)
    refuse_cpus(world, want)
    _refuse_changes(world, machine, want)
    return machine


def _refuse_changes(world: World, machine: Machine, want: VmDefinition) -> None:
    before = VmDefinition.from_dict(machine.definition)
    sizes = {disk.name: disk.size_mib for disk in before.disks}
    for disk in want.disks:
        if sizes.get(disk.name, 0) != disk.size_mib:
            _refuse_disk(world, disk)
    _refuse_networks(world, want)
    _refuse_missing_iso(world, want)
    _refuse_space(world, [disk for disk in want.disks if disk.name not in sizes], want.name)


def is_as(machine: Machine, want: VmDefinition) -> bool:
    return not compare(VmDefinition.from_dict(machine.definition), want)


@deciding()
def refuse_update(machine: Machine, want: VmDefinition, changes: tuple[Change, ...]) -> None:
    """A machine that is on takes what is hot; one that is paused, or not what it was, takes nothing."""
    if not same_changes(compare(VmDefinition.from_dict(machine.definition), want), changes):
        raise Conflict(f"somebody else changed VM {machine.name!r} since it was compared; compare again")
    hot = machine.power is PowerState.ON and {change.path for change in changes} == hot_paths(machine, changes)
    if machine.power is not PowerState.OFF and not (changes and hot):
        raise InvalidTransition(f"VM {machine.name!r} is {machine.power.value}; it can be changed when it is off")


def hot_paths(machine: Machine, changes: tuple[Change, ...]) -> frozenset[str]:
    now = VmDefinition.from_dict(machine.definition)
    return frozenset(change.path for change in changes if can_be_hot(change, now))


def mendable(machine: Machine, differences: tuple[Change, ...]) -> frozenset[str]:
    return hot_paths(machine, tuple(map(mending, differences)))


def is_done(machine: Machine, action: PowerAction) -> bool:
    return machine.power is POWER_GOAL[action] and action is not PowerAction.RESET


def refuse_power(machine: Machine, action: PowerAction) -> None:
    if machine.power not in POWER_FROM[action]:
        raise InvalidTransition(refusal(machine.name, machine.power, action))
