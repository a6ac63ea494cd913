# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages between the API and the runners.

Frozen, versioned and tolerant: a receiver passes over fields that it does not know, because a newer sender may say
more. ``samples/`` holds one of each; tests compare them with the code. Nothing in a message is ever evaluated or
imported: operations and types are keys of closed tables, and names and texts are data.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from ansible_collections.millwright.virt.plugins.module_utils.vm.parts import DiskFormat
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import (
    InvalidData,
    Problem,
    parse,
    plain,
    rule,
)

from .operations import AUTHORITIES_BY_URL, HYPERVISOR_TYPES
from .states import Event
from .tree import ID, Job, Mode, Task

__all__ = [
    "ErrorReport", "Hypervisor", "InvalidMessage", "Job", "Mode", "SnapshotFacts", "Task", "TaskRequest",
    "TemplateFacts", "Update", "decode", "encode", "holds_password",
]  # fmt: skip

VERSION = 1

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 8
MAX_JOBS = 5_000
#: Tasks and jobs together.
MAX_NODES = 4 * MAX_JOBS
#: What is told of a message that breaks rules: so many problems, in so many characters.
MAX_PROBLEMS, MAX_REASON = 20, 4_000
#: Characters. They go with every request of their hypervisor.
MAX_CA_CERTIFICATES = 32 * 1024

M = TypeVar("M")

_URL_WITH_PASSWORD = re.compile(r"[^/?#]*//[^/?#]*:[^/?#]*@")


class InvalidMessage(ValueError):
    """The message is not one of ours, or breaks a rule; the text says what and where."""

    code = "message.invalid"
    retryable = False


@dataclass(frozen=True, kw_only=True)
class Hypervisor:
    """The hypervisor that a request is for, and how to reach it."""

    id: str = rule("The platform's id of the hypervisor; chooses partition and lane.", pattern=ID)
    type: str = rule("Driver that talks to it.", max_length=32)
    url: str = rule("Where it is, in the driver's words.", max_length=1024)
    sealed_credentials: str | None = rule(
        'JSON {"username", "password"} sealed to the datacenter\'s public key, base64.', None, max_length=16384
    )
    validate_certs: bool = rule("Whether TLS certificates are checked.", default=True)
    ca_certificates: str | None = rule(
        "Certificates, in PEM, of the authorities to trust instead of those of the runner's host.",
        None,
        max_length=MAX_CA_CERTIFICATES,
    )
    open_sessions: int = rule("How many operations may run on it at once.", 2, minimum=1, maximum=256)
    power_passes: bool = rule("Whether power operations may start although all sessions are in use.", default=False)

    def problems(self) -> Iterator[Problem]:
        if self.type not in HYPERVISOR_TYPES:
            yield Problem("type", f"must be one of: {', '.join(HYPERVISOR_TYPES)}; not {self.type!r}")
        if holds_password(self.url):
            yield Problem("url", "must not hold a password, as a URL is shown and kept; give it as a credential")
        if self.ca_certificates is not None:
            yield from self._problems_of_authorities()

    def _problems_of_authorities(self) -> Iterator[Problem]:
        if self.type in AUTHORITIES_BY_URL:
            word = AUTHORITIES_BY_URL[self.type]
            yield Problem("ca_certificates", f"are not for {self.type}; its URL names a directory of theirs: {word}=")
        if not self.validate_certs:
            yield Problem("ca_certificates", "must not be given where validate_certs is false: nobody would use them")


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """Asks a datacenter's runners to carry a task out on one hypervisor."""

    version: int = rule("Version of this message.", VERSION, minimum=1)
    id: str = rule("Identifies the request; a request that comes twice is the same request.", pattern=ID)
    hypervisor: Hypervisor = rule("Where.")
    task: Task = rule("What.")
    requested_at: str = rule("When, RFC 3339 in UTC.")
    requested_by: str = rule("Who asked, for logs and traces.", "", max_length=255)
    tenant: str = rule("Whose work it is: tenants take turns at a hypervisor.", "", max_length=64)
    tenant_sessions: int | None = rule(
        "How many operations of this tenant may run on the hypervisor at once, within open_sessions.",
        None,
        minimum=1,
        maximum=256,
    )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a message. Raises InvalidMessage."""
        return decode(cls, body)

    def encode(self) -> bytes:
        return encode(self)

    def problems(self) -> Iterator[Problem]:
        if self.version > VERSION:
            yield Problem("version", f"{self.version} is newer than {VERSION}, the newest that this side knows")
        jobs = list(self.task.jobs())
        if len(jobs) > MAX_JOBS:
            yield Problem("task", f"has {len(jobs)} jobs; at most {MAX_JOBS} are taken in one request")
        ids = Counter([job.id for job in jobs] + [task.id for task in self.task.tasks()])
        yield from (
            Problem("task", f"the id {node!r} is given {times} times") for node, times in ids.items() if times > 1
        )
        yield from (Problem("task", f"VM {vm} is in several branches that run at once") for vm in _contended(self.task))


def _contended(root: Task) -> list[str]:
    """VMs of which two jobs could run at once: they are in more than one child of a concurrent task."""
    contended: set[str] = set()

    def vms_of(node: Job | Task) -> set[str]:
        if isinstance(node, Job):
            return set() if node.vm_id is None else {node.vm_id}
        together: set[str] = set()
        for below in map(vms_of, node.children):
            if node.mode is Mode.CONCURRENT:
                contended.update(together & below)
            together |= below
        return together

    vms_of(root)
    return sorted(contended)


@dataclass(frozen=True, kw_only=True)
class ErrorReport:
    """Why something failed, for people and for programs."""

    code: str = rule("Stable code, see docs/errors.md.")
    message: str = rule("What was tried on what, and what went wrong.")
    detail: str = rule("The hypervisor's own words.", "")
    retryable: bool = rule("The same request may go well later.", default=False)
    left: tuple[str, ...] = rule("What is left at the hypervisor.", ())
    begun: bool = rule("False: nothing was begun at the hypervisor, so it is as it was.", default=True)


@dataclass(frozen=True, kw_only=True)
class SnapshotFacts:
    """A snapshot that a VM has, as its hypervisor says."""

    name: str = rule("Its name.")
    description: str = rule("What it is for.", "")
    created: int | None = rule("When it was taken, in seconds since the epoch.", None)
    power: str = rule("The power state that going back to it leads to.", "off")
    parent: str | None = rule("Name of the one that it was taken on.", None)
    current: bool = rule("The VM is on this one.", default=False)


@dataclass(frozen=True, kw_only=True)
class TemplateFacts:
    """A template that a hypervisor has."""

    name: str = rule("Its volume, as a definition's disks[].template can name it.")
    format: DiskFormat = rule("Its format.")
    pool: str = rule("Storage pool or datastore that it is in.", "")
    size_mib: int | None = rule("Size in MiB that a guest sees.", None)


@dataclass(frozen=True, kw_only=True)
class Update:
    """Tells the API what became of a task or a job.

    Applied in order of (attempt, sequence); repeated and older ones change nothing.
    """

    version: int = rule("Version of this message.", VERSION, minimum=1)
    request_id: str = rule("The request that this is about.", pattern=ID)
    attempt: int = rule("Which delivery of the request the runner works on, from 1.", minimum=1)
    sequence: int = rule("Counts the updates of an attempt, from 1.", minimum=1)
    node_id: str = rule("The task or job that this is about.", pattern=ID)
    event: Event = rule("What happened.")
    at: str = rule("When, RFC 3339 in UTC, by the runner's clock.")
    runner: str = rule("Which runner says so.", "", max_length=255)
    changed: bool | None = rule("Of a job that is done: whether it changed anything.", None)
    vm: dict[str, Any] | None = rule(
        "Of a job that is done: the VM as observed afterwards (ObservedVm); absent if it is gone. Of an error: as it "
        "was found, if that is why its change was refused.",
        None,
    )
    snapshots: tuple[SnapshotFacts, ...] | None = rule(
        "Of a job on a snapshot that is done or undone, or that read the VM's state: all that its VM has then, a "
        "parent before its children. Absent: nobody looked.",
        None,
    )
    template: TemplateFacts | None = rule("Of a capture that is done: the template that there is.", None)
    host: dict[str, Any] | None = rule("Of a discovery that is done: the hypervisor's facts (HostFacts).", None)
    error: ErrorReport | None = rule("Of an ERROR or ROLLBACK_ERROR: why.", None)
    tries: int | None = rule("Of a job's end: how often it was run.", None)
    trace: dict[str, Any] | None = rule(
        "Of a job's end: what Ansible said of its runs (see docs/traces.md); secrets are removed.", None
    )

    @property
    def may_have_made_it(self) -> bool:
        """Of a job that is done: whether what there is now may be of its making. One that found it there has not made
        it, unless it came again or was tried again: then an earlier run of it may have."""
        return bool(self.changed) or self.attempt > 1 or (self.tries or 1) > 1

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a message. Raises InvalidMessage."""
        return decode(cls, body)

    def encode(self) -> bytes:
        return encode(self)


def holds_password(url: str) -> bool:
    """Whether a URL has a password between its ``//`` and its ``@``."""
    return _URL_WITH_PASSWORD.match(url) is not None


def decode(cls: type[M], body: bytes) -> M:
    """Read a message of the class. Raises InvalidMessage."""
    if len(body) > MAX_BYTES:
        raise InvalidMessage(f"the message has {len(body)} bytes; at most {MAX_BYTES} are taken")
    try:
        raw = json.loads(body)
        _refuse_large(raw)
        return parse(cls, raw, tolerant=True)
    except InvalidMessage:
        raise
    except InvalidData as error:
        raise InvalidMessage(_told(error.problems)) from error
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"not JSON in UTF-8: {error}") from error


def _told(problems: Sequence[Problem]) -> str:
    """The first ones: the text goes with the message to the dead letters, and into the task's error."""
    told = "; ".join(str(problem) for problem in problems[:MAX_PROBLEMS])
    more = len(problems) - MAX_PROBLEMS
    return f"{told[:MAX_REASON]}{f'; and {more} more problems' if more > 0 else ''}"


def _refuse_large(raw: Any) -> None:
    """Bound the nesting and the number of tasks and jobs before anything recurses over them, or looks at what they say:
    that takes some 0.2 ms for each, and who reads messages hears nothing else meanwhile."""
    level, depth, nodes = [raw.get("task")] if isinstance(raw, dict) else [], 0, 0
    while level := [node for node in level if isinstance(node, dict)]:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise InvalidMessage(f"tasks are nested deeper than {MAX_DEPTH}")
        lists = [node["children"] for node in level if isinstance(node.get("children"), list)]
        nodes += sum(map(len, lists))
        if nodes > MAX_NODES:
            raise InvalidMessage(
                f"task: has at least {nodes} tasks and jobs; at most {MAX_JOBS} jobs are taken in one request, and "
                f"{MAX_NODES} of both together"
            )
        level = [child for children in lists for child in children]


def encode(message: Any) -> bytes:
    """The message as it goes over the wire."""
    return json.dumps(plain(message), separators=(",", ":")).encode()
