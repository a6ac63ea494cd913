# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshot part of the libvirt driver, in the words of its contract (drivers/snapshots.py)."""

from __future__ import annotations

from ...vm.snapshots import Snapshot, WantedSnapshot, named
from ..base import VmRef
from ..errors import NotFound
from . import power, snapshots
from .connection import is_test
from .devices import Domain
from .faults import unless
from .looking import INACTIVE, Looking
from .sdk import libvirt


class Snapshotting(Looking):
    """Snapshots are internal ones: they are in the VM's own qcow2 files, and go with them."""

    def snapshots(self, ref: VmRef) -> tuple[Snapshot, ...]:
        with self._looking(f"listing snapshots of {ref}"):
            return snapshots.of(self._present(ref))

    def check_snapshot(self, ref: VmRef, want: WantedSnapshot) -> None:
        with self._looking(f"checking snapshot {want.name!r} of {ref}"):
            self._snapshottable(ref, want)

    def create_snapshot(self, ref: VmRef, want: WantedSnapshot) -> bool:
        tried = f"taking snapshot {want.name!r} of {ref}"
        with self._looking(tried):
            domain = self._snapshottable(ref, want)
            if named(snapshots.of(domain), want.name):
                return False
        with self._asking(tried):
            return snapshots.create(domain, want, is_test=is_test(self._url))

    def _snapshottable(self, ref: VmRef, want: WantedSnapshot) -> libvirt.virDomain:
        """The domain, if it can have the snapshot."""
        domain = self._ours(ref)
        snapshots.refuse(domain, want)
        return domain

    def revert_snapshot(self, ref: VmRef, name: str) -> None:
        with self._looking(f"reverting {ref} to snapshot {name!r}"):
            domain = self._ours(ref)
            snapshot = _lookup(domain, name)
            if snapshot is None:
                there = ", ".join(other.name for other in snapshots.of(domain)) or "none"
                raise NotFound(f"VM {domain.name()!r} has no snapshot {name!r}; it has: {there}")
        with self._asking(f"reverting {ref} to snapshot {name!r}"):
            if power.is_saved(domain):
                # It is of the disks that go.
                domain.managedSaveRemove(0)
            # By force: libvirt may have to end the guest's process and start another for it.
            domain.revertToSnapshot(snapshot, libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE)

    def delete_snapshot(self, ref: VmRef, name: str, *, children: bool) -> None:
        with self._looking(f"deleting snapshot {name!r} of {ref}"):
            snapshot = _lookup(self._ours(ref), name)
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN if children else 0
        with self._asking(f"deleting snapshot {name!r} of {ref}"):
            if snapshot is not None:
                unless(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT, lambda: snapshot.delete(flags))

    def _ours(self, ref: VmRef) -> libvirt.virDomain:
        domain = self._present(ref)
        self._refuse_foreign(domain, Domain(domain.XMLDesc(INACTIVE)), "changed")
        return domain


def _lookup(domain: libvirt.virDomain, name: str) -> libvirt.virDomainSnapshot | None:
    return unless(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT, lambda: domain.snapshotLookupByName(name))
