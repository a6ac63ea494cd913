#!/usr/bin/python
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm
short_description: Make, change and remove virtual machines
version_added: 0.1.0
description:
  - Makes a virtual machine with its disks, powered off, or changes one that is there to what is asked for.
  - Removes a virtual machine together with the disks that were made for it.
  - The same options describe a VM on every hypervisor. What a hypervisor cannot do is refused before anything is done.
  - VMs that Millwright did not make are neither changed nor removed.
  - The options are the whole definition of the VM. What is left out is not left alone, it is what a VM without it has.
    So cards that O(nics) does not name are removed from a VM that has them, also if the option is left out, which is
    warned of; description and tags become empty, and O(cpu), O(boot_order), O(console) and O(autostart) have their
    defaults again. Disks are removed with O(allow_disk_removal) only. O(uuid), O(memory_max_mib), O(cdrom),
    O(cloud_init), the size of a disk, and the address of a card are left as they are.
  - "At libvirt O(cloud_init) can be changed: a VM gets a new image in the same drive, or a drive if it has none; while
    it runs only if its first disk is on C(sata), else with O(allow_power_cycle), and not while it has snapshots. It
    cannot be taken away. What a guest makes of it is cloud-init's to decide: it reads data again when it starts and
    finds another C(instance-id) in the meta data than the last time. The one of its own is the VM's identity, which
    stays; so a guest that has started once ignores other data, unless O(cloud_init.meta_data) says another
    C(instance-id). Then it is a new instance for cloud-init, which makes new host keys, too."
options:
  state:
    description:
      - With V(present) the VM is there as the options say, all of them. Its power state stays.
        What a VM that is on cannot take while it runs is refused, or done with O(allow_power_cycle).
      - With V(absent) neither the VM nor a disk that was made for it is there. A running VM is powered off first.
        Templates stay, and so do disks that somebody else attached to the VM, unless O(remove_foreign_disks=true).
      - A VM is not removed while a disk of another VM, or any other overlay that the hypervisor knows, stands on a disk
        that would go (C(driver.conflict), which names it).
      - At libvirt, volumes of a VM that is not there, and that no killed run of this host left, are a conflict that
        names them. They may be disks of the VM at another host that shares the pool.
    type: str
    choices: [absent, present]
    default: present
  create:
    description:
      - With V(false) and O(state=present) the VM must be there already, and is not made.
    type: bool
    default: true
  allow_power_cycle:
    description:
      - Let a VM that is on be shut down for changes that it cannot take while it runs, and start it again.
        Its power is taken away if its guest does not shut down in time, unless O(shutdown_force=false).
    type: bool
    default: false
  allow_disk_removal:
    description:
      - Let disks that O(disks) does not name be removed from a VM that has them, with all that is on them.
        A disk that was not made for the VM is only taken out of it. At libvirt disks and cards that somebody else
        added are called C(foreign-) and their target or address, as in C(foreign-vdb).
    type: bool
    default: false
  remove_foreign_disks:
    description:
      - With O(state=absent), remove the VM's disks that were not made for it, too, with all that is on them.
      - Whatever is said, that is never a disc in a drive, a template, a disk that another VM has, that something else
        stands on, that is shared, or that the VM may only read. RV(kept) says what stays and why.
      - A disk that should go and cannot, as it is on network storage, a LUN, or in no storage pool, is refused before
        anything is removed.
    type: bool
    default: false
  shutdown_timeout:
    description:
      - Seconds that a guest has to shut down for O(allow_power_cycle).
    type: int
    default: 120
  shutdown_force:
    description:
      - Whether power is taken from a guest that has not shut down within O(shutdown_timeout) seconds.
        With V(false) the VM runs on as it was, and the module fails (C(driver.timed_out)).
    type: bool
    default: true
extends_documentation_fragment:
  - millwright.virt.vm_definition
  - millwright.virt.hypervisor
  - millwright.virt.attributes
  - millwright.virt.attributes.action_group
seealso:
  - module: millwright.virt.vm_power
  - module: millwright.virt.vm_info
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: A VM whose disk is made from a template
  millwright.virt.vm:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    memory_mib: 1024
    cpu:
      count: 2
    disks:
      - name: root
        template: /var/lib/libvirt/images/debian.qcow2
        size_mib: 10240
    nics:
      - network: default
    console:
      serial_log: true

- name: Other cloud-init data for a VM that is there, which its guest reads at its next start
  millwright.virt.vm:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    memory_mib: 1024
    cpu:
      count: 2
    disks:
      - name: root
        template: /var/lib/libvirt/images/debian.qcow2
        size_mib: 10240
    nics:
      - network: default
    console:
      serial_log: true
    cloud_init:
      user_data: "{{ lookup('ansible.builtin.file', 'web-user-data.yml') }}"
      meta_data: |
        instance-id: web-2
        local-hostname: web
    allow_power_cycle: true

- name: No VM and no disk of it
  millwright.virt.vm:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    state: absent

- name: No VM, and none of the disks that somebody attached to it and nobody else needs
  millwright.virt.vm:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    state: absent
    remove_foreign_disks: true
"""

RETURN = r"""
---
vm:
  description:
    - The VM afterwards; in check mode what it would be. Null if it is not there.
    - On failure, the VM as it is, if a change of it was refused before anything was done.
  type: dict
  returned: success, or when a change was refused
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
        - In what the guest that runs differs from RV(vm.definition), which is what its next start has, because somebody
          changed only one of them. What a guest can get while it runs this module gives it; any power cycle brings both
          together, and O(allow_power_cycle) allows one for it.
        - Told by libvirt, of one VM, not of a list. Memory within the limit of O(memory_max_mib) is not compared.
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
  description:
    - Disks of a VM that is removed, or would be in check mode, that stay at the hypervisor.
    - Check mode sees each VM beside all the others. With O(remove_foreign_disks), a disk that two VMs have is told for
      both, and goes with the one that is removed last.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: Where the disk is, as the hypervisor says it.
      type: str
      returned: always
    why:
      description: Why it stays.
      type: str
      returned: always
  sample:
    - path: /var/lib/libvirt/images/archive.qcow2
      why: Millwright did not make it
hot:
  description: Paths of the changes that were made while the VM ran.
  type: list
  elements: str
  returned: success
mended:
  description: Paths of what the guest ran otherwise than RV(vm.definition) says, and does no more.
  type: list
  elements: str
  returned: success
power_cycled:
  description: Whether the VM was shut down for the changes and started again.
  type: bool
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
problems:
  description: Each option that breaks a rule, and the rule.
  type: list
  elements: dict
  returned: when the definition is invalid
  sample:
    - path: disks[0].size_mib
      rule: is required for a disk without a template
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.arguments import ref_of, seconds_of
from ..module_utils.connection import CONNECTION, failure, open_hypervisor
from ..module_utils.drivers.base import ObservedVm
from ..module_utils.ensure import Result, ensure_absent, ensure_present
from ..module_utils.reconfigure import Allowed
from ..module_utils.vm.argspec import argument_spec
from ..module_utils.vm.changes import Change
from ..module_utils.vm.definition import VmDefinition
from ..module_utils.vm.states import PowerState


def options() -> dict[str, dict]:
    """Of the definition only the name is needed to remove a VM."""
    return {
        **argument_spec(),
        "memory_mib": {"type": "int"},
        "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
        "create": {"type": "bool", "default": True},
        "allow_power_cycle": {"type": "bool", "default": False},
        "allow_disk_removal": {"type": "bool", "default": False},
        "remove_foreign_disks": {"type": "bool", "default": False},
        "shutdown_timeout": {"type": "int", "default": 120},
        "shutdown_force": {"type": "bool", "default": True},
        **CONNECTION,
    }


def ensure(driver, params: dict, *, dry_run: bool) -> Result:
    if params["state"] == "absent":
        return ensure_absent(
            driver, ref_of(params), dry_run=dry_run, foreign_disks=params["remove_foreign_disks"]
        )  # fmt: skip
    want = VmDefinition.from_dict({field: params[field] for field in argument_spec()})
    allowed = Allowed(
        power_cycle=params["allow_power_cycle"],
        disk_removal=params["allow_disk_removal"],
        shutdown_timeout=seconds_of(params, "shutdown_timeout"),
        shutdown_force=params["shutdown_force"],
    )
    return ensure_present(driver, want, dry_run=dry_run, create=params["create"], allowed=allowed)


def said_of_live(vm: ObservedVm) -> str:
    paths = ", ".join(change.path for change in vm.live)
    # A power cycle is of what is on: a paused guest is its owner's to wake first.
    way = "; allow_power_cycle: true does that" if vm.power is PowerState.ON else ""
    runs = f"VM {vm.name!r} runs with another {paths} than it is defined with"
    return f"{runs}, until it is powered off and on again{way}"


def said_of_cards(name: str, lost: list[Change]) -> str:
    paths = ", ".join(change.path for change in lost)
    return (
        f"nics is not given, and what is left out is not left alone: VM {name!r} loses its network cards "
        f"({paths}). Give nics as the VM has them to keep them, or nics: [] to say that it is to have none"
    )


def main():
    module = AnsibleModule(argument_spec=options(), supports_check_mode=True)
    # Not required_if: that would hide the name of an option that is mistyped, memroy_mib.
    if module.params["state"] == "present" and module.params["memory_mib"] is None:
        module.fail_json(msg="state is present but all of the following are missing: memory_mib")
    hidden: set[str] = set()
    try:
        with open_hypervisor(module.params, hidden) as driver:
            result = ensure(driver, module.params, dry_run=module.check_mode)
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told with a code
        module.fail_json(**failure(error, hidden))
    if result.after and result.after.live:
        module.warn(said_of_live(result.after))
    lost = [change for change in result.changes if change.kind == "nics[]" and change.after is None]
    if lost and module.params["nics"] is None:
        module.warn(said_of_cards(result.after.name, lost))
    module.exit_json(**result.to_dict())


if __name__ == "__main__":
    main()
