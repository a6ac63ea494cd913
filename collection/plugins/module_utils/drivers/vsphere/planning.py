# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What making a VM takes, found out before anything is made: template, datastores, space, networks, image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from ...vm.definition import Clone, Disk, DiskFormat, VmDefinition
from ..errors import InsufficientResources, InvalidTemplate, Unsupported
from .devices import KIB_PER_MIB, Board, disks_of
from .files import Files
from .kept import Kept, KeptDisk
from .placement import DEFAULT_POOL, MIB, Datastore, Network, Places
from .templates import Template, Templates

#: MiB.
MEMORY_STEP = 4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that making a VM takes."""

    want: VmDefinition
    home: Datastore
    #: Of each disk.
    datastores: dict[str, Datastore]
    #: Of each card.
    networks: dict[str, Network]
    template: Template | None
    cdrom: str | None
    #: Where it is made; None: vSphere decides.
    host: Any = None

    @property
    def from_template(self) -> tuple[Disk, ...]:
        return tuple(disk for disk in self.want.disks if disk.template is not None)

    @property
    def linked(self) -> bool:
        return any(disk.clone is Clone.LINKED for disk in self.from_template)

    @property
    def needed(self) -> set[Any]:
        """The datastores and networks that its host must reach."""
        places: list[Datastore | Network] = [self.home, *self.datastores.values(), *self.networks.values()]
        linked = disks_of(self.template.devices) if self.template and self.linked else []
        bases = {getattr(disk.backing, "datastore", None) for disk in linked} - {None}
        return {place.entity.object for place in places} | bases

    def lay_out(self, board: Board) -> Kept:
        """Put all devices on the board; gives what the VM is to remember."""
        copies = iter(disks_of(board.devices))
        slots = {disk.name: self._slot(board, disk, copies) for disk in self.want.disks}
        for nic in self.want.nics:
            board.card(nic, self.networks[nic.name])
        if self.cdrom:
            board.drive(self.cdrom)
        return Kept(
            definition=self.want,
            disks={
                name: KeptDisk(slot=slot, datastore=self.datastores[name].entity.id) for name, slot in slots.items()
            },
            nics={name: network.key for name, network in self.networks.items()},
            cdrom=self.cdrom,
        )

    def _slot(self, board: Board, disk: Disk, copies: Any) -> str:
        if disk.template is None:
            return board.new_disk(disk, self.datastores[disk.name])
        copy = next(copies, None)
        if copy is None:
            raise InvalidTemplate(f"there is no disk {disk.name!r} in what vSphere made of its template")
        return board.template_disk(copy, disk)


@dataclass(frozen=True)
class Planner:
    """Looks at one connection's places."""

    places: Places
    templates: Templates
    files: Files

    def plan(self, want: VmDefinition) -> Plan:
        """Raises what making the VM would: NotFound, Ambiguous, InvalidTemplate, InsufficientResources, Unsupported."""
        self.places.settle()
        self.refuse_what_hosts_lack(want)
        datastores = {disk.name: self.places.datastore(disk.pool) for disk in want.disks}
        home = datastores[want.disks[0].name] if want.disks else self.places.datastore(DEFAULT_POOL)
        plan = Plan(
            want=want,
            home=home,
            datastores=datastores,
            networks={nic.name: self.places.network(nic) for nic in want.nics},
            template=self._template(want),
            cdrom=self.files.image(want.cdrom, home) if want.cdrom else None,
        )
        _refuse_too_large(plan)
        # Whether all fits on a board is known when it does.
        plan.lay_out(Board.of_template(plan.template.devices) if plan.template else Board([]))
        needed = plan.needed | {one.entity.object for one in self.places.datastores if _holds(one, plan.cdrom)}
        return replace(plan, host=self.places.landing(want.identity, needed, want.memory_mib * MIB))

    def refuse_what_hosts_lack(self, want: VmDefinition) -> None:
        most = self.places.most_cpus
        if most and want.cpu.count > most:
            raise Unsupported(f"cpu.count {want.cpu.count} is more than any host here has, which is {most}")
        for name, memory in (("memory_mib", want.memory_mib), ("memory_max_mib", want.memory_max_mib)):
            if (memory or 0) % MEMORY_STEP:
                raise Unsupported(f"{name} is {memory}; at vSphere it is a multiple of {MEMORY_STEP}")

    def _template(self, want: VmDefinition) -> Template | None:
        named = [disk for disk in want.disks if disk.template is not None]
        if not named:
            return None
        _refuse_mixture(named)
        template = self.templates.find(named[0].template or "")
        if named[0].clone is Clone.LINKED:
            _refuse_link(template)
            template = self.templates.as_of_snapshot(template)
        _refuse_template(template, named)
        return template


def _holds(datastore: Datastore, image: str | None) -> bool:
    return image is not None and image.startswith(f"[{datastore.entity.name}] ")


def _refuse_mixture(disks: list[Disk]) -> None:
    if len({(disk.template, disk.clone) for disk in disks}) > 1:
        raise Unsupported("all disks that vSphere makes from a template come from one template, in one way of cloning")


def _refuse_link(template: Template) -> None:
    if template.snapshot is None:
        raise InvalidTemplate(f"template {template.path} has no snapshot to link to; take one, or use clone: full")
    if template.managed:
        raise InvalidTemplate(
            f"{template.path} is a VM of Millwright, which may be changed and deleted, and linked disks with it; "
            "make a template of it (vm_capture), or use clone: full"
        )


def _refuse_template(template: Template, disks: list[Disk]) -> None:
    theirs = disks_of(template.devices)
    if template.power != "poweredOff":
        raise InvalidTemplate(f"template {template.path} is {template.power}; only a VM that is off can be a template")
    linked = disks[0].clone is Clone.LINKED
    when = " in its snapshot" if linked else ""
    if len(theirs) != len(disks):
        raise InvalidTemplate(
            f"template {template.path} has {len(theirs)} disks{when}; the definition names it for {len(disks)}"
        )
    for disk, device in zip(disks, theirs, strict=True):
        _refuse_size(template, disk, device.capacityInKB // KIB_PER_MIB, linked=linked)


def _refuse_size(template: Template, disk: Disk, theirs: int, *, linked: bool) -> None:
    if disk.size_mib and disk.size_mib < theirs:
        raise InvalidTemplate(
            f"disk {disk.name!r} is to have {disk.size_mib} MiB, but its template {template.path} has {theirs} MiB; "
            "a disk cannot be smaller than its template"
        )
    if linked and disk.size_mib and disk.size_mib > theirs:
        raise Unsupported(
            f"disk {disk.name!r} is to have {disk.size_mib} MiB; vSphere cannot make a linked disk larger than its "
            f"template {template.path}, which has {theirs} MiB; use clone: full"
        )


def _refuse_too_large(plan: Plan) -> None:
    """Thin disks may be promised more than there is, together; one alone may not, and a thick one takes it at once."""
    needed: dict[str, int] = defaultdict(int)
    for disk in plan.want.disks:
        place, size = plan.datastores[disk.name], (disk.size_mib or 0) * MIB
        needed[place.entity.id] += size if disk.format is DiskFormat.RAW else 0
        if size > place.capacity or needed[place.entity.id] > place.free:
            raise InsufficientResources(
                f"disk {disk.name!r} needs {disk.size_mib} MiB; datastore {place.entity.path} has "
                f"{place.capacity // MIB} MiB, of which {place.free // MIB} MiB are free"
            )
    if plan.template and not plan.linked and plan.template.committed > plan.home.free:
        raise InsufficientResources(
            f"a copy of {plan.template.path} takes {plan.template.committed // MIB} MiB; datastore "
            f"{plan.home.entity.path} has {plan.home.free // MIB} MiB free"
        )
