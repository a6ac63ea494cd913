# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of VMs: what is asked of them, and which there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import InvalidData, parse, plain
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from runner_service.contract.messages import SnapshotFacts, Update

from ..database import transaction
from ..errors import NotFound, Refused
from ..models import Job, Severity, Task, TaskType, VirtualAppliance, VirtualMachine
from . import events, placement, rows, tasks, vms
from .guards import Action, guard


def trees(vm_id: str) -> list[dict[str, Any]]:
    """The snapshots that the VM had when a runner last told of them: the first ones, each with its ``children``."""
    shown = {one["name"]: _shown(one) for one in rows.find(VirtualMachine, vm_id).snapshots or []}
    for snapshot in shown.values():
        if above := shown.get(snapshot["parent"]):
            above["children"].append(snapshot)
    return [snapshot for snapshot in shown.values() if snapshot["parent"] not in shown]


def _shown(kept: dict[str, Any]) -> dict[str, Any]:
    """What its runner said of it; what the VM was defined as is not shown, as a secret may be with it."""
    created = kept.get("created")
    return {
        **{name: kept.get(name) for name in ("name", "description", "power", "parent", "current")},
        "created_at": None if created is None else datetime.fromtimestamp(created, UTC).isoformat(),
        "children": [],
    }


@transaction
def create(vm_id: str, by: str, *, name: str, **wanted: Any) -> Task:
    """The task that takes the snapshot. Raises Refused, also if there is one of this name."""
    vm = rows.lock(VirtualMachine, vm_id)
    guard(vm, Action.SNAPSHOT)
    if vm.snapshot(name):
        raise Refused(f"VM {vm.name!r} has a snapshot {name!r} already", code="snapshot.exists", vm_id=vm.id)
    return _ask(vm, Action.SNAPSHOT, by, name=name, **wanted)


@transaction
def revert(vm_id: str, by: str, name: str) -> Task:
    """The task that makes the VM what it was when the snapshot was taken; its definition follows once that is done.
    Raises NotFound, and Refused, also if that VM would not fit on its hypervisor, or has a name that is taken."""
    rows.lock(VirtualAppliance, rows.find(VirtualMachine, vm_id).virtualappliance_id)
    vm = rows.lock(VirtualMachine, vm_id)
    guard(vm, Action.REVERT)
    definition = _known(vm, name).get("definition")
    if definition:
        vms.refuse_taken_name(vm, definition["name"])
        placement.check_growth(vm, definition["memory_mib"])
        vm.want(definition, _known(vm, name).get("user_data"))
    return _ask(vm, Action.REVERT, by, name=name)


@transaction
def delete(vm_id: str, by: str, name: str, *, children: bool) -> Task:
    """The task that deletes the snapshot, and with ``children`` those on top of it. Raises NotFound, Refused."""
    vm = rows.lock(VirtualMachine, vm_id)
    guard(vm, Action.DELETE_SNAPSHOT)
    _known(vm, name)
    return _ask(vm, Action.DELETE_SNAPSHOT, by, name=name, children=children)


def _known(vm: VirtualMachine, name: str) -> dict[str, Any]:
    found = vm.snapshot(name)
    if found is None:
        there = ", ".join(snapshot["name"] for snapshot in vm.snapshots or []) or "none"
        raise NotFound(f"VM {vm.name!r} has no snapshot {name!r}; it has: {there}")
    _refuse_unspeakable(name)
    return found


def _refuse_unspeakable(name: str) -> None:
    """A snapshot that was made by hand may have a name that no job says, as a hypervisor could take it for another."""
    try:
        parse(WantedSnapshot, {"name": name})
    except InvalidData as error:
        text = f"snapshot {name!r} was made by hand and can only be changed so: its {error}"
        raise Refused(text, code="snapshot.name") from error


def _ask(vm: VirtualMachine, action: Action, by: str, **order: Any) -> Task:
    return tasks.ask_for_vm(vm, action, by, tasks.Told(options={"snapshot": order}))


def take_over(vm: VirtualMachine, job: Job, task: Task, update: Update) -> None:
    """A job on a snapshot is done or undone, or one has looked at the VM, and says which there are now. Part of the
    caller's transaction.

    With a snapshot that was taken is kept what the VM was meant to be then. Of one that was there before, nobody can
    tell; going back to such a one is told, as the definition may be another one then."""
    asked_for = (job.options or {}).get("snapshot", {}).get("name")
    known = {snapshot["name"]: snapshot for snapshot in vm.snapshots or []}
    if asked_for and update.may_have_made_it and asked_for not in known:
        known[asked_for] = {"definition": vm.definition, "user_data": vm.sealed_user_data}
    if update.snapshots is not None:
        vm.snapshots = [{**_same(known.get(facts.name), facts), **plain(facts)} for facts in update.snapshots]
    if task.type is TaskType.REVERT and not (vm.snapshot(asked_for) or {}).get("definition"):
        events.tell(
            Severity.WARNING, task,
            f"VM {vm.name} is what it was in its snapshot {asked_for}, which Millwright did not take, so that its "
            "definition may be another one",
        )  # fmt: skip


def _same(known: dict[str, Any] | None, facts: SnapshotFacts) -> dict[str, Any]:
    """What is known of the snapshot, unless somebody took another one of its name meanwhile."""
    if known is None or known.get("created") not in (None, facts.created):
        return {}
    return known
