#!/usr/bin/python
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: hypervisor_info
short_description: Tell what a hypervisor is and has
version_added: 0.1.0
description:
  - Tells a hypervisor's version, size, storage pools and networks, and the virtual machines that it has.
extends_documentation_fragment:
  - millwright.virt.hypervisor
  - millwright.virt.attributes.read_only
  - millwright.virt.attributes.action_group
seealso:
  - module: millwright.virt.vm_info
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: What is there
  millwright.virt.hypervisor_info:
    hypervisor_type: libvirt
    url: qemu:///system
  register: told

- name: Show how guests run, and on which networks
  ansible.builtin.debug:
    msg: "{{ told.host.acceleration }}: {{ told.host.networks | join(', ') }}"
"""

RETURN = r"""
---
host:
  description: What the hypervisor says about itself.
  type: dict
  returned: success
  contains:
    name:
      description: Its name.
      type: str
      returned: always
    hypervisor_type:
      description: Its driver.
      type: str
      returned: always
    version:
      description: Its version.
      type: str
      returned: always
    cores:
      description: Processor cores.
      type: int
      returned: always
    memory_mib:
      description: Memory in MiB.
      type: int
      returned: always
    free_memory_mib:
      description: Free memory in MiB.
      type: int
      returned: always
    pools:
      description: Storage pools or datastores by name, each with C(capacity_mib) and C(free_mib).
      type: dict
      returned: always
    networks:
      description: Names of the networks.
      type: list
      elements: str
      returned: always
    acceleration:
      description: How guests run, where it matters; for V(libvirt) V(kvm), or V(qemu) for emulation.
      type: str
      returned: always
vms:
  description: All VMs by name, each like RV(millwright.virt.vm_info#module:vm).
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

from ..module_utils.connection import CONNECTION, failure, open_hypervisor
from ..module_utils.drivers.errors import deciding
from ..module_utils.vm.schema import plain


def tell(driver) -> dict:
    return {"host": plain(driver.host()), "vms": [vm.to_dict() for vm in driver.list_vms()]}


def main():
    module = AnsibleModule(argument_spec=CONNECTION, supports_check_mode=True)
    hidden: set[str] = set()
    try:
        with open_hypervisor(module.params, hidden) as driver, deciding():
            told = tell(driver)
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told with a code
        module.fail_json(**failure(error, hidden))
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
