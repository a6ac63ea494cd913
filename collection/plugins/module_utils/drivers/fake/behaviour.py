# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a fake hypervisor was told to behave: slow, failing, strict or dead.

``behaviour.json`` beside the state, read at every call::

    {"delays": {"create": 2, "power_*": 0.5},
     "progress": true,
     "failures": [{"operation": "power_on", "vm": "web-*", "times": 1, "error": "driver.busy", "leave": true}],
     "unreachable": false,
     "accounts": {"admin": "password"},
     "deaf_guests": ["db-*"],
     "agents": ["web-*"]}

Operations are the driver's methods, ``power_<action>`` for power. A failure strikes after the delay, when the work is
half done; with ``leave`` it leaves files behind and says so (a delete has then removed one of them); without ``times``
it strikes always. With ``progress`` it is reported during a delay, as of a long copy. With accounts a login is needed.
Deaf guests ignore a shutdown request. Guests with an agent can bring their file systems to rest.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..errors import DriverError


@dataclass(frozen=True)
class Behaviour:
    """One reading of ``behaviour.json``."""

    told: dict[str, Any]

    @property
    def unreachable(self) -> bool:
        return bool(self.told.get("unreachable"))

    @property
    def progress(self) -> bool:
        return bool(self.told.get("progress"))

    def delay(self, operation: str) -> float:
        """Seconds that the operation takes."""
        delays = self.told.get("delays", {})
        return float(next((delays[pattern] for pattern in delays if fnmatchcase(operation, pattern)), 0))

    def rules(self, operation: str, vm: str) -> list[dict[str, Any]]:
        """The failures that concern the operation on the VM, in the order in which they were told."""
        return [
            rule
            for rule in self.told.get("failures", [])
            if fnmatchcase(operation, rule["operation"]) and fnmatchcase(vm, rule.get("vm", "*"))
        ]

    def accepts(self, username: str | None, password: str | None) -> bool:
        accounts = self.told.get("accounts")
        if not accounts:
            return True
        known = accounts.get(username)
        return known is not None and hmac.compare_digest(known.encode(), (password or "").encode())

    def has_agent(self, vm: str) -> bool:
        return any(fnmatchcase(vm, pattern) for pattern in self.told.get("agents", []))

    def is_deaf(self, vm: str) -> bool:
        return any(fnmatchcase(vm, pattern) for pattern in self.told.get("deaf_guests", []))


def strike(rules: list[dict[str, Any]], struck: dict[str, int]) -> dict[str, Any] | None:
    """The rule that strikes now, counted in ``struck``; None if none does."""
    for rule in rules:
        key = json.dumps(rule, sort_keys=True)
        if struck.get(key, 0) < rule.get("times", float("inf")):
            struck[key] = struck.get(key, 0) + 1
            return rule
    return None


def failure(rule: dict[str, Any], tried: str) -> DriverError:
    """The error that the rule tells."""
    kinds = {kind.code: kind for kind in (DriverError, *DriverError.__subclasses__())}
    return kinds[rule.get("error", DriverError.code)](f"{tried} failed", detail="behaviour.json says so")
