# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the vSphere driver that makes templates, in the words of its contract (drivers/capture.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...vm.definition import identity_of
from ...vm.snapshots import named
from ...vm.states import PowerState
from ...vm.templates import Template, WantedTemplate
from ..base import VmRef
from ..errors import Conflict, InsufficientResources, InvalidTransition, NotFound, Unsupported
from . import guestinfo, names, snapshots
from .devices import KIB_PER_MIB, Board, cards_of, disks_of, drives_of, slots_of
from .kept import options
from .looking import Looking
from .making import CHANGE_TIMEOUT, MAKE_TIMEOUT, Maker, flat, marked
from .observation import Seen, datastore_name, disk_slots, format_of, named_disks
from .placement import MIB, Datastore, Places
from .sdk import vim
from .templates import Templates

#: The snapshot of a template to which linked disks refer.
BASE = "millwright"


@dataclass(frozen=True, kw_only=True)
class Capture:
    """A copy, and all that it takes to make it."""

    vm: Any
    seen: Seen
    #: Name of the disk.
    disk: str
    datastore: Datastore
    places: Places
    #: Where it is made; None: vSphere decides.
    host: Any
    #: What the copy is of; None: the disk as it is.
    snapshot: Any
    #: Tells this copy, while it is made, from every other.
    identity: str


class Capturing(Looking):
    """vSphere clones VMs, not disks: a template is a copy of the VM that has lost all but one disk. It bears a mark
    until it becomes a template, so that what a killed run leaves is no VM for anybody, and goes with the next run."""

    def template(self, ref: VmRef, want: WantedTemplate) -> Template | None:
        with self._looking(f"looking for template {want.volume!r}"):
            _vm, seen = self._present(ref)
            self._datastore_for(self._places, seen, want)
            found = Templates(self._session, self._inventory).called(want.volume)
            disks = disks_of(found.devices) if found else []
            if not disks:
                return None
            return Template(
                name=want.volume,
                pool=datastore_name(disks[0]),
                size_mib=disks[0].capacityInKB // KIB_PER_MIB,
                format=format_of(disks[0]),
            )

    def check_capture(self, ref: VmRef, want: WantedTemplate) -> None:
        with self._looking(f"checking template {want.volume!r} of {ref}"):
            self._capturable(ref, want)

    def capture(self, ref: VmRef, want: WantedTemplate) -> None:
        tried = f"making template {want.volume!r} of {ref}"
        with self._looking(tried):
            planned = self._capturable(ref, want)
        with self._saying_what_is_left(tried, planned.identity):
            maker = Maker(self._session, planned.places, self._vms)
            maker.remove_half_made(planned.identity)
            with maker.taking_back(planned.identity):
                self._make_template(planned, want, tried)

    def _capturable(self, ref: VmRef, want: WantedTemplate) -> Capture:
        vm, seen = self._present(ref)
        if not self._session.is_vcenter:
            raise Unsupported("a stand-alone ESXi host cannot clone, so it makes no templates")
        if seen.power is not PowerState.OFF:
            raise InvalidTransition(f"VM {seen.name!r} is {seen.power.value}; a template is made of it when it is off")
        places = self._places
        datastore = self._datastore_for(places, seen, want)
        identity = identity_of(f"template {want.volume} of {seen.uuid}")
        self._refuse_taken(want.volume, identity, places)
        self._refuse_too_large(vm, want, datastore)
        places.settle()
        return Capture(
            vm=vm,
            seen=seen,
            disk=self._disk_of(seen, want),
            datastore=datastore,
            places=places,
            host=places.landing(identity, [datastore.entity.object]),
            snapshot=self._snapshot_of(vm, seen, want),
            identity=identity,
        )

    def _refuse_taken(self, name: str, identity: str, places: Places) -> None:
        """What a killed run has left is no reason."""
        left = self._vms.by_uuid(identity)
        ours = {identity} if left and left[1].half_made else set()
        others = [uuid for uuid in self._vms.namesakes(name) if uuid not in ours]
        if others or Templates(self._session, self._inventory).called(name):
            raise Conflict(f"there is a template or VM {name!r} already")
        self._refuse_beside(places.folder, name, identity, *([left[0]] if left and ours else []))

    def _disk_of(self, seen: Seen, want: WantedTemplate) -> str:
        """The name of the disk. Raises NotFound."""
        there = named_disks(seen)
        name = want.disk or next(iter(there), "")
        if name not in there:
            raise NotFound(f"VM {seen.name!r} has no disk {name!r}; it has: {', '.join(there) or 'none'}")
        return name

    def _datastore_for(self, places: Places, seen: Seen, want: WantedTemplate) -> Datastore:
        device = named_disks(seen)[self._disk_of(seen, want)]
        return places.datastore(want.pool or datastore_name(device))

    def _refuse_too_large(self, vm: Any, want: WantedTemplate, datastore: Datastore) -> None:
        """At first the copy has all disks."""
        needed = self._session.read([vm], ["summary.storage.committed"])[vm].get("summary.storage.committed", 0)
        if needed > datastore.free:
            raise InsufficientResources(
                f"template {want.volume!r} needs {needed // MIB} MiB while it is made; {datastore.free // MIB} MiB are "
                f"free in {datastore.entity.path}"
            )

    def _snapshot_of(self, vm: Any, seen: Seen, want: WantedTemplate) -> Any:
        if want.snapshot is None:
            return None
        there = snapshots.of(self._session.read([vm], snapshots.PATHS)[vm])
        if named((one.snapshot for one in there), want.snapshot) is None:
            known = ", ".join(one.snapshot.name for one in there) or "none"
            raise NotFound(f"VM {seen.name!r} has no snapshot {want.snapshot!r}; it has: {known}")
        return next(one.object for one in there if one.snapshot.name == want.snapshot)

    # --- making it ---

    def _make_template(self, planned: Capture, want: WantedTemplate, tried: str) -> None:
        waiter = self._session.waiter
        places = planned.places
        task = planned.vm.CloneVM_Task(places.folder, names.written(want.volume), _clone_spec(planned, want))
        copy = waiter.finish(task, MAKE_TIMEOUT, tried)
        waiter.finish(copy.ReconfigVM_Task(bare(self._vms.read(copy), planned)), CHANGE_TIMEOUT, tried)
        task = copy.CreateSnapshot_Task(BASE, "what linked disks refer to", memory=False, quiesce=False)
        waiter.finish(task, CHANGE_TIMEOUT, tried)
        self._mark(copy, "", tried)
        try:
            copy.MarkAsTemplate()
        except BaseException:
            # So that it can be told from a template that somebody has made a VM of again.
            self._mark(copy, planned.identity, tried)
            raise

    def _mark(self, copy: Any, mark: str, tried: str) -> None:
        spec = vim.vm.ConfigSpec(extraConfig=options({names.MAKING: mark}))
        self._session.waiter.finish(copy.ReconfigVM_Task(spec), CHANGE_TIMEOUT, tried)


def _clone_spec(planned: Capture, want: WantedTemplate) -> Any:
    """Whole in itself: no disk of the copy refers to one of the VM, or of its template."""
    whole, places = "moveAllDiskBackingsAndDisallowSharing", planned.places
    backing = flat(want.format)
    datastore = planned.datastore.entity.object
    disks = [
        vim.vm.RelocateSpec.DiskLocator(
            diskId=device.key, datastore=datastore, diskMoveType=whole, diskBackingInfo=backing
        )
        for device in disks_of(planned.seen.devices)
    ]
    location = vim.vm.RelocateSpec(
        datastore=datastore, pool=places.pool, host=planned.host, diskMoveType=whole,
        disk=disks,
    )  # fmt: skip
    return vim.vm.CloneSpec(
        location=location,
        powerOn=False,
        template=False,
        snapshot=planned.snapshot,
        config=vim.vm.ConfigSpec(**marked(planned.identity)),
    )


def bare(copy: Seen, planned: Capture) -> Any:
    """What takes all from the copy that is its VM's own: other disks, cards, images, and what the VM remembers."""
    board, wanted = Board(copy.devices), disk_slots(planned.seen)[planned.disk]
    for slot, device in slots_of(copy.devices).items():
        if slot != wanted:
            board.remove(device, with_file=True)
    for device in [*cards_of(copy.devices), *drives_of(copy.devices)]:
        board.remove(device)
    forgotten = [name for name in (names.KEPT,) if name in copy.extra] + guestinfo.of_guest(copy.extra)
    return vim.vm.ConfigSpec(deviceChange=board.changes, extraConfig=options(dict.fromkeys(forgotten, "")))
