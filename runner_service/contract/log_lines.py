# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lines of all services' logs look like, for people or for programs, and how they say what they are about: so
that one search finds a task in all of them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


@contextmanager
def about(**what: str | None) -> Iterator[None]:
    """Lines that this thread logs meanwhile are about this, beside what they are about already: ``datacenter``,
    ``request``, ``task``, ``job`` and ``hypervisor`` are ids. None says nothing."""
    token = _ABOUT.set({**_ABOUT.get(), **{name: value for name, value in what.items() if value is not None}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class TextForm(logging.Formatter):
    """A line as people read it; at its end, ``request=... job=...``."""

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
