# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which failures are tried again, and when."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from .steps import Outcome


@dataclass(frozen=True, kw_only=True)
class RetryRule:
    """Exponential back-off with a bound on tries. Times in seconds."""

    max_tries: int = 3
    first_delay: float = 1.0
    max_delay: float = 30.0

    def delay_after(self, outcome: Outcome, job_id: str, tries: int) -> float | None:
        """Seconds until the next try of a job that was tried ``tries`` times; None: it is not tried again.

        The jitter (a quarter either way) follows from the job and the try, so that this is a function and jobs that
        failed together do not come back together.
        """
        if outcome.error is None or not outcome.error.retryable or tries >= self.max_tries:
            return None
        spread = zlib.crc32(f"{job_id}/{tries}".encode()) / 2**32
        return min(self.max_delay, self.first_delay * 2.0 ** (tries - 1)) * (0.75 + spread / 2)
