# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules are told beside a definition: which VM is meant, and for how long to wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from .drivers.base import VmRef
from .vm.schema import InvalidData, Problem


def ref_of(params: Mapping[str, Any]) -> VmRef:
    """The VM that a name, a uuid or both mean. A VM that others have made may have any name. Raises InvalidData: an
    empty name is a variable that nobody set."""
    name, uuid = params["name"], params["uuid"]
    problems = [Problem("name", "must not be empty")] if name is not None and not name.strip() else []
    if uuid is not None and not _is_uuid(uuid):
        problems.append(Problem("uuid", f"must be a UUID, not {uuid!r}"))
    if problems:
        raise InvalidData(problems)
    known = None if uuid is None else uuid.lower()
    return VmRef(name=name or known or "", uuid=known)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def seconds_of(params: Mapping[str, Any], option: str) -> int:
    """Raises InvalidData."""
    seconds: int = params[option]
    if seconds < 0:
        raise InvalidData([Problem(option, f"must not be negative, as {seconds} is")])
    return seconds
