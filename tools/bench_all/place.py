# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the benchmark keeps what it needs while it runs; nothing of it is left afterwards but logs."""

from __future__ import annotations

import hashlib

from tools.stack import ROOT

RUN = ROOT / ".run" / "bench"
#: What was installed for it, and what it writes.
BUILD = ROOT / "build"
#: Two checkouts on one machine do not touch each other's VMs.
PREFIX = f"bench-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]}"

SESSIONS = 2


def vm_names(number: int) -> list[str]:
    return [f"{PREFIX}-{place:04}" for place in range(number)]
