#!/usr/bin/python
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_snapshot
short_description: Take, go back to and delete snapshots of virtual machines
version_added: 0.1.0
description:
  - Takes a snapshot of a VM that is on, paused or off, goes back to one, or deletes one.
  - A snapshot belongs to its VM. Removing the VM removes its snapshots.
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
  snapshot:
    description:
      - Name of the snapshot, unique within the VM. A letter, then letters, digits, dots, hyphens and underscores.
    type: str
    required: true
  description:
    description:
      - What the snapshot is for.
    type: str
    default: ""
  memory:
    description:
      - Keep the memory of a guest that runs, so that a revert lets it run on.
        Without it a revert leads to a VM that is off.
    type: bool
    default: false
  quiesce:
    description:
      - Whether the guest's agent brings file systems to rest meanwhile;
        it matters for a guest that runs and whose memory is not kept. V(auto) does where an agent answers.
      - With V(always) no snapshot is taken of a guest that cannot be brought to rest.
    type: str
    choices: [auto, always, never]
    default: auto
  children:
    description:
      - With O(state=absent) also delete all snapshots that were taken on top of it. Otherwise they stay, on its parent.
    type: bool
    default: false
  state:
    description:
      - With V(present) the VM has a snapshot of this name. One that is there already stays as it is.
      - With V(absent) it has none. What the VM holds now stays.
      - With V(reverted) disks, memory and definition of the VM are those of the snapshot,
        and what happened since is lost. It always changes something,
        because nobody can tell whether the VM has written since.
    type: str
    choices: [absent, present, reverted]
    default: present
extends_documentation_fragment:
  - millwright.virt.hypervisor
  - millwright.virt.attributes
  - millwright.virt.attributes.action_group
attributes:
  idempotent:
    support: partial
    details: Going back to a snapshot is never already done.
seealso:
  - module: millwright.virt.vm_snapshot_info
  - module: millwright.virt.vm
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: Keep what is there before an upgrade
  millwright.virt.vm_snapshot:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    snapshot: before-upgrade

- name: Go back
  millwright.virt.vm_snapshot:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    snapshot: before-upgrade
    state: reverted

- name: Delete the snapshot and all that stand on it
  millwright.virt.vm_snapshot:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    snapshot: before-upgrade
    state: absent
    children: true
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
snapshot:
  description: The snapshot afterwards; in check mode what it would be. Null if there is none of this name.
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
    - All snapshots of the VM as a tree. Each is like RV(snapshot), with those that were taken on it
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
quiesced:
  description: Whether the guest's file systems rested while the snapshot was taken. Null if none was taken.
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
problems:
  description: Each option that breaks a rule, and the rule.
  type: list
  elements: dict
  returned: when an option breaks a rule
  sample:
    - path: name
      rule: must be a letter, then letters, digits, dots, hyphens and underscores, not '1'
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.arguments import ref_of
from ..module_utils.connection import CONNECTION, failure, open_hypervisor
from ..module_utils.drivers.errors import VmNotFound
from ..module_utils.ensure_snapshots import SnapshotResult, ensure_no_snapshot, ensure_snapshot, revert_to_snapshot
from ..module_utils.vm.argspec import argument_spec
from ..module_utils.vm.schema import parse
from ..module_utils.vm.snapshots import WantedSnapshot

#: Of a snapshot's fields the name goes by the name of the module's subject.
FIELDS = {**argument_spec(WantedSnapshot), "description": {"type": "str", "default": ""}}
OPTIONS = {
    **FIELDS,
    "name": {"type": "str", "required": True},
    "uuid": {"type": "str"},
    "snapshot": {"type": "str", "required": True},
    "children": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["absent", "present", "reverted"], "default": "present"},
    **CONNECTION,
}


def ensure(driver, params: dict, *, dry_run: bool) -> SnapshotResult:
    ref, name = ref_of(params), params["snapshot"]
    if params["state"] == "absent":
        return ensure_no_snapshot(driver, ref, name, children=params["children"], dry_run=dry_run)
    if params["state"] == "reverted":
        return revert_to_snapshot(driver, ref, name, dry_run=dry_run)
    want = parse(WantedSnapshot, {**{field: params[field] for field in FIELDS}, "name": name})
    return ensure_snapshot(driver, ref, want, dry_run=dry_run)


def main():
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    hidden: set[str] = set()
    try:
        with open_hypervisor(module.params, hidden) as driver:
            result = ensure(driver, module.params, dry_run=module.check_mode)
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told with a code
        if module.check_mode and isinstance(error, VmNotFound):
            planned = SnapshotResult(changed=True, vm=None, before=(), after=(), name=module.params["snapshot"])
            module.warn(f"{error.message}; without check mode that fails unless the VM is made before")
            # The code is for programs that see no play which might make it.
            module.exit_json(**{**failure(error, hidden), **planned.to_dict()})
        module.fail_json(**failure(error, hidden))
    module.exit_json(**result.to_dict())


if __name__ == "__main__":
    main()
