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
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeVar

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import (
    InvalidData,
    Problem,
    parse,
    plain,
    rule,
)

from .operations import HYPERVISOR_TYPES, OPERATIONS, Operation
from .states import Event

VERSION = 1

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 8
MAX_JOBS = 5_000

M = TypeVar("M")

_ID = r"[A-Za-z0-9_.-]{1,64}"
_URL_WITH_PASSWORD = re.compile(r"[^/?#]*//[^/?#]*:[^/?#]*@")


class InvalidMessage(ValueError):
    """The message is not one of ours, or breaks a rule; the text says what and where."""

    code = "message.invalid"
    retryable = False


class Mode(StrEnum):
    SEQUENTIAL = "sequential"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A leaf: one operation on one VM (on the hypervisor itself, if the operation needs no VM)."""

    KIND: ClassVar[str] = "job"

    id: str = rule("Identifies the job, over all tasks.", pattern=_ID)
    operation: Operation = rule("What to do.")
    vm_id: str | None = rule("The platform's id of the VM; jobs of one VM never run at once.", None, pattern=_ID)
    #: Read strictly even in a message: a field that we do not know would make a VM that was not asked for.
    definition: dict[str, Any] | None = rule("The VM as it is to be (VmDefinition).", None)
    previous: dict[str, Any] | None = rule("For reconfigure: the VM as the platform last knew it.", None)
    sealed_user_data: str | None = rule(
        "The definition's cloud_init.user_data, sealed as credentials are; then the definition is without it.",
        None,
        max_length=360_000,
    )
    timeout: int | None = rule("Seconds for operations that wait for the guest.", None, minimum=1, maximum=86_400)

    def problems(self) -> Iterator[Problem]:
        if OPERATIONS[self.operation].needs_vm and (self.definition is None or self.vm_id is None):
            yield Problem("definition", f"{self.operation} needs a VM: vm_id and definition")
        for name in ("definition", "previous"):
            yield from _definition_problems(name, getattr(self, name))

    @property
    def vm(self) -> VmDefinition | None:
        return None if self.definition is None else VmDefinition.from_dict(self.definition)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Jobs and tasks that run in order or at once."""

    KIND: ClassVar[str] = "task"

    id: str = rule("Identifies the task.", pattern=_ID)
    mode: Mode = rule("Whether the children run in order or at once.", Mode.SEQUENTIAL)
    children: tuple[Job | Task, ...] = rule("What the task consists of.")
    atomic: bool = rule("Of a concurrent task: one child's failure rolls its siblings back.", default=False)

    def problems(self) -> Iterator[Problem]:
        if not self.children:
            yield Problem("children", "must not be empty")

    def jobs(self) -> Iterator[Job]:
        """All jobs below, in order."""
        for child in self.children:
            if isinstance(child, Job):
                yield child
            else:
                yield from child.jobs()

    def tasks(self) -> Iterator[Task]:
        """This task and all tasks below, from the top."""
        yield self
        for child in self.children:
            if isinstance(child, Task):
                yield from child.tasks()


@dataclass(frozen=True, kw_only=True)
class Hypervisor:
    """The hypervisor that a request is for, and how to reach it."""

    id: str = rule("The platform's id of the hypervisor; chooses partition and lane.", pattern=_ID)
    type: str = rule("Driver that talks to it.", max_length=32)
    url: str = rule("Where it is, in the driver's words.", max_length=1024)
    sealed_credentials: str | None = rule(
        'JSON {"username", "password"} sealed to the datacenter\'s public key, base64.', None, max_length=16384
    )
    validate_certs: bool = rule("Whether TLS certificates are checked.", default=True)
    open_sessions: int = rule("How many operations may run on it at once.", 2, minimum=1, maximum=256)
    power_passes: bool = rule("Whether power operations may start although all sessions are in use.", default=False)

    def problems(self) -> Iterator[Problem]:
        if self.type not in HYPERVISOR_TYPES:
            yield Problem("type", f"must be one of: {', '.join(HYPERVISOR_TYPES)}; not {self.type!r}")
        if holds_password(self.url):
            yield Problem("url", "must not hold a password, as a URL is shown and kept; give it as a credential")


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """Asks a datacenter's runners to carry a task out on one hypervisor."""

    version: int = rule("Version of this message.", VERSION, minimum=1)
    id: str = rule("Identifies the request; a request that comes twice is the same request.", pattern=_ID)
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
class Update:
    """Tells the API what became of a task or a job.

    Applied in order of (attempt, sequence); repeated and older ones change nothing.
    """

    version: int = rule("Version of this message.", VERSION, minimum=1)
    request_id: str = rule("The request that this is about.", pattern=_ID)
    attempt: int = rule("Which delivery of the request the runner works on, from 1.", minimum=1)
    sequence: int = rule("Counts the updates of an attempt, from 1.", minimum=1)
    node_id: str = rule("The task or job that this is about.", pattern=_ID)
    event: Event = rule("What happened.")
    at: str = rule("When, RFC 3339 in UTC, by the runner's clock.")
    runner: str = rule("Which runner says so.", "", max_length=255)
    changed: bool | None = rule("Of a job that is done: whether it changed anything.", None)
    vm: dict[str, Any] | None = rule(
        "Of a job that is done: the VM as observed afterwards (ObservedVm); absent if it is gone.", None
    )
    host: dict[str, Any] | None = rule("Of a discovery that is done: the hypervisor's facts (HostFacts).", None)
    error: ErrorReport | None = rule("Of an ERROR or ROLLBACK_ERROR: why.", None)
    tries: int | None = rule("Of a job's end: how often it was run.", None)
    trace: dict[str, Any] | None = rule(
        "Of a job's end: what Ansible said of its runs (see docs/traces.md); secrets are removed.", None
    )

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
        _refuse_deep(raw)
        return parse(cls, raw, tolerant=True)
    except InvalidMessage:
        raise
    except InvalidData as error:
        raise InvalidMessage(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InvalidMessage(f"not JSON in UTF-8: {error}") from error


def _refuse_deep(raw: Any) -> None:
    """Bound the nesting of tasks before anything recurses over them."""
    level, depth = [raw.get("task")] if isinstance(raw, dict) else [], 0
    while level := [node for node in level if isinstance(node, dict)]:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise InvalidMessage(f"tasks are nested deeper than {MAX_DEPTH}")
        lists = (node["children"] for node in level if isinstance(node.get("children"), list))
        level = [child for children in lists for child in children]


def encode(message: Any) -> bytes:
    """The message as it goes over the wire."""
    return json.dumps(plain(message), separators=(",", ":")).encode()


def _definition_problems(name: str, raw: dict[str, Any] | None) -> Iterator[Problem]:
    if raw is None:
        return
    try:
        definition = VmDefinition.from_dict(raw)
        if definition.cloud_init and definition.cloud_init.user_data is not None:
            yield Problem(f"{name}.cloud_init.user_data", "is a secret, and comes in sealed_user_data")
    except InvalidData as error:
        yield from (Problem(f"{name}.{problem.path}", problem.rule) for problem in error.problems)
