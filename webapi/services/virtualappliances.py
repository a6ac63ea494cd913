# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual appliances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import selectinload

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import AT_HYPERVISOR

from ..database import db, transaction
from ..errors import Invalid, Refused
from ..models import Task, VirtualAppliance, VirtualDatacenter, VirtualMachine
from . import placement, rows, tasks
from .guards import Action, guard
from .paging import DEFAULT_LIMIT, Page, page
from .vms import draft


@transaction
def create(*, virtualdatacenter_id: str, name: str, vms: Sequence[dict[str, Any]] = ()) -> VirtualAppliance:
    vdc = rows.find(VirtualDatacenter, virtualdatacenter_id)
    vapp = VirtualAppliance(virtualdatacenter_id=vdc.id, name=name, vms=_drafts(vdc, vms))
    rows.add(vapp)
    return vapp


def _drafts(vdc: VirtualDatacenter, vms: Sequence[dict[str, Any]]) -> list[VirtualMachine]:
    """All VMs, or all that is wrong with them. Raises Invalid."""
    drafts, problems = [], []
    for number, wanted in enumerate(vms):
        try:
            drafts.append(draft(vdc, **wanted))
        except Invalid as error:
            problems += [Problem(f"vms[{number}].{problem.path}", problem.rule) for problem in error.problems]
    names = Counter(vm.name for vm in drafts)
    problems += [
        Problem("vms", f"the name {name!r} is given {times} times") for name, times in names.items() if times > 1
    ]
    if problems:
        raise Invalid(problems)
    return drafts


@transaction
def deploy(vapp_id: str, by: str) -> Task:
    """Deploy the VMs that are not at a hypervisor: all of them are placed and locked, or none. Raises Refused."""
    vapp, vms = _locked(vapp_id)
    chosen = [vm for vm in vms if vm.state not in AT_HYPERVISOR]
    _guard_all(vapp, chosen, Action.DEPLOY, "its VMs are deployed already")
    placement.allocate(chosen, vapp.virtualdatacenter)
    return tasks.ask_for_appliance(vapp, chosen, Action.DEPLOY, by)


@transaction
def undeploy(vapp_id: str, by: str) -> Task:
    """Take away the VMs that are at a hypervisor; none may be held by a task. Raises Refused."""
    vapp, vms = _locked(vapp_id)
    chosen = [vm for vm in vms if vm.state in AT_HYPERVISOR or vm.task_id]
    _guard_all(vapp, chosen, Action.UNDEPLOY, "none of its VMs is deployed")
    return tasks.ask_for_appliance(vapp, chosen, Action.UNDEPLOY, by)


def _guard_all(vapp: VirtualAppliance, vms: Sequence[VirtualMachine], action: Action, nothing_to_do: str) -> None:
    if not vms:
        raise Refused(f"virtual appliance {vapp.name!r} cannot {action}: {nothing_to_do}", code="vapp.state")
    for vm in vms:
        guard(vm, action)


def _locked(vapp_id: str) -> tuple[VirtualAppliance, list[VirtualMachine]]:
    """The appliance and its VMs, locked, in the order in which they were made. Raises Refused if it has none."""
    vapp = rows.lock(VirtualAppliance, vapp_id)
    vms = rows.lock_all(
        VirtualMachine, list(db.session.scalars(select(VirtualMachine.id).filter_by(virtualappliance_id=vapp.id)))
    )
    if not vms:
        raise Refused(f"virtual appliance {vapp.name!r} has no VMs", code="vapp.empty")
    return vapp, sorted(vms, key=lambda vm: (vm.created_at, vm.name))


@transaction
def delete(vapp_id: str) -> None:
    """Delete an appliance and its VMs, none of which may be at a hypervisor. Raises Refused."""
    vapp = rows.lock(VirtualAppliance, vapp_id)
    ids = list(db.session.scalars(select(VirtualMachine.id).filter_by(virtualappliance_id=vapp.id)))
    for vm in rows.lock_all(VirtualMachine, ids):
        if vm.state in AT_HYPERVISOR and not vm.task_id:
            raise _deployed(vapp, vm)
        guard(vm, Action.DELETE)
        rows.remove(vm)
    rows.remove(vapp)


def _deployed(vapp: VirtualAppliance, vm: VirtualMachine) -> Refused:
    """What the VM itself allows would not help: it is the appliance that is to go."""
    return Refused(
        f"virtual appliance {vapp.name!r} cannot be deleted: its VM {vm.name!r} is {vm.state}; "
        "undeploy the appliance first",
        code="vm.state", vm_id=vm.id, state=vm.state, task_id=None, allowed=[Action.UNDEPLOY.value],
    )  # fmt: skip


def get(vapp_id: str) -> VirtualAppliance:
    rows.find(VirtualAppliance, vapp_id)
    return db.session.scalars(_with_vms().filter_by(id=vapp_id)).one()


def list_virtualappliances(
    *, limit: int = DEFAULT_LIMIT, after: str | None = None, **filters: Any
) -> Page[VirtualAppliance]:
    return page(_with_vms().filter_by(**filters), VirtualAppliance, limit=limit, after=after)


def _with_vms() -> Select[VirtualAppliance]:
    return (
        select(VirtualAppliance).options(selectinload(VirtualAppliance.vms)).execution_options(populate_existing=True)
    )
