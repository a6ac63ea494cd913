# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The warm server's process: python -m runner_service.warm SOCKET IDLE LIFELINE LOG_FORMAT [room for what runs show]"""

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
    """LIFELINE is a descriptor of a socket at whose other end the starter is, or - for none; IDLE is in seconds."""
    path, idle, lifeline, form = sys.argv[1:5]
    logs.begin("INFO", form)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server(Path(path), Preloaded(), lifeline=None if lifeline == "-" else int(lifeline), idle=float(idle))
    log.info("warm Ansible is ready at %s", path)
    server.serve()


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
