# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in vSphere: how they are written there, and what of a VM carries which."""

from __future__ import annotations

import re

#: Characters that a name in the inventory holds as an escape.
_ESCAPES = {"%": "%25", "/": "%2f", "\\": "%5c"}
_CHARACTERS = {escape: plain for plain, escape in _ESCAPES.items()}

#: Extra configuration of a VM of ours: what it is to be, as JSON.
KEPT = "millwright.kept"
#: Extra configuration of a VM that is being made: its identity. Empty or absent once it is whole.
MAKING = "millwright.making"


#: Characters that a name may have, as the inventory keeps it.
LONGEST = 80


def written(name: str) -> str:
    """A name as the inventory keeps it."""
    return re.sub(r"[%/\\]", lambda found: _ESCAPES[found[0]], name)


def read(name: str) -> str:
    """What ``written`` was given."""
    return re.sub(r"(?i:%25|%2f|%5c)", lambda found: _CHARACTERS[found[0].lower()], name)
