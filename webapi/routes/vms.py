# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, make_response, url_for

from ..auth import asker
from ..models import Task, VirtualMachine
from ..schemas.base import page_of
from ..schemas.tasks import TaskSchema
from ..schemas.vms import CaptureInput, PowerInput, VmInput, VmList, VmSchema, VmUpdate
from ..services import captures, vms
from ..services.guards import Action
from ..services.paging import Page
from ..services.tasks import Told
from .answers import Accepted, accepted
from .strict import Blueprint

blueprint = Blueprint("vms", __name__, description="Virtual machines")


@blueprint.post("")
@blueprint.arguments(VmInput)
@blueprint.response(201, VmSchema)
def create_vm(wanted: dict[str, Any]) -> VirtualMachine:
    """Make a VM in an appliance. Nothing is deployed yet."""
    return vms.create(**wanted)


@blueprint.get("")
@blueprint.arguments(VmList, location="query")
@blueprint.response(200, page_of(VmSchema))
def list_vms(arguments: dict[str, Any]) -> Page[VirtualMachine]:
    """List VMs."""
    return vms.list_vms(**arguments)


@blueprint.get("/<vm_id>")
@blueprint.response(200, VmSchema)
def get_vm(vm_id: str) -> VirtualMachine:
    """Show a VM."""
    return vms.get(vm_id)


@blueprint.put("/<vm_id>")
@blueprint.arguments(VmUpdate)
@blueprint.response(200, VmSchema, description="The VM is not at a hypervisor and has the new definition.")
@blueprint.alt_response(202, schema=TaskSchema, description="The task that changes the VM at its hypervisor.")
def update_vm(wanted: dict[str, Any], vm_id: str) -> VirtualMachine | Response:
    """Give a VM another definition. Where it has cloud-init data without user data, those stay as they are.

    A VM that is on takes what it can while it runs; what it cannot is done with a power cycle, where that is allowed,
    or the task fails and the VM is as it was.
    """
    definition = wanted.pop("definition")
    result = vms.update(vm_id, asker(), definition=definition, told=_told(wanted))
    return _task_response(result) if isinstance(result, Task) else result


def _told(wanted: dict[str, Any]) -> Told:
    """What of a request's body its jobs are told."""
    timeout = wanted.pop("timeout", None)
    return Told(timeout=timeout, options={name: value for name, value in wanted.items() if value})


def _task_response(task: Task) -> Response:
    """A task where a VM would be the usual answer."""
    headers = {"Location": url_for("tasks.get_task", task_id=task.id)}
    return make_response(jsonify(TaskSchema().dump(task)), 202, headers)


@blueprint.delete("/<vm_id>")
@blueprint.response(204)
def delete_vm(vm_id: str) -> None:
    """Delete a VM that is not at a hypervisor."""
    vms.delete(vm_id)


@blueprint.post("/<vm_id>/deploy")
@blueprint.response(202, TaskSchema)
def deploy_vm(vm_id: str) -> Accepted:
    """Make the VM at a hypervisor and power it on."""
    return accepted(vms.ask(vm_id, Action.DEPLOY, asker()))


@blueprint.post("/<vm_id>/undeploy")
@blueprint.response(202, TaskSchema)
def undeploy_vm(vm_id: str) -> Accepted:
    """Take the VM away from its hypervisor. Its disks are lost; its definition stays."""
    return accepted(vms.ask(vm_id, Action.UNDEPLOY, asker()))


@blueprint.post("/<vm_id>/refresh")
@blueprint.response(202, TaskSchema)
def refresh_vm(vm_id: str) -> Accepted:
    """Read the VM's state at its hypervisor."""
    return accepted(vms.ask(vm_id, Action.REFRESH, asker()))


@blueprint.post("/<vm_id>/capture")
@blueprint.arguments(CaptureInput)
@blueprint.response(202, TaskSchema)
def capture_vm(wanted: dict[str, Any], vm_id: str) -> Accepted:
    """Make a template of a disk of a VM that is off. Once that is done, the datacenter has it."""
    return accepted(captures.ask(vm_id, asker(), **wanted))


@blueprint.post("/<vm_id>/power")
@blueprint.arguments(PowerInput)
@blueprint.response(202, TaskSchema)
def power_vm(wanted: dict[str, Any], vm_id: str) -> Accepted:
    """Power the VM on or off, shut it down, pause, resume or reset it."""
    action = wanted.pop("action")
    return accepted(vms.ask(vm_id, action, asker(), _told(wanted)))
