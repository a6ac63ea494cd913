# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a copy is, which libvirt and qemu-img make without saying anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ... import progress
from .sdk import libvirt

MIB = 1024 * 1024


@contextmanager
def telling(written: Callable[[], int], expected: int) -> Iterator[None]:
    """In the block something is copied; whoever wants to know is told as often as more of it is ``written``. How much
    is ``expected``, in bytes, may turn out too little: nobody knows what an overlay and what is below it are together.
    """
    if not progress.is_wanted():
        yield
        return
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(written, expected, ended), daemon=True, name="libvirt-copy")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(written: Callable[[], int], expected: int, ended: threading.Event) -> None:
    before = 0
    while not ended.wait(progress.EVERY):
        # There may be nothing yet, or nothing any more.
        with suppress(libvirt.libvirtError, OSError):
            now = written()
            if now > before:
                progress.report(now // MIB, max(now, expected) // MIB)
            before = max(now, before)
