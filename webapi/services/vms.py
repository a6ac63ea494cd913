# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import joinedload, lazyload, load_only

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem

from ..database import db, new_id, transaction
from ..errors import Invalid
from ..models import Datacenter, Hypervisor, Task, Template, VirtualAppliance, VirtualDatacenter, VirtualMachine
from . import definitions, placement, rows, tasks
from .guards import Action, guard
from .paging import DEFAULT_LIMIT, Page, page


@transaction
def create(*, virtualappliance_id: str, hypervisor_id: str | None = None, **wanted: Any) -> VirtualMachine:
    vapp = rows.lock(VirtualAppliance, virtualappliance_id)
    vm = draft(vapp.virtualdatacenter, **wanted)
    vm.virtualappliance_id = vapp.id
    refuse_taken_name(vm, vm.name)
    vm.wanted_hypervisor_id = _wanted_host(vapp.virtualdatacenter, hypervisor_id)
    rows.add(vm)
    return vm


def draft(vdc: VirtualDatacenter, *, definition: dict[str, Any], template_id: str | None = None) -> VirtualMachine:
    """A VM that is not written yet, checked."""
    template = _template(vdc, template_id)
    vm = VirtualMachine(id=new_id(), template_id=template_id, addresses=[])
    vm.redefine(*definitions.accept(definition, rows.find(Datacenter, vdc.datacenter_id), template))
    return vm


def _template(vdc: VirtualDatacenter, template_id: str | None) -> Template | None:
    if template_id is None:
        return None
    template = rows.find(Template, template_id)
    if template.datacenter_id != vdc.datacenter_id:
        raise Invalid([Problem("template_id", "is a template of another datacenter")])
    return template


def _wanted_host(vdc: VirtualDatacenter, hypervisor_id: str | None) -> str | None:
    if hypervisor_id is None:
        return None
    host = rows.find(Hypervisor, hypervisor_id)
    if (host.datacenter_id, host.type) != (vdc.datacenter_id, vdc.hypervisor_type):
        raise Invalid([Problem("hypervisor_id", f"must be a {vdc.hypervisor_type} hypervisor of the VM's datacenter")])
    return host.id


@transaction
def update(vm_id: str, by: str, *, definition: dict[str, Any], told: tasks.Told) -> VirtualMachine | Task:
    """The VM with its new definition, or the task that will change it at its hypervisor, as it is told."""
    vapp = rows.lock(VirtualAppliance, rows.find(VirtualMachine, vm_id).virtualappliance_id)
    vm = rows.lock(VirtualMachine, vm_id)
    guard(vm, Action.RECONFIGURE)
    template = rows.find(Template, vm.template_id) if vm.template_id else None
    datacenter = rows.find(Datacenter, vapp.virtualdatacenter.datacenter_id)
    wanted, user_data = definitions.accept(definition, datacenter, template)
    if wanted["cloud_init"]:  # It may have been made from a shown definition, which is without the secret.
        user_data = user_data or vm.sealed_user_data
    refuse_taken_name(vm, wanted["name"])
    if vm.hypervisor is None:
        vm.redefine(wanted, user_data)
        return vm
    placement.check_growth(vm, wanted["memory_mib"])
    vm.want(wanted, user_data)
    return tasks.ask_for_vm(vm, Action.RECONFIGURE, by, told)


def refuse_taken_name(vm: VirtualMachine, name: str) -> None:
    """Two VMs of one appliance never have one name, nor would have once a reconfiguration is done. No constraint of the
    table does this: it would refuse the end of a task, when it is too late. The appliance's row is locked meanwhile."""
    others = select(VirtualMachine).where(
        VirtualMachine.virtualappliance_id == vm.virtualappliance_id,
        VirtualMachine.id != vm.id,
        or_(VirtualMachine.name == name, VirtualMachine.pending_definition.is_not(None)),
    )
    with db.session.no_autoflush:
        found = db.session.scalars(others).all()
    if any(name in (other.name, (other.pending_definition or {}).get("name")) for other in found):
        raise rows.taken(VirtualMachine, name)


@transaction
def ask(vm_id: str, action: Action, by: str, told: tasks.Told | None = None) -> Task:
    """Guard, place if it is a deploy, lock and ask, all or nothing. Raises Refused."""
    return ask_within(vm_id, action, by, told)


def ask_within(vm_id: str, action: Action, by: str, told: tasks.Told | None = None) -> Task:
    """The same as part of the caller's transaction."""
    vm = rows.lock(VirtualMachine, vm_id)
    guard(vm, action)
    if action is Action.DEPLOY:
        vapp = rows.find(VirtualAppliance, vm.virtualappliance_id)
        placement.allocate([vm], vapp.virtualdatacenter)
    return tasks.ask_for_vm(vm, action, by, told or tasks.Told())


@transaction
def delete(vm_id: str) -> None:
    vm = rows.lock(VirtualMachine, vm_id)
    guard(vm, Action.DELETE)
    rows.remove(vm)


def get(vm_id: str) -> VirtualMachine:
    return rows.find(VirtualMachine, vm_id)


def list_vms(*, limit: int = DEFAULT_LIMIT, after: str | None = None, **filters: Any) -> Page[VirtualMachine]:
    return page(_with_appliances().filter_by(**filters), VirtualMachine, limit=limit, after=after)


def _with_appliances() -> Select[VirtualMachine]:
    """The names of their appliances come in the same query."""
    appliance = joinedload(VirtualMachine.virtualappliance, innerjoin=True)
    return select(VirtualMachine).options(
        appliance.options(load_only(VirtualAppliance.name), lazyload(VirtualAppliance.virtualdatacenter))
    )
