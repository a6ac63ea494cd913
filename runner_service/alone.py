# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that carries one request out alone (see solitary.py): ``python -m runner_service.alone``."""

from __future__ import annotations

import logging
import os
import sys

from . import bootstrap
from .settings import Settings
from .solitary import read, say_begun

if __name__ == "__main__":
    settings = Settings.from_environment()
    say_begun()
    errand = read(sys.stdin.buffer)
    ended = bootstrap.run_alone(settings, errand, sys.stdin.buffer)
    logging.shutdown()
    # At once: the thread that listens to the runner never ends, and Python's own way out would wait for what it holds.
    os._exit(0 if ended else 1)
