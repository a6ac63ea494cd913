# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: runs a batch of jobs as one playbook, and says of each how it went."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey

from ..contract.messages import Hypervisor, Job
from ..core.steps import Outcome
from ..credentials import Credentials, UnreadableSecret, open_credentials, open_text
from ..logs import about
from ..ports import NOT_BEGUN, Batch, Ear, Work
from .hearing import Hearing, tried
from .inventory import LoginFiles, connection_of, inventory_of, inventory_of_logins, to_yaml
from .logins import Login, Logins
from .playbook_run import Playbook, run_playbook
from .run_directories import RunDirectories, end_processes_of
from .trace import playbook_of
from .verdict import failed
from .watch import Watch, seconds_for

log = logging.getLogger(__name__)

#: Of so many hypervisors at once somebody is logged out.
_LOGOUTS = 8


class AnsibleWorker:
    """The JobRunner that runs ``millwright.virt.<operation>``; every run has a private directory of its own."""

    def __init__(
        self,
        directories: RunDirectories,
        collections_path: str,
        key: PrivateKey | None,
        programs: Path | None = None,
        logins: Logins | None = None,
    ):
        self._directories = directories
        #: Without them each job logs in for itself.
        self.logins = logins
        #: Where ansible-playbook is looked for first: the one of a warm server, maybe.
        self._programs = programs
        self._collections_path = collections_path
        self._key = key

    def run(self, batch: Batch, ear: Ear) -> None:
        first = batch.works[0]
        with about(request=first.request_id, job=first.job.id, hypervisor=first.hypervisor.id):
            if ear.cancelled():
                for work in batch.works:
                    ear.ended(work, failed(NOT_BEGUN, f"{tried(work)} was not begun: it was stopped", begun=False))
                return
            opened, credentials = self._opened(batch, ear.ended)
            if opened:
                told = replace(ear, ended=_of_the_given(batch, ear.ended))
                self._run(replace(batch, works=opened), credentials, told)

    def _opened(self, batch: Batch, ended: Callable[[Work, Outcome], None]) -> tuple[tuple[Work, ...], Credentials]:
        """The jobs with what came sealed, and the credentials; those that cannot be opened have ended."""
        opened, credentials = [], Credentials()
        for work in batch.works:
            try:
                credentials = open_credentials(work.hypervisor.sealed_credentials, self._key)
                opened.append(replace(work, job=with_user_data(work.job, self._key)))
            except UnreadableSecret as error:
                ended(work, failed(error.code, f"{tried(work)} was not begun: {error}", begun=False))
        return tuple(opened), credentials

    def _run(self, batch: Batch, credentials: Credentials, ear: Ear) -> None:
        hearing = Hearing(batch.works, lambda work: _secrets(work.job, credentials), _task_of(batch), ear)
        with self._directories.new() as directory, self._session_file(batch.hypervisor, credentials) as session_file:
            try:
                files = _write_files(directory, "", batch.hypervisor, credentials, session_file)
                _write_inventory(directory, inventory_of(batch.works, files))
            except OSError as error:
                reason = f"was not begun: {error.strerror} in {directory}"
                hearing.over(lambda job: failed("runner.failed", f"{tried(job.work)} {reason}", begun=False))
                return
            watch = Watch(hearing, directory, ear.cancelled)
            try:
                run_playbook(directory, self._playbook(batch), hearing.hear, watch.is_over)
            except Exception as error:  # noqa: BLE001  # whatever ansible-runner raises: the run has no result
                log.warning("ansible-runner failed: %r", error)
            hearing.over(lambda job: _broken_off(job.work, watch))

    @contextmanager
    def _session_file(self, hypervisor: Hypervisor, credentials: Credentials) -> Iterator[Path | None]:
        if self.logins is None:
            yield None
        else:
            with self.logins.using(hypervisor, credentials) as path:
                yield path

    def log_out(self, kept: Sequence[Login], seconds: float) -> None:
        """End sessions that nobody uses, within so many seconds. Afterwards their files are gone; a session that could
        not be ended is left to its hypervisor's own timeout, and is told of in the log."""
        try:
            with self._directories.new() as directory:
                connections = [self._connection(directory, f"{n}-", login) for n, login in enumerate(kept)]
                _write_inventory(directory, inventory_of_logins(connections))
                self._run_logout(directory, len(kept), seconds)
        except Exception as error:  # noqa: BLE001  # whatever ansible-runner raises
            log.warning("logging out failed: %s", type(error).__name__)
        for login in kept:
            if login.session_file.exists():
                log.warning("a session at %s is left to its own timeout", login.hypervisor.url)
            login.session_file.unlink(missing_ok=True)

    def _connection(self, directory: Path, prefix: str, login: Login) -> dict[str, Any]:
        credentials = open_credentials(login.hypervisor.sealed_credentials, self._key)
        files = _write_files(directory, prefix, login.hypervisor, credentials, login.session_file)
        return connection_of(login.hypervisor, files)

    def _run_logout(self, directory: Path, count: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        playbook = Playbook(
            name="millwright.virt.logout", collections_path=self._collections_path, forks=min(count, _LOGOUTS),
            programs=self._programs,
        )  # fmt: skip

        def is_over() -> bool:
            if time.monotonic() < until:
                return False
            end_processes_of(directory)
            return True

        run_playbook(directory, playbook, lambda _event: False, is_over)

    def _playbook(self, batch: Batch) -> Playbook:
        first = batch.works[0]
        return Playbook(
            name=playbook_of(first), collections_path=self._collections_path, check=first.check,
            forks=batch.sessions, programs=self._programs,
        )  # fmt: skip


def _of_the_given(batch: Batch, ended: Callable[[Work, Outcome], None]) -> Callable[[Work, Outcome], None]:
    """Whoever is told gets the job as it was given, without what was opened here."""
    given = {work.id: work for work in batch.works}
    return lambda work, outcome: ended(given[work.id], outcome)


def _task_of(batch: Batch) -> str:
    """The task of the operation's playbook whose result is the job's."""
    return f"Millwright: {batch.works[0].job.operation}"


def _broken_off(work: Work, watch: Watch) -> Outcome | None:
    """Why nobody saw how the job ended, where it was us who ended the run."""
    if work.id in watch.passed:
        seconds = seconds_for(work.job, check=work.check)
        message = f"{tried(work)} did not end within {seconds} s and was stopped"
        return failed("runner.deadline", message, unseen=True)
    if watch.stopped:
        return failed("runner.stopped", f"{tried(work)} was stopped", unseen=True)
    if watch.passed:
        ended = failed("runner.no_result", f"{tried(work)} was ended with another job of its run", unseen=True)
        return replace(ended, innocent=True)
    return None


def with_user_data(job: Job, key: PrivateKey | None) -> Job:
    """The job whose definition has the user data that came sealed. Raises UnreadableSecret."""
    if job.sealed_user_data is None or job.definition is None:
        return job
    user_data = open_text("the cloud-init user data", job.sealed_user_data, key)
    cloud_init = {**(job.definition.get("cloud_init") or {}), "user_data": user_data}
    return replace(job, definition={**job.definition, "cloud_init": cloud_init}, sealed_user_data=None)


def _write_files(
    directory: Path, prefix: str, hypervisor: Hypervisor, credentials: Credentials, session_file: Path | None
) -> LoginFiles:
    """What a login takes, in files whose names begin so."""
    known = None if credentials == Credentials() else credentials.to_json()
    return LoginFiles(
        credentials=_written(directory / f"{prefix}credentials.json", known),
        authorities=_written(directory / f"{prefix}ca.pem", hypervisor.ca_certificates),
        session=session_file,
    )


def _written(path: Path, text: str | None) -> Path | None:
    """The path; None if there is nothing to write."""
    if text is None:
        return None
    _write_private(path, text)
    return path


def _write_inventory(directory: Path, inventory: dict[str, Any]) -> None:
    _write_private(directory / "inventory.yml", to_yaml(inventory))


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")


def _secrets(job: Job, credentials: Credentials) -> tuple[str, ...]:
    cloud_init = (job.definition or {}).get("cloud_init") or {}
    return tuple(text for text in (credentials.password, cloud_init.get("user_data")) if text)
