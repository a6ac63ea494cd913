# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: yaml_fault
short_description: Where and why a text is no YAML, without what stands there
version_added: 0.1.0
description:
  - Names file, line and column of the first mistake in the syntax of a YAML file, and nothing of what the file says, so
    that files with secrets can be read with C(no_log) and their mistakes be told all the same.
author:
  - The Millwright developers (@millwright)
positional: _input
options:
  _input:
    description:
      - The text of the file.
    type: str
    required: true
  path:
    description:
      - The file's name, for the message.
    type: str
    required: true
"""

EXAMPLES = r"""
---
- name: Refuse a file that is no YAML
  ansible.builtin.assert:
    that: fault == ""
    fail_msg: "{{ fault }}"
  vars:
    fault: "{{ lookup('ansible.builtin.file', 'shop.yml') | millwright.virt.yaml_fault('shop.yml') }}"
"""

RETURN = r"""
---
_value:
  description: File, line, column and reason; empty if the text is YAML.
  type: str
  sample: "shop.yml, line 4, column 3: this is no YAML: expected ',' or ']', but got '<stream end>'"
"""

from collections.abc import Callable
from typing import Any

from ..plugin_utils.appliance import syntax_fault


def yaml_fault(text: str, path: str) -> str:
    return syntax_fault(text, path)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"yaml_fault": yaml_fault}
