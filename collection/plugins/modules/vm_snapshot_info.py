#!/usr/bin/python
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_snapshot_info
short_description: Tell which snapshots virtual machines have
version_added: 0.1.0
description:
  - Tells the snapshots of one virtual machine as a tree, and which one it is on.
options:
  name:
    description:
      - Name of the VM at the hypervisor.
    type: str
    required: true
  uuid:
    description:
      - Identity of the VM. Where it is given it decides, and O(name) only names the VM in messages.
      - On vSphere its managed-object id does as well (V(vm-42)).
    type: str
extends_documentation_fragment:
  - millwright.virt.hypervisor
  - millwright.virt.attributes.read_only
  - millwright.virt.attributes.action_group
seealso:
  - module: millwright.virt.vm_snapshot
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: Which snapshots are there
  millwright.virt.vm_snapshot_info:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
  register: web

- name: Which one is the VM on
  ansible.builtin.debug:
    var: web.current.name
"""

RETURN = r"""
---
current:
  description:
    - The snapshot that the VM is on, that is, the last one that was taken or gone back to.
      Null if there is none.
  type: dict
  returned: success
  contains:
    name:
      description: Name of the snapshot.
      type: str
      returned: always
    description:
      description: What it is for.
      type: str
      returned: always
    created:
      description: When it was taken, in seconds since the epoch. Null in check mode for one that would be taken.
      type: int
      returned: always
    power:
      description: The power state that going back to it leads to.
      type: str
      returned: always
    parent:
      description: Name of the snapshot that it was taken on. Null for the first.
      type: str
      returned: always
    current:
      description: Whether the VM is on this one.
      type: bool
      returned: always
snapshots:
  description:
    - All snapshots of the VM as a tree. Each is like RV(current), with those that were taken on it
      as C(children).
  type: list
  elements: dict
  returned: success
  sample:
    - name: before-upgrade
      description: ""
      created: 1795748917
      power: "off"
      parent: null
      current: true
      children: []
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
from ..module_utils.drivers.base import VmRef
from ..module_utils.ensure_snapshots import snapshots_of
from ..module_utils.vm.snapshots import tree

OPTIONS = {"name": {"type": "str", "required": True}, "uuid": {"type": "str"}, **CONNECTION}


def tell(driver, ref: VmRef) -> dict:
    snapshots = snapshots_of(driver, ref)
    current = next((snapshot.to_dict() for snapshot in snapshots if snapshot.current), None)
    return {"current": current, "snapshots": tree(snapshots)}


def main():
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    hidden: set[str] = set()
    try:
        with open_hypervisor(module.params, hidden) as driver:
            told = tell(driver, ref_of(module.params))
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told with a code
        module.fail_json(**failure(error, hidden))
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
