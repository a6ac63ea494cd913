# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One operation of a fake hypervisor on its way: it takes the time, and fails as the hypervisor was told."""

from __future__ import annotations

import time
from pathlib import Path

from ... import progress
from ..base import Connection
from ..errors import Unreachable
from .behaviour import Behaviour, failure, strike
from .store import Store

#: Seconds between two looks at the clock, and two reports, during a long delay.
_SLICE = 0.5


class Work:
    """One operation on its way."""

    def __init__(self, store: Store, operation: str, vm: str):
        self.behaviour = Behaviour(store.behaviour())
        #: Whether the failure that struck leaves its files behind.
        self.leaves = False
        self._store, self._operation, self._vm = store, operation, vm

    def happens(self) -> None:
        """Take the time that was told, and raise the failure that was told."""
        self._take_time()
        rules = self.behaviour.rules(self._operation, self._vm)
        if not rules:
            return
        with self._store.change() as world:
            rule = strike(rules, world.struck)
        if rule:
            self.leaves = bool(rule.get("leave"))
            raise failure(rule, f"{self._operation} of VM {self._vm!r}" if self._vm else self._operation)

    def _take_time(self) -> None:
        delay = self.behaviour.delay(self._operation)
        begun = time.monotonic()
        while (left := begun + delay - time.monotonic()) > 0:
            if self.behaviour.progress:
                progress.report(round(delay - left), round(delay))
            time.sleep(min(left, _SLICE))


def reach(connection: Connection) -> Store:
    """The directory behind a URL. Raises Unreachable."""
    scheme, _colon, path = connection.url.partition("://")
    directory = Path(path)
    if scheme != "fake" or not directory.is_absolute() or not directory.is_dir():
        raise Unreachable(f"nothing answers at {connection.url}", detail=f"{path or connection.url}: no such directory")
    return Store(directory)
