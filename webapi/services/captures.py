# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates that are made of VMs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from runner_service.contract.messages import TemplateFacts, Update

from ..database import db, transaction
from ..models import Datacenter, Hypervisor, Job, Severity, Task, Template, VirtualMachine
from . import events, rows, tasks
from .guards import Action, guard


@transaction
def ask(vm_id: str, by: str, *, name: str, **wanted: Any) -> Task:
    """The task that makes the template. Raises Refused, also if the datacenter has a template of this name."""
    vm = rows.lock(VirtualMachine, vm_id)
    guard(vm, Action.CAPTURE)
    assert vm.hypervisor_id is not None, "a VM that may be captured has a place"
    datacenter_id = rows.find(Hypervisor, vm.hypervisor_id).datacenter_id
    if _named(datacenter_id, name):
        raise rows.taken(Template, name)
    stated = {field: value for field, value in wanted.items() if value is not None}
    return tasks.ask_for_vm(vm, Action.CAPTURE, by, tasks.Told(options={"template": {"name": name, **stated}}))


def _named(datacenter_id: str, name: str) -> Template | None:
    return db.session.scalars(select(Template).filter_by(datacenter_id=datacenter_id, name=name)).first()


def register(vm: VirtualMachine, job: Job, task: Task, update: Update) -> None:
    """The capture is done: from now on VMs of the datacenter can be made from the template. Where that cannot be, an
    event says why. Part of the caller's transaction."""
    made = update.template
    if made is None:
        text = f"a template of VM {vm.name} was made, and its runner did not say where it is"
    elif not update.may_have_made_it:
        # Only where the driver does not tell it from what the job has made (vSphere); else it is a conflict.
        text = f"{made.name} was at {job.hypervisor_name} already and is not of VM {vm.name}; choose another name"
    elif _is_added(vm, job, made):
        return
    else:
        text = f"the template of VM {vm.name} is {made.name} at {job.hypervisor_name}, as another one has its name now"
    events.tell(Severity.WARNING, task, text)


def _is_added(vm: VirtualMachine, job: Job, made: TemplateFacts) -> bool:
    """Whether the template is a row of its datacenter now; somebody may have given its name away meanwhile."""
    name = (job.options or {}).get("template", {}).get("name", made.name)
    # Whoever names a template has locked its datacenter.
    datacenter = rows.lock(Datacenter, rows.find(Hypervisor, job.hypervisor_id).datacenter_id)
    known = _named(datacenter.id, name)
    if known is None:
        rows.add(
            Template(
                datacenter_id=datacenter.id, name=name, path=made.name, format=made.format,
                description=f"captured from VM {vm.name}",
            )
        )  # fmt: skip
    return known is None or known.path == made.name
