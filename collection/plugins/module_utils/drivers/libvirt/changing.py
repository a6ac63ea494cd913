# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changing a domain takes, found out before anything is changed; and the definition that it keeps then."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...vm.changes import changes, merged
from ...vm.cloud_data import kept_data
from ...vm.definition import Disk, Nic, VmDefinition
from ..errors import InsufficientResources
from . import planning
from .domain_xml import Source
from .planning import PlannedDisk
from .sdk import libvirt
from .seeding import Reseeding, reseeding
from .storage import MIB, Storage


@dataclass(frozen=True, kw_only=True)
class ChangePlan:
    """What is to be made, changed and removed."""

    #: The domain's configuration of which all this was computed.
    before: str
    now: VmDefinition
    want: VmDefinition
    added: tuple[PlannedDisk, ...]
    #: As they are wanted.
    grown: tuple[Disk, ...]
    removed: tuple[Disk, ...]
    #: New and changed cards; of changed ones also what the definition says nothing of.
    nics: tuple[Nic, ...]
    lost_nics: tuple[str, ...]
    #: The drive gets ``disc``, or is empty without one; else it stays as it is.
    changes_disc: bool
    disc: Source | None
    #: Other data for cloud-init.
    reseeding: Reseeding | None
    #: Where a serial log is to be kept that there is not yet.
    log_home: libvirt.virStoragePool | None

    @property
    def new_nics(self) -> frozenset[str]:
        return frozenset(nic.name for nic in self.nics) - {nic.name for nic in self.now.nics}


def plan_changes(
    before: str, now: VmDefinition, want: VmDefinition, storage: Storage, connection: libvirt.virConnect
) -> ChangePlan:
    """``before`` is the XML that ``now`` was read of. Raises what making the changes would: NotFound, InvalidTemplate,
    InsufficientResources."""
    planning.refuse_missing_networks(want, connection)
    old = {disk.name: disk for disk in now.disks}
    added = tuple(planning.planned_disk(disk, storage) for disk in want.disks if disk.name not in old)
    planning.refuse_too_large(added)
    grown = tuple(
        disk for disk in want.disks if disk.name in old and disk.size_mib not in (None, old[disk.name].size_mib)
    )
    for disk in grown:
        _refuse_beyond_pool(disk, storage)
    changes_disc = any(change.kind == "cdrom" for change in changes(now, want))
    return ChangePlan(
        before=before,
        now=now,
        want=want,
        added=added,
        grown=grown,
        removed=tuple(disk for disk in now.disks if disk.name not in {disk.name for disk in want.disks}),
        nics=tuple(_changed_nics(now, want)),
        lost_nics=tuple(nic.name for nic in now.nics if nic.name not in {nic.name for nic in want.nics}),
        changes_disc=changes_disc,
        disc=planning.find_cdrom(want, storage, []) if changes_disc else None,
        reseeding=reseeding(before, now, want, storage),
        log_home=planning.home_of(want, storage) if want.console.serial_log and not now.console.serial_log else None,
    )


def _refuse_beyond_pool(disk: Disk, storage: Storage) -> None:
    capacity = storage.pool(disk.pool).info()[1]
    if (disk.size_mib or 0) * MIB > capacity:
        raise InsufficientResources(
            f"disk {disk.name!r} is to have {disk.size_mib} MiB; storage pool {disk.pool!r} has {capacity // MIB} MiB"
        )


def _changed_nics(now: VmDefinition, want: VmDefinition) -> list[Nic]:
    old = {nic.name: nic for nic in now.nics}
    changed = {part_of(change.path) for change in changes(now, want) if change.kind.startswith("nics[]")}
    return [_whole(old.get(nic.name), nic) for nic in want.nics if nic.name in changed]


def part_of(path: str) -> str:
    """The name in ``nics[front].network``."""
    return path.partition("[")[2].partition("]")[0]


def _whole(old: Nic | None, nic: Nic) -> Nic:
    return nic if old is None else replace(nic, mac=nic.mac or old.mac, vlan=nic.vlan or old.vlan)


def kept_after(kept: VmDefinition, plan: ChangePlan) -> VmDefinition:
    """The definition that the domain keeps. cloud-init's secrets are fingerprints there. What cards are the XML itself
    tells."""
    data = kept_data(plan.now.cloud_init, plan.want.cloud_init) if plan.reseeding else kept.cloud_init
    return replace(merged(kept, plan.want), cloud_init=data, nics=plan.want.nics)
