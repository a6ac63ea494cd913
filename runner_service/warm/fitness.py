# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For which tasks a worker may go on with the next host, and after which hosts it may not."""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import ansible
from ansible import constants

OURS = "millwright.virt."
#: Actions of Ansible's own that do nothing but say something.
PURE = frozenset({"ansible.builtin.debug", "ansible.builtin.assert", "ansible.builtin.fail"})
#: Keywords with which a task is more than one call of a module on its own host, or is broken off anywhere in it.
_MORE = ("loop", "loop_with", "delegate_to", "async_val", "debugger", "timeout")
#: Threads of SDKs that a worker may have when a host is done: others have been left to themselves, and hold something.
_HARMLESS = frozenset({"libvirt-events"})
#: Modules of plugins that templates call; and where Ansible's own are.
_TEMPLATES = re.compile(r"(ansible\.plugins|ansible_collections\.\w+\.\w+\.plugins)\.(filter|test|lookup)\.")
_ANSIBLE = str(Path(ansible.__file__).parent) + os.sep


def may_be_kept(task: Any) -> bool:
    """Whether the task is one call on its own host that leaves nothing behind in its process. Where facts are kept on
    disk or elsewhere, workers that are told of them would write them there once more, and later."""
    action = task.resolved_action or ""
    if constants.CACHE_PLUGIN not in ("memory", "ansible.builtin.memory"):
        return False
    return (action.startswith(OURS) or action in PURE) and not any(getattr(task, more, None) for more in _MORE)


def has_been_left_something() -> bool:
    """A module gave up waiting for something that goes on: in a process of its own it would end with that."""
    others = (one for one in threading.enumerate() if one is not threading.main_thread())
    return any(one.name not in _HARMLESS for one in others)


def surroundings() -> tuple[dict[str, str], str]:
    """What of a process a plugin may change for those that come after it."""
    return dict(os.environ), str(Path.cwd())


def has_foreign_templates() -> bool:
    """Whether a filter, test or lookup is loaded that is neither Ansible's nor ours: what it keeps for one host, as a
    login, must not be there for the next."""
    return any(_is_foreign(name, module) for name, module in list(sys.modules.items()))


def _is_foreign(name: str, module: Any) -> bool:
    kind = _TEMPLATES.match(name)
    if kind is None or name.startswith(("ansible_collections.ansible.builtin.", f"ansible_collections.{OURS}")):
        return False
    return not str(getattr(module, "__file__", None) or _ANSIBLE).startswith(_ANSIBLE)
