#!/usr/bin/python
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_power
short_description: Set the power state of virtual machines
version_added: 0.1.0
description:
  - Brings a virtual machine into a power state and waits until the hypervisor says that it is in it.
  - A VM that is not there is a failure; in check mode it is warned of, as an earlier task of the play may make it.
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
  state:
    description:
      - V(on) starts a VM that is off, and resumes one that is paused.
        At libvirt a VM whose memory is saved (C(virsh managedsave), or when its host shut down) is paused, too.
      - V(off) takes the power away at once.
      - V(shutdown) asks the guest to shut down and waits until the VM is off. The guest may ignore that;
        the VM is then still on, and the module fails, or takes the power away with O(force).
      - V(paused) halts a VM that is on and keeps it in memory.
      - V(resumed) lets a paused VM run on. A VM that is off is not started.
      - V(reset) restarts a VM that is on as its reset button would. It always changes something.
    type: str
    required: true
    choices: ["on", "off", shutdown, paused, resumed, reset]
  timeout:
    description:
      - Seconds to wait for the state.
    type: int
    default: 120
  force:
    description:
      - With O(state=shutdown) take the power away if the guest has not shut down within O(timeout) seconds.
    type: bool
    default: false
extends_documentation_fragment:
  - millwright.virt.hypervisor
  - millwright.virt.attributes
  - millwright.virt.attributes.action_group
attributes:
  idempotent:
    support: partial
    details: A reset is never already done.
seealso:
  - module: millwright.virt.vm
  - module: millwright.virt.vm_info
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: Start a VM
  millwright.virt.vm_power:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    state: "on"

- name: Shut a VM down, and give its guest five minutes
  millwright.virt.vm_power:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    state: shutdown
    timeout: 300
"""

RETURN = r"""
---
vm:
  description: The VM afterwards; in check mode what it would be. Null if it is not there.
  type: dict
  returned: success
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
before:
  description: The VM before, like RV(vm).
  type: dict
  returned: success
changes:
  description: Fields that were changed.
  type: list
  elements: dict
  returned: success
  sample:
    - path: memory_mib
      before: 512
      after: 1024
removed:
  description: Disks and files of an interrupted operation that were removed.
  type: list
  elements: str
  returned: success
kept:
  description: Always empty; as in M(millwright.virt.vm).
  type: list
  elements: dict
  returned: success
hot:
  description: Always empty; as in M(millwright.virt.vm).
  type: list
  elements: str
  returned: success
power_cycled:
  description: Always false; as in M(millwright.virt.vm).
  type: bool
  returned: success
code:
  description: Why the module failed, for programs; in check mode also why it would fail if the VM is not there by then.
  type: str
  returned: on failure, and in check mode if the VM is not there
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

from ..module_utils.arguments import ref_of, seconds_of
from ..module_utils.connection import CONNECTION, failure, open_hypervisor
from ..module_utils.drivers.errors import VmNotFound
from ..module_utils.ensure import Result, ensure_power
from ..module_utils.vm.states import POWER_GOAL, SAID, PowerState

ACTIONS = {said: action for action, said in SAID.items()}
OPTIONS = {
    "name": {"type": "str", "required": True},
    "uuid": {"type": "str"},
    "state": {"type": "str", "choices": list(ACTIONS), "required": True},
    "timeout": {"type": "int", "default": 120},
    "force": {"type": "bool", "default": False},
    **CONNECTION,
}


def main():
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    wanted = module.params
    hidden: set[str] = set()
    try:
        ref, action, timeout = ref_of(wanted), ACTIONS[wanted["state"]], seconds_of(wanted, "timeout")
        with open_hypervisor(wanted, hidden) as driver:
            result = ensure_power(
                driver, ref, action, timeout=timeout, force=wanted["force"], dry_run=module.check_mode
            )
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told with a code
        if module.check_mode and isinstance(error, VmNotFound):
            # One that is made is off.
            rises = POWER_GOAL[ACTIONS[wanted["state"]]] is not PowerState.OFF
            planned = Result(changed=rises, before=None, after=None)
            module.warn(f"{error.message}; without check mode that fails unless the VM is made before")
            # The code is for programs that see no play which might make it.
            module.exit_json(**{**failure(error, hidden), **planned.to_dict()})
        module.fail_json(**failure(error, hidden))
    module.exit_json(**result.to_dict())


if __name__ == "__main__":
    main()
