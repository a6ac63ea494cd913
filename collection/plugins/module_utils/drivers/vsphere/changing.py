# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changing a VM takes, found out before anything is changed, as one specification; and what the VM keeps then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ...vm.changes import Change, changes, merged, shrinking
from ...vm.definition import Clone, Disk, DiskFormat, Nic, VmDefinition
from ..errors import InsufficientResources, Unsupported
from . import booting, cards, disks, names
from .devices import KIB_PER_MIB, Board, drives_of, slots_of
from .kept import Kept, KeptDisk, options
from .making import growth
from .observation import Seen, datastore_id, datastore_name, named_disks
from .placement import DEFAULT_POOL, MIB, Datastore, Network
from .planning import Planner
from .sdk import vim


@dataclass(frozen=True, kw_only=True)
class ChangePlan:
    """What is to be made, changed and removed."""

    seen: Seen
    kept: Kept
    now: VmDefinition
    #: With all that was not said.
    want: VmDefinition
    differing: tuple[Change, ...]
    #: Of disks that are made.
    datastores: dict[str, Datastore]
    #: Of cards that are made, or get another one.
    networks: dict[str, Network]
    #: Path of the image that is put into the drive; None: the drive stays as it is.
    disc: str | None

    def of_kind(self, *kinds: str) -> list[str]:
        """Names of the parts that are changed so, or other paths of these kinds."""
        return [part_of(change.path) for change in self.differing if change.kind in kinds]

    @property
    def _boots_otherwise(self) -> bool:
        if self.want.boot_order != self.now.boot_order:
            return True
        if self.want.boot_order == booting.DEFAULT:
            return False
        return booting.devices(self.want) != booting.devices(self.now) or bool(self._new_boot_cards)

    @property
    def _new_boot_disks(self) -> list[Disk]:
        names = booting.devices(self.want)[0]
        return [disk for disk in self.want.disks if disk.name in names and disk.name in self.datastores]

    @property
    def _new_boot_cards(self) -> list[Nic]:
        names, new = booting.devices(self.want)[1], self.of_kind("nics[]", "nics[].model")
        return [nic for nic in self.want.nics if nic.name in names and nic.name in new]

    @property
    def first_step(self) -> VmDefinition | None:
        """The VM as it is, but with those devices that it is to boot from: what a VM boots from is said by numbers,
        which devices do not have before they are there. Its boot order is another one than the wanted, so that whoever
        finds the VM so sees that something is missing. None: all can be said at once."""
        new, cards = self._new_boot_disks, {nic.name: nic for nic in self._new_boot_cards}
        if not self._boots_otherwise or not (new or cards):
            return None
        here = [cards.pop(nic.name, None) or nic for nic in self.now.nics]
        order = self.now.boot_order if self.now.boot_order != self.want.boot_order else booting.DEFAULT
        return replace(
            self.now, disks=(*self.now.disks, *new), nics=(*here, *cards.values()), boot_order=order
        )  # fmt: skip

    def spec(self, *, running: bool) -> Any:
        """All changes. Nothing is in it that a VM that runs would have to refuse."""
        board = Board(self.seen.devices)
        kept = self._lay_out(board)
        spec = vim.vm.ConfigSpec(
            annotation=self.want.description,
            deviceChange=board.changes,
            extraConfig=options({names.KEPT: kept.written(self.seen.uuid)}),
            **self._size(),
            **({} if running else growth(self.want)),
        )
        if self.want.name != self.seen.name:
            spec.name = names.written(self.want.name)
        if self._boots_otherwise and not running:
            there = cards.named(self.kept, self.seen.devices)
            spec.bootOptions = booting.options(self.want, named_disks(self.seen), there)
        return spec

    def _size(self) -> dict[str, Any]:
        now, want = self.now, self.want
        size = {"memoryMB": want.memory_mib} if want.memory_mib != now.memory_mib else {}
        if (want.cpu.count, want.cpu.cores_per_socket) != (now.cpu.count, now.cpu.cores_per_socket):
            size |= {"numCPUs": want.cpu.count}
        if want.cpu.cores_per_socket != now.cpu.cores_per_socket:
            size |= {"numCoresPerSocket": want.cpu.cores_per_socket}
        return size

    def _lay_out(self, board: Board) -> Kept:
        """What goes makes room for what comes."""
        seen_with = cards.addresses(self.kept, self.seen.devices)
        ours = self._disks(board)
        self._cards(board)
        if self.disc:
            drives = drives_of(self.seen.devices)
            board.other_disc(drives[0], self.disc) if drives else board.drive(self.disc)
        return Kept(
            definition=replace(self.want, cloud_init=self.kept.definition.cloud_init),
            disks=ours,
            nics={nic.name: self._network_key(nic) for nic in self.want.nics if self._network_key(nic)},
            macs=self._addresses(seen_with),
            cdrom=self.disc or self.kept.cdrom,
        )

    def _network_key(self, nic: Nic) -> str:
        network = self.networks.get(nic.name)
        return network.key if network else self.kept.nics.get(nic.name, "")

    def _addresses(self, seen_with: dict[str, str]) -> dict[str, str]:
        """Of cards that stay; a new one's is known once it is there."""
        new = set(self.of_kind("nics[]"))
        told = {nic.name: (nic.mac or seen_with.get(nic.name, "")).lower() for nic in self.want.nics}
        return {name: address for name, address in told.items() if address and name not in new}

    def _disks(self, board: Board) -> dict[str, KeptDisk]:
        ours, there = disks.told_apart(self.kept.disks, self.seen.devices), named_disks(self.seen)
        wanted = {disk.name: disk for disk in self.want.disks}
        for name in self.of_kind("disks[]"):
            if name not in wanted:
                # The file of a disk that somebody else has attached is not ours.
                board.remove(there[name], with_file=ours.pop(name, None) is not None)
        for name in self.of_kind("disks[].size_mib"):
            board.grown_disk(there[name], wanted[name])
        for name, datastore in self.datastores.items():
            ours[name] = KeptDisk(slot=board.new_disk(wanted[name], datastore), datastore=datastore.entity.id)
        return {disk.name: ours[disk.name] for disk in self.want.disks if disk.name in ours}

    def _cards(self, board: Board) -> None:
        there, wanted = cards.named(self.kept, self.seen.devices), {nic.name: nic for nic in self.want.nics}
        models = self.of_kind("nics[].model")
        for name in self.of_kind("nics[]"):
            if name not in wanted:
                board.remove(there[name])
        for name in models:
            board.other_card(there[name], wanted[name], self.networks.get(name))
        for name in dict.fromkeys(self.of_kind("nics[].network", "nics[].bridge", "nics[].vlan", "nics[].mac")):
            if name not in models:
                board.changed_card(there[name], wanted[name], self.networks.get(name))
        for name in self.of_kind("nics[]"):
            if name in wanted:
                board.card(wanted[name], self.networks[name])


def part_of(path: str) -> str:
    """The name in ``nics[front].network``; a path without one is its own name."""
    return path.partition("[")[2].partition("]")[0] or path


def plan_changes(seen: Seen, kept: Kept, now: VmDefinition, want: VmDefinition, planner: Planner) -> ChangePlan:
    """Raises what making the changes would: NotFound, Ambiguous, InsufficientResources, Unsupported."""
    differing = changes(now, want)
    planner.refuse_what_hosts_lack(want)
    _refuse_smaller(differing)
    old = {disk.name: disk for disk in now.disks}
    added = [disk for disk in want.disks if disk.name not in old]
    _refuse_copies(added, planner)
    datastores = {disk.name: planner.places.datastore(disk.pool) for disk in added}
    for disk in added:
        _refuse_too_large(disk, disk.size_mib or 0, datastores[disk.name])
    for change in differing:
        if change.kind == "disks[].size_mib":
            _refuse_growth(old[part_of(change.path)], change, seen, kept, planner)
        if change.kind == "disks[].pool":
            _refuse_move(change, seen, planner)
    moved = {part_of(change.path) for change in differing if change.kind in _NETWORK_KINDS and change.after is not None}
    new_disc = bool(want.cdrom) and want.cdrom != now.cdrom
    plan = ChangePlan(
        seen=seen,
        kept=kept,
        now=now,
        want=merged(now, want),
        differing=differing,
        datastores=datastores,
        networks={nic.name: planner.places.network(nic) for nic in want.nics if nic.name in moved},
        disc=planner.files.image(want.cdrom or "", _home(seen, want, planner, datastores)) if new_disc else None,
    )
    # Whether all fits on a board is known when it does.
    plan.spec(running=False)
    return plan


#: Kinds of changes after which a card is on another network.
_NETWORK_KINDS = frozenset({"nics[]", "nics[].network", "nics[].bridge", "nics[].vlan"})


def _refuse_smaller(differing: tuple[Change, ...]) -> None:
    for change in shrinking(differing):
        raise Unsupported(f"{change.path} is {change.before} MiB; a disk is never made smaller ({change.after} MiB)")


def _refuse_copies(added: list[Disk], planner: Planner) -> None:
    """vSphere clones VMs, not disks."""
    for disk in added:
        if disk.template is not None:
            template = planner.templates.find(disk.template)
            raise Unsupported(
                f"disk {disk.name!r} is to be added from template {template.path}; vSphere makes disks from a template "
                "only together with their VM. Add an empty disk, or make the VM anew"
            )


def _refuse_growth(old: Disk, change: Change, seen: Seen, kept: Kept, planner: Planner) -> None:
    if old.template is not None and old.clone is Clone.LINKED:
        raise Unsupported(f"{change.path}: vSphere cannot make a linked disk larger; use clone: full when it is made")
    slot = kept.disks[old.name].slot if old.name in kept.disks else ""
    device = slots_of(seen.devices).get(slot)
    if device is None:
        raise Unsupported(f"{change.path}: disk {old.name!r} was attached by somebody else, and is not changed")
    place = _datastore_of(device, planner)
    if place:
        _refuse_too_large(old, change.after, place, more=change.after - device.capacityInKB // KIB_PER_MIB)


def _refuse_move(change: Change, seen: Seen, planner: Planner) -> None:
    """A disk that is there already only is to be known as there."""
    device = named_disks(seen)[part_of(change.path)]
    if not planner.places.holds(change.after, datastore_id(device)):
        raise Unsupported(
            f"{change.path} is to be {change.after!r}, but the disk is in datastore {datastore_name(device)!r}; it is "
            "moved at the vCenter (Storage vMotion), not by Millwright"
        )


def _datastore_of(device: Any, planner: Planner) -> Datastore | None:
    here = datastore_id(device)
    return next((one for one in planner.places.datastores if one.entity.id == here), None)


def _refuse_too_large(disk: Disk, size_mib: int, place: Datastore, more: int | None = None) -> None:
    """A thin disk may be promised more than there is free; a thick one takes what is new of it at once."""
    taken = (size_mib if more is None else more) * MIB if disk.format is DiskFormat.RAW else 0
    if size_mib * MIB > place.capacity or taken > place.free:
        raise InsufficientResources(
            f"disk {disk.name!r} is to have {size_mib} MiB; datastore {place.entity.path} has "
            f"{place.capacity // MIB} MiB, of which {place.free // MIB} MiB are free"
        )


def _home(seen: Seen, want: VmDefinition, planner: Planner, new: dict[str, Datastore]) -> Datastore:
    """Where a path without a datastore is looked for: where the first disk is."""
    if not want.disks:
        return planner.places.datastore(DEFAULT_POOL)
    first = want.disks[0]
    ours = seen.kept.disks.get(first.name) if seen.kept else None
    device = slots_of(seen.devices).get(ours.slot) if ours else None
    there = _datastore_of(device, planner) if device else new.get(first.name)
    return there or planner.places.datastore(first.pool)
