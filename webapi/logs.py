# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What API and relay log: lines for people or for programs, each of which says what it is about. The same lines as the
runner's, so that one search finds a task in all of them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


class InvalidFormat(ValueError):
    """There is no such form of a log."""


@contextmanager
def about(**what: str | None) -> Iterator[None]:
    """Lines that this thread logs meanwhile are about this, beside what they are about already: ``datacenter``,
    ``request`` and ``task`` are ids. None says nothing."""
    token = _ABOUT.set({**_ABOUT.get(), **{name: value for name, value in what.items() if value is not None}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class TextForm(logging.Formatter):
    """A line as people read it; at its end, ``request=... task=...``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        return " ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in _ABOUT.get().items())])


class JsonForm(logging.Formatter):
    """An object a line; what it is about are keys of it."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "at": f"{at}.{int(record.msecs):03}Z", "level": record.levelname, "logger": record.name,
            "thread": record.threadName, "message": record.getMessage(), **_ABOUT.get(),
        }  # fmt: skip
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


FORMS: Mapping[str, type[logging.Formatter]] = {"text": TextForm, "json": JsonForm}


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
