# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vSphere driver: one open session, in the words of the driver contract."""

from __future__ import annotations

from typing import Any

from ...vm.changes import changes
from ...vm.definition import VmDefinition
from ...vm.states import PowerAction
from ..base import Capability, KeptDisk, VmRef
from ..errors import Busy, Conflict, VmNotFound
from . import power
from .capturing import Capturing
from .faults import kind_of, unless_gone
from .foreign import Foreign, foreign
from .making import Maker
from .observation import Seen
from .planning import Plan
from .reconfiguring import Reconfiguring
from .sdk import vmodl
from .snapshotting import Snapshotting


class VsphereDriver(Reconfiguring, Snapshotting, Capturing):
    """VMs of a vCenter or ESXi host. A VM's identity is its instance uuid; its definition is kept in its extra
    configuration."""

    hypervisor_type = "vsphere"
    capabilities = frozenset({
        Capability.SESSIONS, Capability.CLOUD_INIT, Capability.UEFI, Capability.SHUTDOWN, Capability.HOT_CHANGES,
        Capability.SNAPSHOTS, Capability.CAPTURE,
    })  # fmt: skip

    # --- making ---

    def check(self, want: VmDefinition, updating: VmRef | None = None) -> None:
        with self._looking(f"checking VM {want.name!r}"):
            if updating:
                self._plan_changes(updating, want)
            else:
                self._plan(want)

    def _plan(self, want: VmDefinition) -> tuple[Plan, Maker] | None:
        """None if the VM is there as it is wanted: an earlier delivery of the same task has made it."""
        # What a killed run has asked for is waited for, so that it is seen below.
        self._refuse_name(want)
        same = self._vms.by_uuid(want.identity)
        if same is None and self._vms.anywhere(want.identity):
            raise Conflict(
                f"a VM outside of the cluster or host that the URL names has the identity {want.identity} that VM "
                f"{want.name!r} is to have; give it a uuid of its own"
            )
        whole = same[1] if same and not same[1].half_made else None
        if whole and not self._is_as_wanted(whole, want):
            raise Conflict(f"VM {whole.name!r} has the identity {want.identity} that VM {want.name!r} is to have")
        planner = self._planner
        self._refuse_beside(planner.places.folder, want.name, want.identity, *([same[0]] if same else []))
        plan = planner.plan(want)
        return None if whole else (plan, Maker(self._session, planner.places, self._vms))

    def _is_as_wanted(self, seen: Seen, want: VmDefinition) -> bool:
        vm = self._observed([seen])[0]
        return bool(vm.managed and vm.definition and not changes(vm.definition, want))

    def create(self, want: VmDefinition) -> None:
        tried = f"creating VM {want.name!r}"
        with self._alone(want.identity, tried):
            with self._looking(tried):
                planned = self._plan(want)
            if planned is not None:
                with self._saying_what_is_left(tried, want.identity):
                    self._make(want, *planned)

    def _make(self, want: VmDefinition, plan: Plan, maker: Maker) -> None:
        maker.remove_half_made(want.identity)
        try:
            maker.make(plan)
        except vmodl.fault.ManagedObjectNotFound as gone:
            if kind_of(gone) is not VmNotFound:
                raise
            raise Busy(
                f"somebody else removed VM {want.name!r} while it was made", detail=str(gone.msg or "")
            ) from gone

    # --- removing ---

    def _maker(self) -> Maker:
        return Maker(self._session, self._places, self._vms)

    def delete(self, ref: VmRef, *, foreign_disks: bool = False) -> None:
        """vSphere removes a VM with its disks in one step, or says what is wrong with the whole of it."""
        tried = f"deleting {ref}"
        with self._looking(tried):
            found = self._vms.find(ref)
        with self._alone(found[1].uuid if found else ref.identity, tried):
            with self._looking(tried):
                found, theirs = self._deletable(ref, foreign_disks=foreign_disks)
            if found:
                with self._saying_what_is_left(tried, found[1].uuid, of_whole=True):
                    unless_gone(lambda: self._maker().remove(*found, staying=theirs.staying))

    def check_delete(self, ref: VmRef, *, foreign_disks: bool = False) -> tuple[KeptDisk, ...]:
        with self._looking(f"checking whether {ref} can be deleted"):
            return self._deletable(ref, foreign_disks=foreign_disks)[1].kept

    def _deletable(self, ref: VmRef, *, foreign_disks: bool) -> tuple[tuple[Any, Seen] | None, Foreign]:
        """The VM, whole or half made, if there is one and it is ours; and what is to become of disks of others."""
        found = self._vms.find(ref) or self._vms.half_made(ref)
        if found is None:
            return None, Foreign()
        self._refuse_foreign(found[1], "deleted")
        return found, foreign(self._session, *found, remove=foreign_disks)

    def power(self, ref: VmRef, action: PowerAction, timeout: int) -> None:
        with self._looking(f"{action.value} of {ref}"):
            vm, seen = self._present(ref)
        with self._asking(f"{action.value} of {ref}"):
            power.carry_out(self._session, vm, seen.name, action, timeout)

    # --- the connection ---

    def session(self) -> str | None:
        """The session's cookie."""
        return self._session.share()

    def logout(self) -> None:
        self._session.log_out()

    def close(self) -> None:
        self._session.close()
