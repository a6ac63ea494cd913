# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a VM: what is made first, what makes it whole, and what takes it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from ...vm.definition import DiskFormat, VmDefinition
from . import booting, cards, disks, names, power
from .connection import Session
from .devices import Board, disks_of, slots_of
from .faults import FAILED
from .guestinfo import guestinfo, of_guest
from .kept import Kept, options
from .observation import Seen
from .placement import Places
from .planning import Plan
from .sdk import vim
from .vms import Vms

#: Seconds that making or removing a VM may take; a copy takes as long as its disks are large.
MAKE_TIMEOUT, REMOVE_TIMEOUT, CHANGE_TIMEOUT = 4 * 3600, 600, 600
#: What vSphere is told of the guest's system where no template says more.
GUEST_ID = "otherGuest64"


class Maker:
    """Makes and removes VMs in one session."""

    def __init__(self, session: Session, places: Places, vms: Vms):
        self._session = session
        self._places = places
        self._vms = vms

    def make(self, plan: Plan) -> None:
        """Whatever ends it early, what was made is removed."""
        identity = plan.want.identity
        with self.taking_back(identity):
            if plan.template:
                vm = self._finish(self._clone(plan), MAKE_TIMEOUT, plan.want)
                board = Board.of_template(self._vms.read(vm).devices)
            else:
                board = Board([])
                vm = None
            kept = plan.lay_out(board)
            spec = _spec(plan.want, board)
            if vm is None:
                vm = self._finish(self._create(plan, spec), MAKE_TIMEOUT, plan.want)
            else:
                self._reconfigure(vm, spec, plan.want)
            self._reconfigure(vm, _last_spec(plan.want, kept, self._vms.read(vm)), plan.want)

    @contextmanager
    def taking_back(self, identity: str) -> Iterator[None]:
        """Whatever ends the block early, what bears the mark of this identity is removed."""
        try:
            yield
        except BaseException:
            # What cannot be removed is found as residue, by its identity.
            with suppress(*FAILED):
                self.remove_half_made(identity)
            raise

    def _clone(self, plan: Plan) -> Any:
        """The task that clones the template. Where the clone's disks go, how they are made, and whose they are."""
        way = "createNewChildDiskBacking" if plan.linked else "moveAllDiskBackingsAndDisallowSharing"
        places = self._places
        location = vim.vm.RelocateSpec(
            datastore=plan.home.entity.object, pool=places.pool, host=plan.host,
            diskMoveType=way, disk=list(_locators(plan, way)),
        )  # fmt: skip
        spec = vim.vm.CloneSpec(
            location=location,
            powerOn=False,
            template=False,
            snapshot=plan.template.snapshot if plan.linked else None,
            config=vim.vm.ConfigSpec(**marked(plan.want.identity)),
        )
        return plan.template.object.CloneVM_Task(places.folder, names.written(plan.want.name), spec)

    def _create(self, plan: Plan, spec: Any) -> Any:
        spec.name, spec.guestId = names.written(plan.want.name), GUEST_ID
        spec.files = vim.vm.FileInfo(vmPathName=f"[{plan.home.entity.name}]")
        for name, value in marked(plan.want.identity).items():
            setattr(spec, name, value)
        return self._places.folder.CreateVM_Task(spec, self._places.pool, plan.host)

    def _reconfigure(self, vm: Any, spec: Any, want: VmDefinition) -> None:
        self._finish(vm.ReconfigVM_Task(spec), CHANGE_TIMEOUT, want)

    def _finish(self, task: Any, seconds: float, want: VmDefinition) -> Any:
        return self._session.waiter.finish(task, seconds, f"making VM {want.name!r}")

    # --- removing ---

    def remove_half_made(self, identity: str) -> None:
        """Afterwards nothing is left of a create that was killed."""
        found = self._vms.by_uuid(identity)
        if found and found[1].half_made:
            self.remove(*found)

    def remove(self, vm: Any, seen: Seen, staying: Sequence[Any] = ()) -> None:
        """Afterwards the VM and its disks are gone, but for those that are to stay."""
        power.stop(self._session, vm, seen.name, REMOVE_TIMEOUT)
        tried = f"removing VM {seen.name!r}"
        if staying:
            away = [vim.vm.device.VirtualDeviceSpec(operation="remove", device=one) for one in staying]
            self._session.waiter.finish(
                vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=away)), CHANGE_TIMEOUT, tried
            )  # fmt: skip
        self._session.waiter.finish(vm.Destroy_Task(), REMOVE_TIMEOUT, tried)


def _locators(plan: Plan, way: str) -> Iterator[Any]:
    for disk, device in zip(plan.from_template, disks_of(plan.template.devices), strict=True):
        datastore = plan.datastores[disk.name].entity.object
        backing = None if plan.linked else flat(disk.format)
        yield vim.vm.RelocateSpec.DiskLocator(
            diskId=device.key, datastore=datastore, diskMoveType=way, diskBackingInfo=backing
        )


def flat(format: DiskFormat) -> Any:
    """How a copy is made whatever it is a copy of: thin or thick."""
    return vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName="", diskMode="persistent", thinProvisioned=format is DiskFormat.QCOW2
    )


def marked(identity: str) -> dict[str, Any]:
    """What makes a VM that is not whole yet findable, from its first moment on."""
    return {"instanceUuid": identity, "extraConfig": options({names.MAKING: identity})}


def _spec(want: VmDefinition, board: Board) -> Any:
    return vim.vm.ConfigSpec(
        **_size(want), uuid=want.identity, firmware="efi" if want.firmware == "uefi" else "bios",
        deviceChange=board.changes,
    )  # fmt: skip


def _size(want: VmDefinition) -> dict[str, Any]:
    return {
        "annotation": want.description,
        "numCPUs": want.cpu.count,
        "numCoresPerSocket": want.cpu.cores_per_socket,
        "memoryMB": want.memory_mib,
        **growth(want),
    }


def growth(want: VmDefinition) -> dict[str, bool]:
    """Whether a VM that runs can be given more. Its guest sees no NUMA then, so only where it is asked for."""
    return {
        "cpuHotAddEnabled": (want.cpu.max_count or 0) > want.cpu.count,
        "memoryHotAddEnabled": (want.memory_max_mib or 0) > want.memory_mib,
    }


def _last_spec(want: VmDefinition, kept: Kept, seen: Seen) -> Any:
    """What makes the VM whole: the data for its guest, where it boots from, and what it remembers. What came along for
    the guest of which it is a clone goes: it may hold secrets."""
    devices = seen.devices
    kept = replace(
        kept, macs=cards.addresses(kept, devices), disks=disks.told_apart(kept.disks, devices)
    )  # fmt: skip
    said = {names.KEPT: kept.written(want.identity), names.MAKING: "", **dict.fromkeys(of_guest(seen.extra), "")}
    if want.cloud_init:
        said |= guestinfo(want, want.cloud_init)
    spec = vim.vm.ConfigSpec(extraConfig=options(said))
    if want.boot_order != booting.DEFAULT:
        there = slots_of(devices)
        ours = {name: there[disk.slot] for name, disk in kept.disks.items() if disk.slot in there}
        spec.bootOptions = booting.options(want, ours, cards.named(kept, devices))
    return spec
