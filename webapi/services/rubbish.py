# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that nobody could read, told of as events."""

from __future__ import annotations

from ..database import transaction
from ..models import Severity
from .events import tell_of_datacenter


@transaction
def tell(datacenter_id: str, queue: str, reason: str) -> None:
    """Note that a message was put aside."""
    tell_of_datacenter(
        Severity.CRITICAL, datacenter_id, f"a message could not be handled and was put into {queue}: {reason}"
    )
