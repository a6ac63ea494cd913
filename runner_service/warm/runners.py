# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The warm server of a runner: the process."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from types import FrameType

from .. import logs
from .playbooks import Preloaded
from .server import Server

log = logging.getLogger(__name__)


def main() -> None:
    """python -c ... SOCKET LIFELINE LOG_FORMAT [room for what runs show]; LIFELINE is the descriptor of a socket: the
    runner is at its other end."""
    path, lifeline, form = sys.argv[1:4]
    logs.begin("INFO", form, ours_alone=True)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server(Path(path), Preloaded(), lifeline=int(lifeline))
    log.info("warm Ansible is ready at %s", path)
    server.serve()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
