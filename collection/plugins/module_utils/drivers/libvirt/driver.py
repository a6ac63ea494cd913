# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirt driver: one open connection, in the words of the driver contract."""

from __future__ import annotations

from contextlib import suppress

from ...vm.changes import changes
from ...vm.definition import VmDefinition
from ...vm.states import PowerAction
from ..base import VmRef
from ..errors import Conflict
from . import planning, power
from .capturing import Capturing
from .connection import is_test
from .devices import Domain
from .domain_xml import domain_xml
from .faults import unless
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

    def _plan(self, want: VmDefinition) -> planning.Plan:
        self._refuse_taken(want)
        planning.refuse_what_the_host_lacks(want, self._features)
        planning.refuse_missing_networks(want, self._connection)
        return planning.plan(want, self._storage)

    def _refuse_taken(self, want: VmDefinition) -> None:
        """A VM that has the identity, and is as wanted, was made by an earlier delivery of the same task."""
        same = self._by_uuid(want.identity)
        if same is not None and not self._is_as_wanted(same, want):
            raise Conflict(f"VM {same.name()!r} has the identity {want.identity} that VM {want.name!r} is to have")
        self._refuse_name(want)

    def _is_as_wanted(self, domain: libvirt.virDomain, want: VmDefinition) -> bool:
        seen = self._observed(domain)
        return bool(seen and seen.managed and seen.definition and not changes(seen.definition, want))

    def create(self, want: VmDefinition) -> None:
        tried = f"creating VM {want.name!r}"
        with self._looking(tried):
            plan = self._plan(want)
            if self._by_uuid(want.identity) is not None:
                return
        with self._asking(tried):
            self._storage.remove_owned(want.identity)
            making = Making(self._storage, want.identity)
            with self._all_or_nothing(making, tried):
                domain = self._connection.defineXML(domain_xml(want, making.media(want, plan), self._features))
                self._start_with_host(domain, want)

    def _start_with_host(self, domain: libvirt.virDomain, want: VmDefinition) -> None:
        if not want.autostart:
            return
        try:
            domain.setAutostart(1)
        except libvirt.libvirtError:
            self._undefine(domain)
            raise

    # --- removing ---

    def delete(self, ref: VmRef) -> None:
        """The domain goes last: as long as anything of the VM is there, the VM is there to be deleted again."""
        with self._looking(f"deleting {ref}"):
            domain = self._deletable(ref)
            if domain is None and self._by_uuid(ref.identity) is not None:
                return
            identity = domain.UUIDString() if domain else ref.identity
        with self._saying_what_is_left(f"deleting {ref}", lambda: self._files_of(identity)):
            if domain:
                # One that somebody else removes meanwhile is removed.
                unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: self._stop(domain))
            self._storage.remove_owned(identity)
            if domain:
                unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: self._undefine(domain))

    def check_delete(self, ref: VmRef) -> None:
        with self._looking(f"checking whether {ref} can be deleted"):
            self._deletable(ref)

    def _deletable(self, ref: VmRef) -> libvirt.virDomain | None:
        """The domain, if there is one, and all of it can be removed."""
        domain = self._domain(ref)
        xml = unless(libvirt.VIR_ERR_NO_DOMAIN, lambda: domain.XMLDesc(INACTIVE)) if domain else None
        if xml is None:
            return None
        told = Domain(xml)
        self._refuse_foreign(domain, told, "deleted")
        self._storage.refuse_out_of_reach(told.files)
        return domain

    def _stop(self, domain: libvirt.virDomain) -> None:
        """Afterwards nothing of it runs, and libvirt knows every part of its log."""
        power.stop(domain)
        serial_log = Domain(domain.XMLDesc(INACTIVE)).serial_log
        if serial_log:
            self._storage.refresh_around(serial_log)

    def _undefine(self, domain: libvirt.virDomain) -> None:
        domain.undefineFlags(_MOCK_TAKES if is_test(self._url) else _QEMU_TAKES)

    def _files_of(self, identity: str) -> tuple[str, ...]:
        return tuple(self._storage.owned(identity))

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
