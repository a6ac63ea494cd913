# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In what the guest that runs differs from the configuration that its next start has."""

from __future__ import annotations

from collections.abc import Mapping, Set

from ...vm.changes import Change, changes
from ...vm.definition import VmDefinition
from .changing import part_of
from .devices import Domain, disk_nodes, nic_nodes

#: What differs only if somebody changed one without the other. Memory below its limit is the balloon's business, VLAN
#: tags may come from the network, and words are no matter of the guest.
KINDS = frozenset({
    "cpu.count", "cpu.max_count", "cpu.cores_per_socket", "memory_max_mib", "firmware", "boot_order", "disks[]",
    "disks[].bus", "nics[]", "nics[].network", "nics[].bridge", "nics[].mac", "nics[].model", "cdrom",
})  # fmt: skip


def differences(kept: VmDefinition, told: Domain, runs: VmDefinition, live: Domain) -> tuple[Change, ...]:
    """From what the configuration says (``kept``, read from ``told``) to what runs (``runs``, read from ``live``)."""
    devices = {
        "disks[]": disk_nodes(told, kept).keys() ^ disk_nodes(live, kept).keys(),
        "nics[]": nic_nodes(told).keys() ^ nic_nodes(live).keys(),
    }
    kinds = KINDS if kept.memory_max_mib else KINDS | {"memory_mib"}
    return tuple(change for change in changes(kept, runs) if change.kind in kinds and _counts(change, devices))


def _counts(change: Change, devices: Mapping[str, Set[str]]) -> bool:
    match change.kind:
        case "disks[]" | "nics[]":
            # Not what only one of them has words for: libvirt shows what a card became by its network.
            return part_of(change.path) in devices[change.kind]
        case "nics[].bridge":
            return change.before is not None
        case "cdrom":
            # A guest ejects a disc that it is done with.
            return bool(change.after)
    return True
