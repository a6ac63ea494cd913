#!/usr/bin/python
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_capture
short_description: Make templates of virtual machines
version_added: 0.1.0
description:
  - Makes a template of a disk of a VM that is off. The template is whole in itself, also where the disk was only the
    differences to another template, and stays when the VM is removed.
  - A template of this name that was made of this disk of the VM before stays as it is. Anything else that has the name
    is a conflict (C(driver.conflict)); at vSphere it is taken for the template. So a second capture of a VM that has
    changed since needs another name, or another O(made_for), which refuses to take the old template for done.
  - No module removes a template, as linked disks may need it. When no VM is made of it any more, it goes by the
    hypervisor's own tools, at libvirt by C(virsh vol-delete golden.qcow2 --pool default), at vSphere by
    C(govc vm.destroy golden.qcow2) or I(Delete from Disk).
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
  template:
    description:
      - Name of the template. Its volume is called so, with the format as suffix.
      - Letters, digits, dots, hyphens and underscores.
    type: str
    required: true
  disk:
    description:
      - Name of the VM's disk; by default its first one.
    type: str
  pool:
    description:
      - Storage pool or datastore that gets the template; by default that of the disk.
    type: str
  format:
    description:
      - Format of the template.
    type: str
    choices: [qcow2, raw]
    default: qcow2
  snapshot:
    description:
      - Take the disk as it was in this snapshot of the VM.
    type: str
  made_for:
    description:
      - Tells this wish from earlier ones of the same name. Only a template that was made for the same word is taken for
        done; another one is a conflict.
      - Letters, digits, dots, hyphens and underscores.
    type: str
extends_documentation_fragment:
  - millwright.virt.hypervisor
  - millwright.virt.attributes
  - millwright.virt.attributes.action_group
seealso:
  - module: millwright.virt.vm
  - module: millwright.virt.vm_snapshot
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: A template of what was set up in a VM
  millwright.virt.vm_capture:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web
    template: web-golden
  register: golden

- name: A VM that is made of it
  millwright.virt.vm:
    hypervisor_type: libvirt
    url: qemu:///system
    name: web-2
    memory_mib: 1024
    disks:
      - template: "{{ golden.template.name }}"
"""

RETURN = r"""
---
template:
  description: The template. Null in check mode if it would be made.
  type: dict
  returned: success
  contains:
    name:
      description: Its volume, as O(millwright.virt.vm#module:disks[].template) takes it.
      type: str
      returned: always
    pool:
      description: Storage pool or datastore that it is in.
      type: str
      returned: always
    size_mib:
      description: Size in MiB that a guest sees.
      type: int
      returned: always
    format:
      description: Its format.
      type: str
      returned: always
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
  returned: when an option breaks a rule
  sample:
    - path: name
      rule: must be letters, digits, dots, hyphens and underscores, and not begin like a uuid, not '../x'
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.arguments import ref_of
from ..module_utils.connection import CONNECTION, failure, open_hypervisor
from ..module_utils.ensure_template import TemplateResult, ensure_template
from ..module_utils.vm.argspec import argument_spec
from ..module_utils.vm.schema import parse
from ..module_utils.vm.templates import WantedTemplate

#: Of a template's fields the name goes by the name of the module's subject.
FIELDS = argument_spec(WantedTemplate)
OPTIONS = {
    **FIELDS,
    "name": {"type": "str", "required": True},
    "uuid": {"type": "str"},
    "template": {"type": "str", "required": True},
    **CONNECTION,
}


def ensure(driver, params: dict, *, dry_run: bool) -> TemplateResult:
    want = parse(WantedTemplate, {**{field: params[field] for field in FIELDS}, "name": params["template"]})
    return ensure_template(driver, ref_of(params), want, dry_run=dry_run)


def main():
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    hidden: set[str] = set()
    try:
        with open_hypervisor(module.params, hidden) as driver:
            result = ensure(driver, module.params, dry_run=module.check_mode)
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told with a code
        module.fail_json(**failure(error, hidden))
    module.exit_json(**result.to_dict())


if __name__ == "__main__":
    main()
