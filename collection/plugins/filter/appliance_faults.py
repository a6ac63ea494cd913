# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: appliance_faults
short_description: What is wrong with an appliance, before anything of it is made
version_added: 0.1.0
description:
  - Looks at all of an appliance, as role P(millwright.virt.appliance#role) does before it begins, and tells each key
    that does not exist, each VM whose name another one has, and each option that M(millwright.virt.vm) would refuse.
  - What only the hypervisor knows, such as whether there is a template, it does not tell; nor what stands in a template
    whose variables are not set yet.
author:
  - The Millwright developers (@millwright)
positional: _input
options:
  _input:
    description:
      - What the appliance's file says.
    type: dict
    required: true
  state:
    description:
      - Where the VMs are to be, as the role has it. With V(stopped) and V(absent), what a VM is like does not matter.
    type: str
    choices: [running, present, stopped, absent]
    default: running
"""

EXAMPLES = r"""
---
- name: Check an appliance without touching a hypervisor
  ansible.builtin.assert:
    that: faults == []
    fail_msg: "{{ faults | join('; ') }}"
  vars:
    faults: "{{ lookup('ansible.builtin.file', 'shop.yml') | from_yaml | millwright.virt.appliance_faults }}"
"""

RETURN = r"""
---
_value:
  description: A sentence for each fault; none if there is no fault.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ..modules import vm
from ..plugin_utils.appliance import faults


def appliance_faults(appliance: Any, state: str = "running") -> list[str]:
    return faults(appliance, state, vm.options())


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"appliance_faults": appliance_faults}
