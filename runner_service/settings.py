# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a runner: read from the environment once, frozen, and passed to whoever needs them."""

from __future__ import annotations

import dataclasses
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class InvalidSetting(Exception):
    """A setting is missing or has a value that it cannot have; the text names the variable."""


def setting(variable: str, help: str, default: Any = dataclasses.MISSING) -> Any:
    """State a setting: the environment variable that gives it, its help text and its default (none: required)."""
    return dataclasses.field(default=default, metadata={"variable": variable, "help": help})


def _run_dir() -> str:
    """Memory rather than disk, where there is some: runs carry credentials for a moment."""
    shm = "/dev/shm"  # noqa: S108  # run directories inside are private (0700) and have random names
    return shm if os.access(shm, os.W_OK | os.X_OK) else tempfile.gettempdir()


def _starts() -> int:
    """One for each processor that this process may use, and two in any case."""
    return max(2, len(os.sched_getaffinity(0)))


_COLLECTIONS = f"{Path.home()}/.ansible/collections:/usr/share/ansible/collections"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Times are in seconds."""

    amqp_url: str = setting("AMQP_URL", "Broker to take requests from and to report to.", "amqp://127.0.0.1:5672/%2F")
    datacenter: str = setting("MILLWRIGHT_DATACENTER", "Id of the datacenter that this runner serves.")
    partitions: int = setting("MILLWRIGHT_PARTITIONS", "Number of the datacenter's request queues.", 4)
    private_key_file: str = setting(
        "MILLWRIGHT_PRIVATE_KEY_FILE", "File with the key that opens sealed credentials (millwright runner keygen).", ""
    )
    run_dir: str = setting("MILLWRIGHT_RUN_DIR", "Directory for the files of runs, best in memory.", _run_dir())
    collections_path: str = setting(
        "MILLWRIGHT_COLLECTIONS_PATH", "Where the collection millwright.virt is found.", _COLLECTIONS
    )
    name: str = setting("MILLWRIGHT_RUNNER_NAME", "What the runner calls itself in reports.", socket.gethostname())
    max_runs: int = setting("MILLWRIGHT_MAX_RUNS", "How many operations run at once, over all hypervisors.", 64)
    starts: int = setting(
        "MILLWRIGHT_STARTS", "How many playbooks are at their start at once: that takes a processor.", _starts()
    )
    prefetch: int = setting("MILLWRIGHT_PREFETCH", "How many requests are taken from one queue before one ends.", 500)
    warm: bool = setting(
        "MILLWRIGHT_WARM", "yes or no: keep Ansible loaded, so that runs begin at once, for some 80 MB.", default=True
    )
    max_tries: int = setting("MILLWRIGHT_MAX_TRIES", "How often a job is tried whose error may pass.", 3)
    retry_delay: float = setting("MILLWRIGHT_RETRY_DELAY", "Pause before the second try; it doubles each time.", 1.0)
    fence: float = setting(
        "MILLWRIGHT_FENCE",
        "Pause before work is taken over from a runner that broke off, until it has surely ended.",
        3.0,
    )
    cancel_patience: float = setting(
        "MILLWRIGHT_CANCEL_PATIENCE",
        "Time that undoing a job of a cancelled task may take; then it is given up, and the VM's state is UNKNOWN.",
        30.0,
    )
    login_idle: float = setting(
        "MILLWRIGHT_LOGIN_IDLE", "How long a login that runs share is kept when nobody uses it.", 300.0
    )
    grace: float = setting("MILLWRIGHT_GRACE", "Time that running jobs have to end after SIGTERM.", 60.0)
    log_level: str = setting("MILLWRIGHT_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR.", "INFO")
    log_format: str = setting("MILLWRIGHT_LOG_FORMAT", "text for people, or json: an object a line.", "text")
    metrics_bind: str = setting(
        "MILLWRIGHT_METRICS_BIND", "Address and port that figures for Prometheus are served at; empty: nowhere.", ""
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises InvalidSetting."""
        given = {
            field.name: _read(field, environment[field.metadata["variable"]])
            for field in dataclasses.fields(cls)
            if environment.get(field.metadata["variable"])
        }
        missing = [field for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
        for field in missing:
            if field.name not in given:
                raise InvalidSetting(f"{field.metadata['variable']} is required: {field.metadata['help']}")
        return cls(**given)

    @classmethod
    def describe(cls) -> str:
        """A paragraph for --help: each variable, its meaning and its default."""
        return "\n".join(
            f"  {field.metadata['variable']}: {field.metadata['help']}"
            + ("" if field.default in (dataclasses.MISSING, "") else f" [{_shown(field.default)}]")
            for field in dataclasses.fields(cls)
        )


def _shown(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _yes_or_no(text: str) -> bool:
    return {"yes": True, "no": False}[text]


_READERS: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float, "bool": _yes_or_no}
_WANTED = {"bool": "yes or no"}


def _read(field: dataclasses.Field[Any], text: str) -> Any:
    try:
        value = _READERS[str(field.type)](text)
    except (ValueError, KeyError):
        wanted = _WANTED.get(str(field.type), "a number")
        raise InvalidSetting(f"{field.metadata['variable']} must be {wanted}, not {text!r}") from None
    if not isinstance(value, (bool, str)) and value <= 0:
        raise InvalidSetting(f"{field.metadata['variable']} must be above 0, not {text}")
    return value
