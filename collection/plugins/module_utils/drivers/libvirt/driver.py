# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirt driver: one open connection, in the words of the driver contract."""

from __future__ import annotations

from contextlib import suppress

from ...vm.changes import changes
from ...vm.definition import VmDefinition
from ...vm.states import PowerAction
from ..base import KeptDisk, VmRef
from ..errors import Conflict
from . import names, planning, power
from .capturing import Capturing
from .connection import is_test
from .devices import Domain
from .domain_xml import domain_xml
from .faults import unless
from .foreign import Foreign, foreign, refuse_overlays
from .leftovers import Leftovers
from .looking import INACTIVE
from .making import Making
from .reconfiguring import Reconfiguring
from .sdk import libvirt
from .snapshotting import Snapshotting

#: What goes with a domain that is undefined; libvirt's mock knows no more than this.
_MOCK_TAKES = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
_QEMU_TAKES = _MOCK_TAKES | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM


class LibvirtDriver(Reconfiguring, Snapshotting, Capturing):
    """VMs as libvirt domains. A VM's identity is its domain's uuid; its definition is kept in the domain's metadata."""

    hypervisor_type = "libvirt"

    # --- making ---

    def check(self, want: VmDefinition, updating: VmRef | None = None) -> None:
        with self._looking(f"checking VM {want.name!r}"):
            if updating:
                self._plan_changes(updating, want)
            else:
                self._plan(want)

    def _plan(self, want: VmDefinition) -> tuple[planning.Plan, Leftovers] | None:
        """None if the VM is there as it is wanted: an earlier delivery of the same task has made it."""
        same = self._by_uuid(want.identity)
        if same is not None and not self._is_as_wanted(same, want):
            raise Conflict(f"VM {same.name()!r} has the identity {want.identity} that VM {want.name!r} is to have")
        self._refuse_name(want)
        planning.refuse_what_the_host_lacks(want, self._features)
        planning.refuse_missing_networks(want, self._connection)
        plan = planning.plan(want, self._storage)
        if same is not None:
            return None
        left = self._leftovers(want.identity)
        left.refuse_unclear(want.name)
        return plan, left

    def _is_as_wanted(self, domain: libvirt.virDomain, want: VmDefinition) -> bool:
        seen = self._observed(domain)
        return bool(seen and seen.managed and seen.definition and not changes(seen.definition, want))

    def create(self, want: VmDefinition) -> None:
        tried = f"creating VM {want.name!r}"
        with self._alone(want.identity, tried):
            with self._looking(tried):
                planned = self._plan(want)
            if planned is not None:
                with self._asking(tried):
                    self._make(want, *planned, tried)

    def _make(self, want: VmDefinition, plan: planning.Plan, left: Leftovers, tried: str) -> None:
        for volume in left.ours:
            self._storage.remove(volume)
        making = Making(self._storage, want.identity)
        with self._all_or_nothing(making, tried):
            making.claim(plan, self._features.host)
            xml = domain_xml(want, making.media(want, plan), self._features)
            # libvirt would take it for a change of a VM that has both name and identity.
            self._refuse_made_meanwhile(want, making)
            domain = self._connection.defineXML(xml)
            self._start_with_host(domain, want)
        making.finish()

    def _refuse_made_meanwhile(self, want: VmDefinition, making: Making) -> None:
        if making.is_taken_over or self._by_uuid(want.identity) is not None:
            raise Conflict(f"somebody else made a VM of the identity {want.identity} while VM {want.name!r} was made")
        self._refuse_name(want)

    def _start_with_host(self, domain: libvirt.virDomain, want: VmDefinition) -> None:
        if not want.autostart:
            return
        try:
            domain.setAutostart(1)
        except libvirt.libvirtError:
            self._undefine(domain)
            raise

    # --- removing ---

    def delete(self, ref: VmRef, *, foreign_disks: bool = False) -> None:
        """The domain goes last: as long as anything of the VM is there, the VM is there to be deleted again."""
        tried = f"deleting {ref}"
        with self._looking(tried):
            found = self._domain(ref)
            identity = found.UUIDString() if found else ref.identity
        with self._alone(identity, tried):
            with self._looking(tried):
                domain, foreign = self._deletable(ref, foreign_disks=foreign_disks)
            with self._saying_what_is_left(tried, lambda: self._files_of(identity, foreign.going)):
                if domain:
                    self._remove_whole(domain, foreign.going)
                elif self._by_uuid(identity) is None:
                    for volume in self._leftovers(identity).ours:
                        self._storage.remove(volume)

    def _remove_whole(self, domain: libvirt.virDomain, foreign: tuple[str, ...]) -> None:
        """One that somebody else removes meanwhile is removed. What can fail for more reasons goes first."""
        unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: self._stop(domain))
        unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: self._mark_removing(domain))
        for path in foreign:
            self._storage.remove_file(path)
        self._storage.remove_owned(domain.UUIDString())
        unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: self._undefine(domain))

    def _mark_removing(self, domain: libvirt.virDomain) -> None:
        """If this breaks off, whoever wants the VM later is to know that its disks are gone for that reason."""
        if Domain(domain.XMLDesc(INACTIVE)).files:
            domain.setMetadata(
                libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<removing/>", names.REMOVING_PREFIX, names.REMOVING_NAMESPACE,
                libvirt.VIR_DOMAIN_AFFECT_CONFIG,
            )  # fmt: skip

    def check_delete(self, ref: VmRef, *, foreign_disks: bool = False) -> tuple[KeptDisk, ...]:
        with self._looking(f"checking whether {ref} can be deleted"):
            return self._deletable(ref, foreign_disks=foreign_disks)[1].kept

    def _deletable(self, ref: VmRef, *, foreign_disks: bool) -> tuple[libvirt.virDomain | None, Foreign]:
        """The domain, if there is one, and all of it can be removed; and what is to become of disks of others."""
        domain = self._domain(ref)
        xml = unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: domain.XMLDesc(INACTIVE)) if domain else None
        if domain is None or xml is None:
            if self._by_uuid(ref.identity) is None:
                self._leftovers(ref.identity).refuse_unclear(ref.name)
            return None, Foreign(kept=())
        told = Domain(xml)
        self._refuse_foreign(domain, told, "deleted")
        self._storage.refuse_out_of_reach(told.files)
        said = [told, *(Domain(live) for live in [self._running(domain)] if live)]
        theirs = foreign(said, self._storage, self._connection, remove=foreign_disks)
        ours = [volume.path() for volume in self._storage.owned(told.uuid).values()]
        refuse_overlays(told, [*ours, *theirs.going], self._storage, self._connection)
        return domain, theirs

    def _running(self, domain: libvirt.virDomain) -> str | None:
        """What is attached to a guest that runs may not be in its configuration."""
        return unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: domain.XMLDesc(0) if domain.isActive() else None)

    def _stop(self, domain: libvirt.virDomain) -> None:
        """Afterwards nothing of it runs, and libvirt knows every part of its log."""
        power.stop(domain)
        serial_log = Domain(domain.XMLDesc(INACTIVE)).serial_log
        if serial_log:
            self._storage.refresh_around(serial_log)

    def _undefine(self, domain: libvirt.virDomain) -> None:
        domain.undefineFlags(_MOCK_TAKES if is_test(self._url) else _QEMU_TAKES)

    def _files_of(self, identity: str, foreign: tuple[str, ...] = ()) -> tuple[str, ...]:
        return (*self._storage.owned(identity), *(path for path in foreign if self._storage.by_path(path)))

    def power(self, ref: VmRef, action: PowerAction, timeout: int) -> None:
        with self._looking(f"{action.value} of {ref}"):
            domain = self._present(ref)
        with self._asking(f"{action.value} of {ref}"):
            power.carry_out(domain, action, timeout)

    # --- the connection ---

    def session(self) -> str | None:
        """libvirt has no sessions to keep."""
        return None

    def logout(self) -> None:
        """There is no session to end."""

    def close(self) -> None:
        with suppress(libvirt.libvirtError):
            self._connection.close()
