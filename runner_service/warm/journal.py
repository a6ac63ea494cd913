# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes the variables of a play while it runs, for workers that were forked before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: A method of the variable manager, and what it was called with.
Entry = tuple[str, tuple[Any, ...], dict[str, Any]]


class Journal:
    """What has changed the variables of a play since a point in time, as far as anybody has still to be told."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._forgotten = 0
        #: Whether anybody has to be told of what comes.
        self.is_read: Callable[[], bool] = lambda: True

    @property
    def length(self) -> int:
        return self._forgotten + len(self._entries)

    def since(self, length: int) -> list[Entry]:
        return self._entries[length - self._forgotten :]

    def forget(self, length: int) -> None:
        """All have been told of as much."""
        del self._entries[: max(0, length - self._forgotten)]
        self._forgotten = max(length, self._forgotten)

    def keep(self, owner: Any, method: str) -> None:
        """From now on, calls of this method are entries."""
        original = getattr(owner, method)

        def kept(*arguments: Any, **named: Any) -> Any:
            if self.is_read():
                self._entries.append((method, arguments, named))
            return original(*arguments, **named)

        setattr(owner, method, kept)
