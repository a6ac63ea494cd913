# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake API refuses, and what follows from what."""

from __future__ import annotations

from typing import Any

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import InvalidDefinition, VmDefinition
from tests.unit.cli.fake_tasks import Json

JOBS = {
    "DEPLOY": ["configure", "power_on"],
    "UNDEPLOY": ["unconfigure"],
    "RECONFIGURE": ["reconfigure"],
    "REFRESH": ["get_state"],
}
POWER_FROM = {
    "on": {"OFF"}, "off": {"ON", "PAUSED"}, "shutdown": {"ON"}, "pause": {"ON"}, "resume": {"PAUSED"}, "reset": {"ON"},
}  # fmt: skip
#: What may not be deleted while others refer to it, by which field: what it is called, who refers, how.
IN_USE = {
    "virtualdatacenters": ("virtualdatacenter", "virtualappliances", "virtualdatacenter_id"),
    "templates": ("template", "vms", "template_id"),
    "hypervisors": ("hypervisor", "vms", "hypervisor_id"),
}


class Refusal(Exception):
    """What the API answers instead."""

    def __init__(self, status: int, code: str, message: str, **more: Any):
        super().__init__(message)
        self.status, self.body = status, {"code": code, "message": message, **more}


def effective_sessions(hypervisor: Json, limits: Json) -> int:
    of_type = limits["types"].get(hypervisor["type"], limits["platform"])
    return int(hypervisor["open_sessions"] or of_type["open_sessions"])


def vapp_state(vms: list[Json]) -> str:
    states = {vm["state"] for vm in vms}
    if any(vm["locked_by"] for vm in vms):
        return "LOCKED"
    if states <= {"ON", "OFF", "PAUSED"}:
        return "DEPLOYED" if states else "EMPTY"
    return "NOT_DEPLOYED" if states == {"NOT_ALLOCATED"} else "NEEDS_SYNC"


def check(definition: Json, has_template: bool, path: str) -> Json:
    disks = definition.get("disks") or ([{"name": "root"}] if has_template else [])
    if has_template:
        disks = [{**disks[0], "template": "/images/tiny.qcow2"}, *disks[1:]]
    try:
        plain = VmDefinition.from_dict({**definition, "disks": disks}).to_dict()
    except InvalidDefinition as error:
        problems = [{"path": f"{path}.{each.path}", "rule": each.rule} for each in error.problems]
        raise Refusal(422, "definition.invalid", str(error), problems=problems) from error
    del plain["uuid"]
    return plain


def invalid(path: str, rule: str) -> Refusal:
    return Refusal(422, "request.invalid", f"{path}: {rule}", problems=[{"path": path, "rule": rule}])
