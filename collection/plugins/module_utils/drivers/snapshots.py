# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver with Capability.SNAPSHOTS does beyond the contract of base.py, whose general rules hold here, too."""

from __future__ import annotations

from typing import Protocol

from ..vm.snapshots import Snapshot, WantedSnapshot
from .base import VmDriver, VmRef


class SnapshotDriver(VmDriver, Protocol):
    """Snapshots belong to their VM: ``delete`` of the VM removes them. Those of foreign VMs can be listed only."""

    def snapshots(self, ref: VmRef) -> tuple[Snapshot, ...]:
        """All snapshots of the VM, a parent before its children. Raises VmNotFound."""

    def check_snapshot(self, ref: VmRef, want: WantedSnapshot) -> None:
        """Raise what ``create_snapshot`` would refuse; change nothing."""

    def create_snapshot(self, ref: VmRef, want: WantedSnapshot) -> bool:
        """Afterwards the VM has the snapshot and is on it, and its power state is as it was. One of this name that is
        there already stays as it is. On failure there is none, and nothing of it.

        Gives whether the guest's file systems were brought to rest for it. Raises Unsupported for a VM that cannot have
        one, or, with Quiesce.ALWAYS, without an agent in its guest."""

    def revert_snapshot(self, ref: VmRef, name: str) -> None:
        """Afterwards disks, memory and definition of the VM are those of the snapshot, and it is in the snapshot's
        power state; what happened since is lost. Raises NotFound for an unknown snapshot; the message names those that
        there are."""

    def delete_snapshot(self, ref: VmRef, name: str, *, children: bool) -> None:
        """Afterwards the snapshot is not there, and with ``children`` none that was taken on top of it; the VM's
        content stays. A missing snapshot is a deleted one."""
