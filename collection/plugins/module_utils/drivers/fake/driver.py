# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver of a hypervisor that is a directory: ``fake:///absolute/path``."""

from __future__ import annotations

import time
from typing import ClassVar

from ...vm.changes import Change
from ...vm.definition import VmDefinition
from ...vm.snapshots import Snapshot, WantedSnapshot
from ...vm.states import POWER_GOAL, PowerAction, PowerState
from ...vm.templates import Template, WantedTemplate
from ..base import Capability, HostFacts, KeptDisk, ObservedVm, VmRef
from ..capture import CaptureDriver
from ..errors import DriverError, TimedOut, deciding
from ..hot import HotDriver
from ..mending import MendingDriver
from ..snapshots import SnapshotDriver
from . import foreign, refusals, snapshots, templates
from .connection import FakeConnection
from .world import Machine, World, serial_log_of


class FakeDriver(FakeConnection, SnapshotDriver, HotDriver, MendingDriver, CaptureDriver):
    """Keeps the contract's promises on a state file."""

    hypervisor_type: ClassVar[str] = "fake"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    changeable: ClassVar[frozenset[str]] = frozenset({
        "name", "description", "tags", "cpu.count", "cpu.cores_per_socket", "cpu.max_count", "memory_mib",
        "memory_max_mib", "disks[]", "disks[].size_mib", "nics[]", "nics[].network", "nics[].bridge", "nics[].mac",
        "nics[].model", "nics[].vlan", "boot_order", "cdrom", "autostart",
        "console.graphics", "console.serial_log", "cloud_init", "cloud_init.user_data", "cloud_init.meta_data",
        "cloud_init.network_config",
    })  # fmt: skip

    def find(self, ref: VmRef) -> ObservedVm | None:
        with self._work("find", ref.name) as work:
            work.happens()
            world = self._store.read()
            machine = refusals.find(world, ref)
            return self._observed(world, machine) if machine else None

    def residue(self, ref: VmRef) -> tuple[str, ...]:
        with self._work("residue", ref.name) as work:
            work.happens()
            world = self._store.read()
            # A machine that was renamed keeps its identity, and its files are not what somebody left.
            there = refusals.find(world, ref) or world.machines.get(ref.identity)
            return () if there else _names(world, ref.identity)

    def remove_residue(self, ref: VmRef) -> None:
        """Its VMs are there at the moment at which all of them is."""

    def list_vms(self) -> tuple[ObservedVm, ...]:
        with self._work("list_vms", "") as work:
            work.happens()
            world = self._store.read()
            machines = sorted(world.machines.values(), key=lambda machine: machine.name)
            return tuple(self._observed(world, machine) for machine in machines)

    def host(self) -> HostFacts:
        with self._work("host", "") as work:
            work.happens()
            world = self._store.read()
            return HostFacts(
                name=world.name, hypervisor_type=self.hypervisor_type, version="1.0", cores=world.cores,
                memory_mib=world.memory_mib, free_memory_mib=world.free_memory_mib, networks=tuple(world.networks),
                pools={
                    name: {"capacity_mib": pool.capacity_mib, "free_mib": pool.free_mib}
                    for name, pool in world.pools.items()
                },
            )  # fmt: skip

    def check(self, want: VmDefinition, updating: VmRef | None = None) -> None:
        with self._work("check", want.name) as work, deciding():
            work.happens()
            if updating:
                refusals.changeable(self._store.read(), updating, want)
            else:
                refusals.refuse_create(self._store.read(), want)

    def create(self, want: VmDefinition) -> None:
        with self._work("create", want.name) as work:
            with self._store.change() as world:
                with deciding():
                    refusals.refuse_create(world, want)
                world.remove_files_of(want.identity)
                world.add_files_of(want)
            try:
                work.happens()
                self._register(want)
            except DriverError as error:
                # If somebody else made the VM meanwhile, the files are that one's.
                if want.identity not in self._store.read().machines:
                    if not work.leaves:
                        self._remove_files(want.identity)
                    error.left = _names(self._store.read(), want.identity)
                raise

    def _register(self, want: VmDefinition) -> None:
        with self._store.change() as world:
            refusals.refuse_create(world, want)
            world.machines[want.identity] = Machine(
                name=want.name, uuid=want.identity, memory_mib=want.memory_mib,
                definition={**want.to_keep(), "uuid": want.identity},
            )  # fmt: skip

    def hot(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> frozenset[str]:  # noqa: ARG002  # changes say it
        with self._work("hot", ref.name) as work:
            work.happens()
            return refusals.hot_paths(refusals.get(self._store.read(), ref), changes)

    def mendable(self, ref: VmRef, differences: tuple[Change, ...]) -> frozenset[str]:
        with self._work("mendable", ref.name) as work:
            work.happens()
            return refusals.mendable(refusals.get(self._store.read(), ref), differences)

    def mend(self, ref: VmRef) -> None:
        with self._work("mend", ref.name) as work:
            work.happens()
            with self._store.change() as world:
                machine = refusals.get(world, ref)
                ends = refusals.mendable(machine, machine.differences)
                machine.live = [one for one in machine.live if one["path"] not in ends]

    def update(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> None:
        with self._work("update", ref.name) as work:
            machine = refusals.changeable(self._store.read(), ref, want)
            if refusals.is_as(machine, want):
                return
            refusals.refuse_update(machine, want, changes)
            work.happens()
            with self._store.change() as world:
                machine = refusals.changeable(world, ref, want)
                refusals.refuse_update(machine, want, changes)
                world.make(machine, want, {change.path.split(".")[0].split("[")[0] for change in changes})

    def delete(self, ref: VmRef, *, foreign_disks: bool = False) -> None:
        with self._work("delete", ref.name) as work:
            machine, _kept = self._deletable(ref, foreign_disks=foreign_disks)
            if machine is None and ref.identity in self._store.read().machines:
                return
            identity = machine.uuid if machine else ref.identity
            try:
                work.happens()
            except DriverError as error:
                if work.leaves:
                    self._remove_files(identity, most=1)
                    error.left = _names(self._store.read(), identity)
                raise
            self._remove_files(identity)
            self._forget(identity, foreign_disks=foreign_disks)

    def check_delete(self, ref: VmRef, *, foreign_disks: bool = False) -> tuple[KeptDisk, ...]:
        with self._work("check_delete", ref.name) as work, deciding():
            work.happens()
            return self._deletable(ref, foreign_disks=foreign_disks)[1]

    @deciding()
    def _deletable(self, ref: VmRef, *, foreign_disks: bool) -> tuple[Machine | None, tuple[KeptDisk, ...]]:
        """The machine, if there is one, and it may be deleted; and what stays of it."""
        world = self._store.read()
        machine = refusals.find(world, ref)
        if machine is None:
            return None, ()
        refusals.refuse_foreign(machine)
        foreign.refuse_overlays(world, machine, foreign_disks=foreign_disks)
        return machine, foreign.kept(world, machine, foreign_disks=foreign_disks)

    def power(self, ref: VmRef, action: PowerAction, timeout: int) -> None:
        with self._work(f"power_{action.value}", ref.name) as work:
            with deciding():
                machine = refusals.get(self._store.read(), ref)
                if refusals.is_done(machine, action):
                    return
                refusals.refuse_power(machine, action)
            if action is PowerAction.SHUTDOWN and work.behaviour.is_deaf(machine.name):
                time.sleep(timeout)
                raise TimedOut(f"VM {machine.name!r} did not shut down within {timeout} seconds")
            work.happens()
            self._set_power(ref, action)

    def _set_power(self, ref: VmRef, action: PowerAction) -> None:
        with self._store.change() as world:
            machine = refusals.get(world, ref)
            if refusals.is_done(machine, action):
                return
            refusals.refuse_power(machine, action)
            if action is PowerAction.ON:
                refusals.refuse_start(world, machine)
            machine.power = POWER_GOAL[action]
            machine.live = [] if machine.power is PowerState.OFF else machine.live
            self._speak(machine, action)

    def snapshots(self, ref: VmRef) -> tuple[Snapshot, ...]:
        with self._work("snapshots", ref.name) as work:
            work.happens()
            return snapshots.of(refusals.get(self._store.read(), ref))

    def check_snapshot(self, ref: VmRef, want: WantedSnapshot) -> None:
        with self._work("check_snapshot", ref.name) as work, deciding():
            work.happens()
            snapshots.refuse(self._store.read(), ref, want, work.behaviour)

    def create_snapshot(self, ref: VmRef, want: WantedSnapshot) -> bool:
        with self._work("create_snapshot", ref.name) as work:
            snapshots.refuse(self._store.read(), ref, want, work.behaviour)
            work.happens()
            with self._store.change() as world:
                machine = snapshots.refuse(world, ref, want, work.behaviour)
                snapshots.take(machine, want)
                return snapshots.is_quiet(machine, want, work.behaviour)

    def revert_snapshot(self, ref: VmRef, name: str) -> None:
        with self._work("revert_snapshot", ref.name) as work:
            snapshots.get(self._store.read(), ref, name)
            work.happens()
            with self._store.change() as world:
                snapshots.revert(world, ref, name)

    def delete_snapshot(self, ref: VmRef, name: str, *, children: bool) -> None:
        with self._work("delete_snapshot", ref.name) as work:
            snapshots.changeable(self._store.read(), ref)
            work.happens()
            with self._store.change() as world:
                snapshots.delete(world, ref, name, children=children)

    def template(self, ref: VmRef, want: WantedTemplate) -> Template | None:
        with self._work("template", ref.name) as work, deciding():
            work.happens()
            return templates.find(self._store.read(), ref, want)

    def check_capture(self, ref: VmRef, want: WantedTemplate) -> None:
        with self._work("check_capture", ref.name) as work, deciding():
            work.happens()
            templates.refuse(self._store.read(), ref, want)

    def capture(self, ref: VmRef, want: WantedTemplate) -> None:
        with self._work("capture", ref.name) as work:
            with deciding():
                templates.refuse(self._store.read(), ref, want)
            work.happens()
            with self._store.change() as world:
                templates.make(world, ref, want)

    def _forget(self, identity: str, *, foreign_disks: bool) -> None:
        with self._store.change() as world:
            if machine := world.machines.get(identity):
                world.remove_attached(foreign.going(world, machine, foreign_disks=foreign_disks))
            world.machines.pop(identity, None)

    def _remove_files(self, identity: str, most: int | None = None) -> None:
        with self._store.change() as world:
            world.remove_files_of(identity, most)
        (self._store.directory / serial_log_of(identity)).unlink(missing_ok=True)

    def _speak(self, machine: Machine, action: PowerAction) -> None:
        """A guest that starts says so on its serial line."""
        if action in (PowerAction.ON, PowerAction.RESET) and _logs(machine):
            with (self._store.directory / serial_log_of(machine.uuid)).open("a", encoding="utf-8") as log:
                log.write(f"{machine.name} is up\n")

    def _observed(self, world: World, machine: Machine) -> ObservedVm:
        definition = VmDefinition.from_dict(machine.definition) if machine.definition else None
        return ObservedVm(
            disk_use={disk.name: world.size_of(disk) for disk in definition.disks} if definition else {},
            name=machine.name, uuid=machine.uuid, power=machine.power, managed=machine.managed,
            definition=definition, half_deleted=world.is_half_deleted(machine), live=machine.differences,
            serial_log=str(self._store.directory / serial_log_of(machine.uuid)) if _logs(machine) else None,
        )  # fmt: skip


def _names(world: World, identity: str) -> tuple[str, ...]:
    return tuple(f"{pool}/{name}" for pool, name in world.files_of(identity))


def _logs(machine: Machine) -> bool:
    return bool(machine.definition and machine.definition["console"]["serial_log"])
