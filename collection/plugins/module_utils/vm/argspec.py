# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible argument spec of a VM definition, made from the definition itself."""

from __future__ import annotations

from typing import Any

from .definition import VmDefinition
from .schema import FieldSpec, fields_of, plain

_TYPES = {"enum": "str", "object": "dict", "any": "raw"}


def argument_spec(cls: type = VmDefinition) -> dict[str, dict[str, Any]]:
    """Options for AnsibleModule. Limits beyond type and choices are checked by VmDefinition.from_dict."""
    return {spec.name: _option(spec) for spec in fields_of(cls)}


def _option(spec: FieldSpec) -> dict[str, Any]:
    kind = _TYPES.get(spec.kind, spec.kind)
    option: dict[str, Any] = {"type": "list", "elements": kind} if spec.many else {"type": kind}
    if spec.required:
        option["required"] = True
    if spec.choices:
        option["choices"] = list(spec.choices)
    if spec.kind == "object":
        option["options"] = argument_spec(spec.types[0])
    elif _plain_default(spec):
        option["default"] = plain(spec.default)
    if spec.rule.secret:
        option["no_log"] = True
    return option


def _plain_default(spec: FieldSpec) -> bool:
    """Defaults of lists and mappings stay in the definition: Ansible shows them badly and shares them between hosts."""
    return not spec.required and not spec.many and spec.kind != "dict" and spec.default not in (None, "")
