# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of a fake hypervisor that somebody has attached to a machine, or that stand on others: what stays and what
goes when a machine is removed."""

from __future__ import annotations

from collections.abc import Collection

from ..base import NOT_OURS, KeptDisk
from ..errors import Conflict
from .world import Machine, World, split


def going(world: World, machine: Machine, *, foreign_disks: bool) -> list[str]:
    """The attached volumes that go with the machine."""
    if not foreign_disks:
        return []
    there = [place for place in machine.attached if world.has(place)]
    return [place for place in there if _reason(world, machine, place) is None]


def kept(world: World, machine: Machine, *, foreign_disks: bool) -> tuple[KeptDisk, ...]:
    away = going(world, machine, foreign_disks=foreign_disks)
    return tuple(
        KeptDisk(path=place, why=(_reason(world, machine, place) if foreign_disks else None) or NOT_OURS)
        for place in sorted(machine.attached)
        if place not in away
    )


def _reason(world: World, machine: Machine, place: str) -> str | None:
    """Why it stays whatever is asked."""
    pool, volume = split(place)
    owners = [other.name for other in world.machines.values() if other is not machine and place in other.attached]
    if owners:
        return f"VM {owners[0]!r} has it as well; it goes with the last of them"
    if volume in world.pools[pool].captured:
        return "it is a template"
    standing = _overlays(world, machine, [place])
    return f"{standing[0][1]} stands on it" if standing else None


def _overlays(world: World, machine: Machine, places: Collection[str]) -> list[tuple[str, str]]:
    """What is on one of the volumes, and stays when the machine goes: pairs of the base and its overlay."""
    own = {f"{pool}/{name}" for pool, name in world.files_of(machine.uuid)}
    return [
        (base, overlay)
        for overlay, base in sorted(world.overlays.items())
        if base in places and overlay not in own and overlay not in places and world.has(overlay)
    ]


def refuse_overlays(world: World, machine: Machine, *, foreign_disks: bool) -> None:
    """Raise Conflict if a volume that stays stands on one that would go."""
    own = [f"{pool}/{name}" for pool, name in world.files_of(machine.uuid)]
    for base, overlay in _overlays(world, machine, [*own, *going(world, machine, foreign_disks=foreign_disks)]):
        owner = next((one.name for one in world.machines.values() if overlay in one.attached), None)
        has = f"VM {owner!r} has {overlay}, which is" if owner else f"{overlay} is"
        raise Conflict(f"{has} an overlay on {base} of VM {machine.name!r} and would be lost with it")
