# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What API and relay log, to stderr."""

from __future__ import annotations

from typing import Any

from runner_service.contract.log_lines import FORMS, about

__all__ = ["InvalidFormat", "about", "configuration"]


class InvalidFormat(ValueError):
    """There is no such form of a log."""


def configuration(form: str) -> dict[str, Any]:
    """For logging.config, and for gunicorn, whose own lines then look the same. Raises InvalidFormat."""
    if form not in FORMS:
        raise InvalidFormat(f"MILLWRIGHT_LOG_FORMAT must be {' or '.join(FORMS)}, not {form!r}")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": FORMS[form]}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "loggers": {
            # What pika says of a lost connection, we say too.
            "pika": {"level": "WARNING"},
            "alembic": {"level": "WARNING"},
            "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
            # A proxy in front of the API logs requests better.
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
        },
    }
