# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the API and of the relay, read from the environment once and passed on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta

#: A hundred years, so that there is a date before which all may go.
MAX_KEEP_DAYS = 36_500


class InvalidSetting(ValueError):
    """A setting cannot be what it is."""


def setting(variable: str, help: str, default: str) -> str:
    """State a setting: the environment variable that gives it, what it is for, and its default."""
    stated: str = field(default=default, metadata={"variable": variable, "help": help})
    return stated


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the API and the relay need to know about their surroundings."""

    database_url: str = setting(
        "DATABASE_URL", "Database, as mysql+pymysql://user:password@host:port/name.", "sqlite:///millwright.sqlite"
    )
    amqp_url: str = setting("AMQP_URL", "Broker that the relay talks to.", "amqp://guest:guest@127.0.0.1:5672/%2F")
    api_bind: str = setting("MILLWRIGHT_API_BIND", "Address and port that the API listens on.", "127.0.0.1:8470")
    window: str = setting(
        "MILLWRIGHT_WINDOW",
        "How many requests that have not ended the relay gives one queue; no more than MILLWRIGHT_PREFETCH of runners.",
        "500",
    )
    relay_bell: str = setting(
        "MILLWRIGHT_RELAY_BELL",
        "Address and port (UDP) at which APIs ring the relay when there is work; port 0: any that is free.",
        "127.0.0.1:0",
    )
    keep_days: str = setting(
        "MILLWRIGHT_KEEP_DAYS",
        "Days for which tasks that have ended, their jobs, events and dead letters are kept; 0: for ever.",
        "90",
    )
    log_format: str = setting("MILLWRIGHT_LOG_FORMAT", "text for people, or json: an object a line.", "text")

    @property
    def window_size(self) -> int:
        """Raises InvalidSetting."""
        if not (self.window.isascii() and self.window.isdigit() and int(self.window)):
            raise InvalidSetting(f"MILLWRIGHT_WINDOW must be a number from 1, not {self.window!r}")
        return int(self.window)

    @property
    def keep(self) -> timedelta | None:
        """None: for ever. Raises InvalidSetting."""
        if not (self.keep_days.isascii() and self.keep_days.isdigit() and int(self.keep_days) <= MAX_KEEP_DAYS):
            raise InvalidSetting(
                f"MILLWRIGHT_KEEP_DAYS must be a number of days to {MAX_KEEP_DAYS}, not {self.keep_days!r}"
            )
        return timedelta(days=int(self.keep_days)) if int(self.keep_days) else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Variables that are unset or empty leave the default."""
        given = {entry.name: environment.get(entry.metadata["variable"]) for entry in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value})


def explained() -> str:
    """The settings as a paragraph for ``--help``."""
    lines = [
        f"{entry.metadata['variable']}  {entry.metadata['help']} Default: {entry.default}" for entry in fields(Settings)
    ]
    return "\b\nEnvironment:\n" + "\n".join(f"  {line}" for line in lines)
