# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: runs one job as a playbook and says how it went."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nacl.public import PrivateKey

from ..contract.messages import Job
from ..contract.operations import OPERATIONS
from ..core.steps import Outcome
from ..credentials import Credentials, UnreadableSecret, open_credentials, open_text
from ..ports import Work
from .inventory import inventory_of, to_yaml
from .playbook_run import run_playbook
from .run_directories import RunDirectories, end_processes_of
from .verdict import Listening, failed, outcome_of

log = logging.getLogger(__name__)


class AnsibleWorker:
    """The JobRunner that runs ``millwright.virt.<operation>``; every run has a private directory of its own."""

    def __init__(self, directories: RunDirectories, collections_path: str, key: PrivateKey | None):
        self._directories = directories
        self._collections_path = collections_path
        self._key = key

    def run(self, work: Work, cancelled: Callable[[], bool]) -> Outcome:
        try:
            credentials = open_credentials(work.hypervisor.sealed_credentials, self._key)
            opened = replace(work, job=with_user_data(work.job, self._key))
        except UnreadableSecret as error:
            return failed(error.code, f"{tried(work)} was not begun: {error}", begun=False)
        with self._directories.new() as directory:
            return self._run_in(directory, opened, credentials, cancelled)

    def _run_in(self, directory: Path, work: Work, credentials: Credentials, cancelled: Callable[[], bool]) -> Outcome:
        try:
            _write_files(directory, work, credentials)
        except OSError as error:
            return failed("runner.failed", f"{tried(work)} was not begun: {error.strerror} in {directory}", begun=False)
        heard = Listening(f"Millwright: {work.job.operation}")
        deadline = Deadline(work.job, directory, cancelled)
        playbook = f"millwright.virt.{work.job.operation}"
        try:
            run_playbook(directory, playbook, self._collections_path, heard.hear, deadline.is_over)
        except Exception as error:  # noqa: BLE001  # whatever ansible-runner raises: the run has no result
            log.warning("request %s: job %s: ansible-runner failed: %r", work.request_id, work.job.id, error)
        if heard.result is None and deadline.passed:
            return failed("runner.deadline", f"{tried(work)} did not end within {deadline.seconds} s and was stopped")
        return outcome_of(heard, tried(work), _secrets(work.job, credentials))


class Deadline:
    """When a run is ended before it ends by itself: its time is over, or the runner stops."""

    def __init__(self, job: Job, directory: Path, cancelled: Callable[[], bool]):
        self.seconds = OPERATIONS[job.operation].deadline + (job.timeout or 0)
        self.passed = False
        self._end = time.monotonic() + self.seconds
        self._directory = directory
        self._cancelled = cancelled

    def is_over(self) -> bool:
        self.passed = time.monotonic() > self._end
        if not (self.passed or self._cancelled()):
            return False
        # Here and not after the run, because ansible-runner waits for all who hold the terminal.
        end_processes_of(self._directory)
        return True


def with_user_data(job: Job, key: PrivateKey | None) -> Job:
    """The job whose definition has the user data that came sealed. Raises UnreadableSecret."""
    if job.sealed_user_data is None or job.definition is None:
        return job
    user_data = open_text("the cloud-init user data", job.sealed_user_data, key)
    cloud_init = {**(job.definition.get("cloud_init") or {}), "user_data": user_data}
    return replace(job, definition={**job.definition, "cloud_init": cloud_init}, sealed_user_data=None)


def tried(work: Work) -> str:
    """What was tried on what, for messages."""
    name = (work.job.definition or {}).get("name")
    vm = f" of VM {name!r}" if name else ""
    return f"{work.job.operation}{vm} on {work.hypervisor.type} {work.hypervisor.url}"


def _write_files(directory: Path, work: Work, credentials: Credentials) -> None:
    credentials_file = None
    if credentials != Credentials():
        credentials_file = directory / "credentials.json"
        _write_private(credentials_file, credentials.to_json())
    _write_private(directory / "inventory.yml", to_yaml(inventory_of(work, credentials_file)))


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")


def _secrets(job: Job, credentials: Credentials) -> tuple[str, ...]:
    cloud_init = (job.definition or {}).get("cloud_init") or {}
    return tuple(text for text in (credentials.password, cloud_init.get("user_data")) if text)
