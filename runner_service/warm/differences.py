# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of one host's variables is not as it is for another: all that a kept worker has to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils._internal._datatag import AnsibleTagHelper


@dataclass(frozen=True)
class Difference:
    """What makes one host's variables another's."""

    changed: dict[str, Any]
    gone: tuple[str, ...]
    #: The same for ``vars``, in which all variables are once more.
    within: Difference | None

    def applied_to(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        made = {name: value for name, value in variables.items() if name not in self.gone} | self.changed
        return made if self.within is None else made | {"vars": self.within.applied_to(variables["vars"])}


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """Afterwards ``applied_to(old)`` equals ``new``."""
    nothing = object()
    changed = {name: value for name, value in new.items() if not _is_same(old.get(name, nothing), value)}
    within = None
    if "vars" in changed and "vars" in old:
        within = difference(old["vars"], changed.pop("vars"))
    return Difference(changed, tuple(name for name in old if name not in new), within)


def _is_same(one: Any, other: Any) -> bool:
    """By identity: equal values may differ in what Ansible has noted of them, as whether they are to be templated."""
    if one is other:
        return True
    if type(one) is not type(other) or AnsibleTagHelper.tags(one) != AnsibleTagHelper.tags(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(_is_same(value, other[key]) for key, value in one.items())
    return False
