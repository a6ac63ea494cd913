# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's file: whether it is ours, and words in it that mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError

_YAML = (".yml", ".yaml")


def says_plugin(path: str, name: str) -> bool:
    """Whether a file says that it is for this plugin."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines() if path.endswith(_YAML) else []
    except (OSError, ValueError):
        return False
    return any(line.replace('"', "").replace("'", "").split() == ["plugin:", name] for line in lines)


def refuse_unknown(path: str, told: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises AnsibleParserError for an option that there is not: Ansible itself passes over it without a word."""
    known = {alias for name, option in options.items() for alias in (name, *option.get("aliases", ()))}
    for name in told:
        if name not in known:
            close = get_close_matches(str(name), sorted(known), n=1)
            meant = f"; is {close[0]!r} meant?" if close else f"; there are: {', '.join(sorted(known))}"
            raise AnsibleParserError(f"{path}: there is no option {name!r}{meant}")
