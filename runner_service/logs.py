# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runner logs, to stderr."""

from __future__ import annotations

import logging

from .contract.log_lines import FORMS, about
from .settings import InvalidSetting

__all__ = ["about", "begin"]


def begin(level: str, form: str) -> None:
    """Log to stderr from now on. Raises InvalidSetting."""
    if level not in logging.getLevelNamesMapping():
        raise InvalidSetting(f"MILLWRIGHT_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    if form not in FORMS:
        raise InvalidSetting(f"MILLWRIGHT_LOG_FORMAT must be {' or '.join(FORMS)}, not {form!r}")
    handler = logging.StreamHandler()
    handler.setFormatter(FORMS[form]())
    logging.basicConfig(level=level, handlers=[handler])
