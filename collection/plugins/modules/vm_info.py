#!/usr/bin/python
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_info
short_description: Tell what virtual machines are and how they are
version_added: 0.1.0
description:
  - Tells of one virtual machine, or of all at a hypervisor, what it is and its power state,
    in the words of M(millwright.virt.vm).
options:
  name:
    description:
      - Name of the VM at the hypervisor. Without it and O(uuid) all VMs are told.
    type: str
  uuid:
    description:
      - Identity of the VM. Where it is given it decides.
      - On vSphere its managed-object id does as well (V(vm-42)).
    type: str
  snapshots:
    description:
      - Also tell the snapshots of the VM that was asked for, where its hypervisor has any.
    type: bool
    default: false
extends_documentation_fragment:
  - millwright.virt.hypervisor
  - millwright.virt.attributes.read_only
  - millwright.virt.attributes.action_group
seealso:
  - module: millwright.virt.vm
  - module: millwright.virt.hypervisor_info
  - module: millwright.virt.vm_snapshot_info
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: How is the VM
  millwright.virt.vm_info:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
  register: web

- name: Go on only if it runs
  ansible.builtin.assert:
    that: web.vm.power == "on"
"""

RETURN = r"""
---
vm:
  description: The VM that was asked for; null if it is not there.
  type: dict
  returned: when O(name) or O(uuid) is given
  contains:
    name:
      description: Name at the hypervisor.
      type: str
      returned: always
    uuid:
      description: Identity at the hypervisor.
      type: str
      returned: always
    power:
      description: Power state, one of V(on), V(off), V(paused) and V(unknown).
      type: str
      returned: always
    managed:
      description: Whether Millwright made the VM. Others are never changed or removed.
      type: bool
      returned: always
    addresses:
      description: Addresses of the guest, as far as the hypervisor knows them.
      type: list
      elements: str
      returned: always
    serial_log:
      description: Where the guest's serial output is kept at the hypervisor.
      type: str
      returned: always
    disk_use:
      description: What each disk takes at the hypervisor now, in MiB, by its name.
      type: dict
      returned: always
    live_differences:
      description:
        - In what the guest that runs differs from C(definition), which is what its next start has, because somebody
          changed only one of them. A power cycle brings both together.
        - Told by libvirt, of one VM, not of a list. Memory within the limit of C(memory_max_mib) is not compared.
      type: list
      elements: dict
      returned: always
      sample:
        - path: cpu.count
          defined: 2
          running: 4
    definition:
      description: The VM in the words of M(millwright.virt.vm), without secrets. Null if it cannot be told in them.
      type: dict
      returned: always
snapshots:
  description:
    - The snapshots of the VM as a tree, like RV(millwright.virt.vm_snapshot_info#module:snapshots).
      Null if it is not there, or its hypervisor has no snapshots.
  type: list
  elements: dict
  returned: when O(snapshots) is true and O(name) or O(uuid) is given
vms:
  description: The VM that was asked for, if it is there, or all VMs by name; each like RV(vm).
  type: list
  elements: dict
  returned: success
code:
  description: Why the module failed, for programs.
  type: str
  returned: on failure
  sample: driver.unreachable
detail:
  description: The hypervisor's own words.
  type: str
  returned: on failure
retryable:
  description: Whether the same task may go well later.
  type: bool
  returned: on failure
begun:
  description: Whether the module had begun to change something. With V(false) the hypervisor is as it was.
  type: bool
  returned: on failure
left:
  description: What the failed operation left at the hypervisor.
  type: list
  elements: str
  returned: on failure
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.arguments import ref_of
from ..module_utils.connection import CONNECTION, failure, open_hypervisor
from ..module_utils.drivers.base import Capability, ObservedVm, VmRef
from ..module_utils.drivers.errors import deciding
from ..module_utils.ensure_snapshots import snapshots_of
from ..module_utils.vm.snapshots import tree

OPTIONS = {
    "name": {"type": "str"},
    "uuid": {"type": "str"},
    "snapshots": {"type": "bool", "default": False},
    **CONNECTION,
}


def tell(driver, ref: VmRef | None, *, snapshots: bool) -> dict:
    if ref is None:
        return {"vms": [vm.to_dict() for vm in driver.list_vms()]}
    found = driver.find(ref)
    vm = found.to_dict() if found else None
    more = {"snapshots": trees_of(driver, found)} if snapshots else {}
    return {"vm": vm, "vms": [vm] if vm else [], **more}


def trees_of(driver, vm: ObservedVm | None) -> list[dict] | None:
    if vm is None or Capability.SNAPSHOTS not in driver.capabilities:
        return None
    return tree(snapshots_of(driver, VmRef(name=vm.name, uuid=vm.uuid)))


def main():
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    hidden: set[str] = set()
    try:
        is_one = module.params["name"] is not None or module.params["uuid"] is not None
        ref = ref_of(module.params) if is_one else None
        with open_hypervisor(module.params, hidden) as driver, deciding():
            told = tell(driver, ref, snapshots=module.params["snapshots"])
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told with a code
        module.fail_json(**failure(error, hidden))
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
