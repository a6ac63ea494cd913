# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: play_strategy
short_description: The strategy of the play that a task is in
version_added: 0.1.0
description:
  - Tells by which strategy Ansible runs the play, whether the play or Ansible's configuration says so. No variable
    does.
  - A role can refuse by it what it cannot keep its promises with. Not every strategy knows C(any_errors_fatal).
  - Where no task is at work, it is the strategy of Ansible's configuration.
author:
  - The Millwright developers (@millwright)
"""

EXAMPLES = r"""
---
- name: Refuse what runs hosts apart from each other
  ansible.builtin.assert:
    that: lookup("millwright.virt.play_strategy") is not search("free|host_pinned")
    fail_msg: Give the play strategy linear.
"""

RETURN = r"""
---
_raw:
  description: Name of the strategy.
  type: list
  elements: str
  sample: [linear]
"""

from typing import Any

from ansible import constants
from ansible.plugins.lookup import LookupBase

try:
    # No public interface of Ansible's tells a plugin other than an action its task.
    from ansible._internal._task import TaskContext
except ImportError:
    TaskContext = None


class LookupModule(LookupBase):
    def run(self, *_terms: Any, **_options: Any) -> list[str]:
        context = TaskContext.current(optional=True) if TaskContext else None
        play = _play_of(context.task) if context else None
        strategy = getattr(play, "strategy", None) or constants.config.get_config_value("DEFAULT_STRATEGY")
        return [str(self._templar.template(strategy))]


def _play_of(part: Any) -> Any:
    """The play that a task or block is in, however deep; None if nobody knows it."""
    while part is not None:
        if (play := getattr(part, "_play", None)) is not None:
            return play
        part = getattr(part, "_parent", None)
    return None
