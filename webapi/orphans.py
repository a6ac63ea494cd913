# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No process of the API outlives the one that started it: it would hold the port, and serve with nobody in charge."""

from __future__ import annotations

import ctypes
import os
import signal

#: prctl(2): which signal a process is sent when its parent dies.
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """From now on this process dies when ``parent``, which forked it, does, however that comes.

    It is killed, as its parent was: to let it end its requests in peace would keep the port for as long as they take,
    and what a killed process leaves is whole. On a system without prctl nothing happens."""
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is None:
        return
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # It died just before.
        os.kill(os.getpid(), signal.SIGKILL)
