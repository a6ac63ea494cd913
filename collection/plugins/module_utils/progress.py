# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long operation is, for whoever started the playbook and would give it up.

The environment variable ``MILLWRIGHT_PROGRESS_FILE`` names a file that is written each time. Without it nothing
happens.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "MILLWRIGHT_PROGRESS_FILE"
#: Seconds between two reports; more often they are passed over.
EVERY = 1.0

_last = float("-inf")


def is_wanted() -> bool:
    return bool(os.environ.get(VARIABLE))


def report(done: int, total: int) -> None:
    """So much of the total is done, in whatever unit. Call it as often as you like, and only after something was done:
    it says that the operation is alive. Never fails, as nothing depends on it."""
    global _last
    file = os.environ.get(VARIABLE)
    if not file or time.monotonic() - _last < EVERY:
        return
    _last = time.monotonic()
    with suppress(OSError):
        written = Path(f"{file}.{os.getpid()}")
        written.write_text(json.dumps({"done": done, "total": total}), encoding="utf-8")
        written.replace(file)
