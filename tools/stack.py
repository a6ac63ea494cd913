# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform's own processes on one machine: API, relay and runner, as the demo and the end-to-end tests run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx

from tools.private_files import write_private
from tools.processes import Background
from tools.services import Services
from tools.waiting import wait_until

ROOT = Path(__file__).parent.parent
MILLWRIGHT = str(Path(sys.executable).parent / "millwright")

READY_TIMEOUT = 60


class CommandFailed(Exception):
    """A command of Millwright's failed; the message holds what it said."""


@dataclass(frozen=True)
class Stack:
    """Where the processes keep their files, what they talk to, and where the API listens."""

    directory: Path
    services: Services
    bind: str

    @property
    def api_url(self) -> str:
        return f"http://{self.bind}"

    @property
    def api(self) -> Background:
        return Background(self.directory, "api")

    @property
    def relay(self) -> Background:
        return Background(self.directory, "relay")

    @property
    def runner(self) -> Background:
        return Background(self.directory, "runner")

    def migrate(self) -> None:
        self._millwright("db", "upgrade")

    def token(self, name: str) -> str:
        """A token of this name, made at the first call and kept in a private file."""
        path = self.directory / f"{name}.token"
        if not path.exists():
            write_private(path, self._millwright("token", "create", name).split()[-1])
        return path.read_text()

    def public_key(self) -> str:
        """The runner's public key; the pair is made at the first call."""
        path = self.directory / "runner.pub"
        if not path.exists():
            self._private_key.unlink(missing_ok=True)
            path.write_text(self._millwright("runner", "keygen", "--out", str(self._private_key)).split()[-1])
        return path.read_text()

    def start_api(self) -> None:
        """Afterwards the API answers."""
        self._start(self.api, ["api"])
        wait_until(self._api_answers, READY_TIMEOUT, f"an answer from {self.api_url}, see {self.api.log}")

    def start_relay(self) -> None:
        self._start(self.relay, ["relay"])

    def start_runner(self, datacenter_id: str) -> None:
        """It takes a moment until it consumes; requests wait for it."""
        settings = {
            "MILLWRIGHT_DATACENTER": datacenter_id,
            "MILLWRIGHT_PRIVATE_KEY_FILE": str(self._private_key),
            "MILLWRIGHT_COLLECTIONS_PATH": str(ROOT / ".collections"),
        }
        self._start(self.runner, ["runner", "run"], **settings)

    def _start(self, process: Background, command: list[str], **settings: str) -> None:
        """Afterwards the process runs with these settings; one that runs with others is stopped first."""
        settings |= self._settings()
        kept = self.directory / f"{process.name}.settings"
        if process.pid() and kept.exists() and json.loads(kept.read_text()) != settings:
            process.stop()
        if process.pid() is None:
            write_private(kept, json.dumps(settings))
        process.start([MILLWRIGHT, *command], {**_inherited(), **settings})

    def require(self) -> None:
        """Raise ProcessEnded if one of the processes is gone."""
        for process in (self.api, self.relay, self.runner):
            process.require()

    def stop(self) -> None:
        for process in (self.runner, self.relay, self.api):
            process.stop()

    @property
    def _private_key(self) -> Path:
        return self.directory / "runner.key"

    def _api_answers(self) -> bool:
        self.api.require()
        try:
            return httpx.get(f"{self.api_url}/api/v1/health", trust_env=False, timeout=5).is_success
        except httpx.TransportError:
            return False

    def _settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.services.database_url,
            "AMQP_URL": self.services.amqp_url,
            "MILLWRIGHT_API_BIND": self.bind,
            "PYTHONUNBUFFERED": "1",
        }

    def _millwright(self, *arguments: str) -> str:
        environment = {**_inherited(), **self._settings()}
        done = subprocess.run([MILLWRIGHT, *arguments], capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise CommandFailed(f"`millwright {' '.join(arguments)}` failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def _inherited() -> dict[str, str]:
    """Settings of ours that the caller's shell happens to have do not count."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MILLWRIGHT_")}
