# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forgets what ended long ago, a little at a time: the one work of the relay that needs no broker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from ..database import utc_now
from ..services import retention
from ..services.retention import Counts

#: Seconds between two rounds, and within a round between two transactions.
ROUND_SECONDS, PAUSE_SECONDS = 3600.0, 0.2

log = logging.getLogger(__name__)


class Pruning:
    """Several relays may do so."""

    def __init__(self, keep: timedelta, *, ended: threading.Event):
        """``ended`` is set when there is nothing to wait for any more."""
        self._keep = keep
        self._ended = ended

    def run(self, stopping: Callable[[], bool]) -> None:
        """Raises what the database raises when it is gone."""
        while not stopping():
            if gone := self._round(stopping):
                log.info("forgotten, as it ended %d days ago or more: %s", self._keep.days, gone)
            self._ended.wait(ROUND_SECONDS)

    def _round(self, stopping: Callable[[], bool]) -> Counts:
        before, gone = utc_now() - self._keep, Counts()
        while not stopping() and (some := retention.remove_some(before)):
            gone += some
            self._ended.wait(PAUSE_SECONDS)
        return gone
