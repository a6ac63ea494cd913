# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that is told to stop does not just vanish: it gives up what it waits for, and leaves in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: What somebody who wants a module to stop sends it; Ansible passes both on to its workers.
_STOPPING = (signal.SIGTERM, signal.SIGINT)
#: The status of a process that a signal has ended is this much and its number.
_ENDED = 128


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Being told to stop is an exception in the block, SystemExit. Being told once more is what it was before; a signal
    that is ignored stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _STOPPING}
    before = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}

    def stop(number: int, _frame: FrameType | None) -> None:
        _restore(before)
        raise SystemExit(_ENDED + number)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        _restore(before)


def _restore(before: dict[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
