# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: runs one job as a playbook and says how it went."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nacl.public import PrivateKey

from ..contract.messages import Job
from ..core.steps import Outcome
from ..credentials import Credentials, UnreadableSecret, open_credentials, open_text
from ..logs import about
from ..ports import Work
from .inventory import inventory_of, to_yaml
from .playbook_run import Playbook, run_playbook
from .run_directories import RunDirectories
from .trace import playbook_of, trace_of
from .verdict import Listening, failed, outcome_of
from .watch import Watch

log = logging.getLogger(__name__)


class AnsibleWorker:
    """The JobRunner that runs ``millwright.virt.<operation>``; every run has a private directory of its own."""

    def __init__(
        self, directories: RunDirectories, collections_path: str, key: PrivateKey | None, programs: Path | None = None
    ):
        self._directories = directories
        #: Where ansible-playbook is looked for first: the one of a warm server, maybe.
        self._programs = programs
        self._collections_path = collections_path
        self._key = key

    def run(self, work: Work, cancelled: Callable[[], bool]) -> Outcome:
        with about(request=work.request_id, job=work.job.id, hypervisor=work.hypervisor.id):
            return self._run(work, cancelled)

    def _run(self, work: Work, cancelled: Callable[[], bool]) -> Outcome:
        if cancelled():
            return failed("runner.stopped", f"{tried(work)} was not begun: it was stopped before", begun=False)
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
        watch = Watch(work, directory, cancelled)
        playbook = Playbook(
            name=playbook_of(work), collections_path=self._collections_path, check=work.check, programs=self._programs
        )
        started_at, secrets = datetime.now(UTC), _secrets(work.job, credentials)
        try:
            run_playbook(directory, playbook, heard.hear, watch.is_over)
        except Exception as error:  # noqa: BLE001  # whatever ansible-runner raises: the run has no result
            log.warning("ansible-runner failed: %r", error)
        outcome = outcome_of(heard, tried(work), secrets)
        verdict = _broken_off(work, watch) if outcome.unseen else None
        return replace(verdict or outcome, trace=trace_of(work, heard, started_at, secrets))


def _broken_off(work: Work, watch: Watch) -> Outcome | None:
    """Why nobody saw how the run ended, where it was us who ended it."""
    if watch.passed:
        message = f"{tried(work)} did not end within {watch.seconds} s and was stopped"
        return failed("runner.deadline", message, unseen=True)
    return failed("runner.stopped", f"{tried(work)} was stopped", unseen=True) if watch.stopped else None


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
