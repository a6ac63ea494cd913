# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the libvirt driver that changes a VM: while it is off, or (drivers/hot.py) while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from ...vm.changes import Change, same_changes
from ...vm.changes import changes as compare
from ...vm.definition import Disk, VmDefinition
from ...vm.states import PowerState
from ..base import VmRef
from ..errors import Conflict, InvalidTransition, deciding
from . import hotplug, names, planning, power
from .changing import ChangePlan, kept_after, plan_changes
from .connection import is_test
from .devices import Domain
from .domain_xml import Media
from .editing import Editor
from .foreign import refuse_overlays
from .looking import INACTIVE, Looking
from .making import Making
from .mending import Apart
from .sdk import libvirt
from .storage import MIB

#: All of a domain's configuration, to be defined again.
WHOLE = INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


BY_QEMU_ALONE = frozenset({
    "disks[].size_mib", "cpu.max_count", "memory_max_mib", "console.serial_log", "cloud_init", "cloud_init.user_data",
    "cloud_init.meta_data", "cloud_init.network_config",
})  # fmt: skip
CHANGEABLE = BY_QEMU_ALONE | {
    "name", "description", "tags", "cpu.count", "cpu.cores_per_socket", "memory_mib", "disks[]", "nics[]",
    "nics[].network", "nics[].bridge", "nics[].mac", "nics[].model", "nics[].vlan", "boot_order", "cdrom", "autostart",
    "console.graphics",
}  # fmt: skip


class Reconfiguring(Looking):
    """The domain is defined as wanted, then disks grow, then it is renamed, and at last removed disks go: until then
    everything can be taken back, but for the growth of a disk, which harms nobody."""

    @property
    def changeable(self) -> frozenset[str]:
        """The mock has volumes of a fixed size, and guests that have no limits to grow to, say and read nothing."""
        return CHANGEABLE - BY_QEMU_ALONE if is_test(self._url) else CHANGEABLE

    def hot(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> frozenset[str]:  # noqa: ARG002  # changes say it
        with self._looking(f"looking at what {ref} takes while it runs"):
            domain = self._present(ref)
            if not domain.isActive():
                return frozenset()
            return hotplug.hot_paths(domain, self._now(domain, Domain(domain.XMLDesc(INACTIVE))), changes)

    def mendable(self, ref: VmRef, differences: tuple[Change, ...]) -> frozenset[str]:
        with self._looking(f"looking at how {ref} runs"):
            apart = self._apart_now(ref)
            return frozenset(one.path for one in differences) & apart.mendable if apart else frozenset()

    def mend(self, ref: VmRef) -> None:
        tried = f"giving the guest of {ref} what it is defined to have"
        with self._looking(tried):
            identity = self._present(ref).UUIDString()
        with self._alone(identity, tried), self._asking(tried):
            apart = self._apart_now(ref)
            if apart:
                apart.mend()

    def _apart_now(self, ref: VmRef) -> Apart | None:
        domain = self._present(ref)
        told = Domain(domain.XMLDesc(INACTIVE))
        return self._apart(domain, told, self._now(domain, told))

    def update(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> None:
        tried = f"changing {ref}"
        with self._looking(tried):
            identity = self._present(ref).UUIDString()
        with self._alone(identity, tried):
            self._update(ref, want, changes, tried)

    def _update(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...], tried: str) -> None:
        with self._looking(tried):
            domain, plan = self._plan_changes(ref, want)
            differing = compare(plan.now, want)
            if not differing:
                return
            self._refuse_outdated(domain, differing, changes)
            running = self._runs_on(domain, plan.now, changes)
        with self._asking(tried):
            making = Making(self._storage, domain.UUIDString(), lambda: hotplug.files_of(domain))
            self._remove_stale(domain, plan)
            with self._all_or_nothing(making, tried):
                # That may take long, and somebody else be quicker.
                made = self._made(domain, plan, making)
                self._refuse_changed_meanwhile(domain, plan, running=running)
                with self._old_definition_after_failure(plan):
                    if running:
                        with hotplug.changed(domain, plan, made, making):
                            self._keep(domain, plan)
                            self._set_autostart(domain, plan)
                    else:
                        self._define(domain, plan, replace(made, serial_log=self._log_of(domain, plan, making)))
                        self._rename(domain, want.name)
                        self._set_autostart(domain, plan)
        with self._saying_what_is_left(tried, lambda: self._gone(domain, plan)):
            for name in self._gone(domain, plan):
                self._storage.remove(self._storage.owned(domain.UUIDString())[name])

    def _made(self, domain: libvirt.virDomain, plan: ChangePlan, making: Making) -> Media:
        disks = {planned.disk.name: making.disk(planned) for planned in plan.added}
        other = plan.reseeding
        if other is None:
            return Media(disks=disks)
        want = replace(plan.want, uuid=domain.UUIDString())
        return Media(
            disks=disks, seed=making.seed(want, other.data, other.home, names.next_seed_volume(want.identity))
        )  # fmt: skip

    def _gone(self, domain: libvirt.virDomain, plan: ChangePlan) -> tuple[str, ...]:
        """Volumes of what the change has removed."""
        return self._volumes_of(domain, plan.removed) + self._idle_seeds(domain, plan)

    def _idle_seeds(self, domain: libvirt.virDomain, plan: ChangePlan) -> tuple[str, ...]:
        """Images of data for cloud-init that were made for the domain and are not in its drive, if it gets another."""
        if plan.reseeding is None:
            return ()
        identity, used = domain.UUIDString(), hotplug.files_of(domain)
        made = self._storage.owned(identity).items()
        return tuple(
            name for name, volume in made if names.is_seed_volume(identity, name) and volume.path() not in used
        )

    def _plan_changes(self, ref: VmRef, want: VmDefinition) -> tuple[libvirt.virDomain, ChangePlan]:
        """The domain, if it can be made as wanted, and what that takes."""
        domain = self._present(ref)
        before = domain.XMLDesc(WHOLE)
        told = Domain(before)
        self._refuse_foreign(domain, told, "changed")
        planning.refuse_what_the_host_lacks(want, self._features)
        self._refuse_name(replace(want, uuid=domain.UUIDString()))
        if want.name != domain.name() and domain.snapshotNum(0):
            raise Conflict(f"VM {domain.name()!r} has snapshots; libvirt renames it when they are deleted")
        if want.name != domain.name() and told.has_flash and not told.root.findtext("os/nvram"):
            raise Conflict(
                f"VM {domain.name()!r} boots by UEFI, whose variables are in a file that libvirt names after the VM; "
                "say where the file is (virsh edit, os/nvram) before the VM is renamed"
            )
        plan = plan_changes(before, self._now(domain, told), want, self._storage, self._connection)
        owned = self._storage.owned(told.uuid) if plan.removed else {}
        going = [owned[name].path() for name in self._volumes_of(domain, plan.removed)]
        refuse_overlays(told, going, self._storage, self._connection)
        return domain, plan

    def _refuse_outdated(
        self, domain: libvirt.virDomain, differing: tuple[Change, ...], asked: tuple[Change, ...]
    ) -> None:
        if not same_changes(differing, asked):
            paths = ", ".join(change.path for change in differing)
            raise Conflict(
                f"somebody else changed VM {domain.name()!r} since it was compared with what is wanted, which is now "
                f"another change ({paths}); compare again"
            )

    def _refuse_changed_meanwhile(self, domain: libvirt.virDomain, plan: ChangePlan, *, running: bool) -> None:
        """What follows would undo what somebody else has changed since the plan was made."""
        if domain.XMLDesc(WHOLE) != plan.before:
            raise Conflict(f"somebody else changed VM {domain.name()!r} while this was at it; compare again")
        if bool(domain.isActive()) is not running:
            raise Conflict(f"somebody else powered VM {domain.name()!r} while it was changed; compare again")

    def _now(self, domain: libvirt.virDomain, told: Domain) -> VmDefinition:
        definition = self._definition_of(domain, told)
        if definition is None:
            raise Conflict(f"what VM {domain.name()!r} keeps of its definition cannot be read, so it is not changed")
        return definition

    @deciding()
    def _runs_on(self, domain: libvirt.virDomain, now: VmDefinition, changes: tuple[Change, ...]) -> bool:
        """Whether the changes are made while the VM runs."""
        state = power.settled(domain)
        if state is PowerState.OFF:
            return False
        paths = {change.path for change in changes}
        if state is PowerState.ON and paths and paths == hotplug.hot_paths(domain, now, changes):
            return True
        raise InvalidTransition(f"VM {domain.name()!r} is {state.value}; changing it needs it powered off")

    @contextmanager
    def _old_definition_after_failure(self, plan: ChangePlan) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(libvirt.libvirtError):
                self._connection.defineXML(plan.before)
            raise

    def _log_of(self, domain: libvirt.virDomain, plan: ChangePlan, making: Making) -> str | None:
        """Path of the serial log that the VM is to have. One that was written before goes on: it is the VM's, and goes
        with it. What there is of it by now libvirt is to know, so that it can remove it then."""
        told = Domain(plan.before).serial_log
        if told and not plan.want.console.serial_log:
            self._storage.refresh_around(told)
            return None
        if plan.log_home is None:
            return told
        before = self._storage.owned(domain.UUIDString()).get(names.serial_volume(domain.UUIDString()))
        return before.path() if before else making.serial_log(plan.log_home)

    def _define(self, domain: libvirt.virDomain, plan: ChangePlan, made: Media) -> None:
        editor = Editor(plan.before, plan.now)
        self._put_media(editor, plan, made)
        for nic in plan.nics:
            editor.set_nic(nic)
        for name in plan.lost_nics:
            editor.remove_nic(name)
        if plan.want.boot_order != plan.now.boot_order:
            editor.boot_from(plan.want.boot_order)
        editor.show(plan.want.console.graphics)
        editor.keep(kept_after(Domain(plan.before).kept or plan.want, plan))
        self._connection.defineXML(editor.xml)
        for disk in plan.grown:
            volume = self._storage.owned(domain.UUIDString())[names.disk_volume(domain.UUIDString(), disk)]
            self._storage.grow(volume, (disk.size_mib or 0) * MIB)

    def _put_media(self, editor: Editor, plan: ChangePlan, made: Media) -> None:
        for planned in plan.added:
            editor.add_disk(planned.disk, made.disks[planned.disk.name])
        for disk in plan.removed:
            editor.remove_disk(disk.name)
        if plan.changes_disc:
            editor.put_disc(plan.disc)
        if made.seed:
            editor.put_seed(made.seed, plan.want)
        editor.log_to(made.serial_log)

    def _keep(self, domain: libvirt.virDomain, plan: ChangePlan) -> None:
        """What was plugged in is in libvirt's configuration already; the rest of the definition is not."""
        xml = domain.XMLDesc(WHOLE)
        kept = Domain(xml).kept or plan.want
        editor = Editor(xml, kept)
        editor.keep(kept_after(kept, plan))
        self._connection.defineXML(editor.xml)

    def _set_autostart(self, domain: libvirt.virDomain, plan: ChangePlan) -> None:
        if plan.now.autostart != plan.want.autostart:
            domain.setAutostart(plan.want.autostart)

    def _rename(self, domain: libvirt.virDomain, name: str) -> None:
        if name != domain.name():
            domain.rename(name, 0)

    def _remove_stale(self, domain: libvirt.virDomain, plan: ChangePlan) -> None:
        """What a killed change left: volumes under the names of disks that are to be made, and images of data for
        cloud-init. The domain has none of them, or they would not be made."""
        stale = self._volumes_of(domain, tuple(planned.disk for planned in plan.added))
        for name in stale + self._idle_seeds(domain, plan):
            self._storage.remove(self._storage.owned(domain.UUIDString())[name])

    def _volumes_of(self, domain: libvirt.virDomain, disks: tuple[Disk, ...]) -> tuple[str, ...]:
        """Those that Millwright made for the disks. A disk of somebody else's is not removed."""
        identity = domain.UUIDString()
        wanted = {names.disk_volume(identity, disk) for disk in disks}
        return tuple(sorted(wanted & self._storage.owned(identity).keys())) if disks else ()
