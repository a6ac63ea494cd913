# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules promise beyond their options."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows what differs before and after.
    support: full
  idempotent:
    description: The second run changes nothing.
    support: full
  platform:
    description: Where the module runs.
    support: full
    platforms: posix
"""

    READ_ONLY = r"""
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
    details: The module changes nothing anyway.
  diff_mode:
    description: Shows what differs before and after.
    support: none
    details: The module changes nothing.
  idempotent:
    description: The second run changes nothing.
    support: full
  platform:
    description: Where the module runs.
    support: full
    platforms: posix
"""

    SESSION = r"""
attributes:
  check_mode:
    description: Says what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows what differs before and after.
    support: none
    details: A session is a secret.
  idempotent:
    description: The second run changes nothing.
    support: full
  platform:
    description: Where the module runs.
    support: full
    platforms: posix
"""

    ACTION_GROUP = r"""
attributes:
  action_group:
    description: Use C(group/millwright.virt.hypervisor) in C(module_defaults) to name the hypervisor once.
    support: full
    membership:
      - millwright.virt.hypervisor
"""
