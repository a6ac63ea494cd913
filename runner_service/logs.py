# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runner logs, to stderr."""

from __future__ import annotations

import logging

from .contract.log_lines import FORMS, about
from .settings import InvalidSetting

__all__ = ["about", "begin"]


#: What of a process is ours: all else in it is Ansible's and its plugins'.
OURS = __name__.partition(".")[0]


def begin(level: str, form: str, *, ours_alone: bool = False) -> None:
    """Log to stderr from now on; ``ours_alone``: only what is said by our own modules, and leave the rest of Python's
    logging to whoever is loaded into the process later. Raises InvalidSetting."""
    if level not in logging.getLevelNamesMapping():
        raise InvalidSetting(f"MILLWRIGHT_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    if form not in FORMS:
        raise InvalidSetting(f"MILLWRIGHT_LOG_FORMAT must be {' or '.join(FORMS)}, not {form!r}")
    handler = logging.StreamHandler()
    handler.setFormatter(FORMS[form]())
    if ours_alone:
        own = logging.getLogger(OURS)
        own.setLevel(level)
        own.addHandler(handler)
        own.propagate = False
    else:
        logging.basicConfig(level=level, handlers=[handler])
