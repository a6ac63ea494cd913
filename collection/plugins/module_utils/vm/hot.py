# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which changes a VM can take while it runs, on any hypervisor that changes running VMs. Drivers may allow less."""

from __future__ import annotations

from .changes import Change
from .definition import VmDefinition

#: Kinds of changes that no guest needs to take part in.
HOT_KINDS = frozenset({
    "description", "tags", "autostart", "disks[].size_mib", "nics[].network", "nics[].bridge", "cdrom",
    "cloud_init.user_data", "cloud_init.meta_data", "cloud_init.network_config",
})  # fmt: skip
#: Kinds whose parts can be added to a guest that runs. It is not asked to give one up: it may be using it.
GROWING_KINDS = frozenset({"disks[]", "nics[]"})


def can_be_hot(change: Change, now: VmDefinition) -> bool:
    """Whether a VM that is ``now`` can take the change while it runs."""
    if change.kind in GROWING_KINDS:
        return change.before is None
    if change.kind == "cpu.count":
        return bool(change.before < change.after <= (now.cpu.max_count or 0))
    if change.kind == "memory_mib":
        return bool(change.after <= (now.memory_max_mib or 0))
    return change.kind in HOT_KINDS


def mending(difference: Change) -> Change:
    """The change of the guest that ends a difference between what its VM is defined to be and what runs."""
    return Change(difference.path, difference.after, difference.before, secret=difference.secret)
