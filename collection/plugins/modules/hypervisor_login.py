#!/usr/bin/python
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: hypervisor_login
short_description: Prove that a hypervisor can be used, and keep a session
version_added: 0.1.0
description:
  - Proves that the hypervisor answers and accepts the credentials.
  - Where the hypervisor has sessions, keeps one in O(session_file), so that later tasks need not log in again.
    The file is for its owner alone, and only serves tasks with the same credentials.
  - End the session with M(millwright.virt.hypervisor_logout).
extends_documentation_fragment:
  - millwright.virt.hypervisor
  - millwright.virt.attributes.session
  - millwright.virt.attributes.action_group
seealso:
  - module: millwright.virt.hypervisor_logout
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: Log in once for the whole play
  millwright.virt.hypervisor_login:
    hypervisor_type: libvirt
    url: qemu:///system
    session_file: /run/user/1000/millwright.session
  run_once: true
"""

RETURN = r"""
---
session:
  description: Whether a session is kept in O(session_file).
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
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connection import CONNECTION, failure
from ..module_utils.login import log_in


def main():
    module = AnsibleModule(argument_spec=CONNECTION, supports_check_mode=True)
    hidden: set[str] = set()
    try:
        result = log_in(module.params, hidden, dry_run=module.check_mode)
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told with a code
        module.fail_json(**failure(error, hidden))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
