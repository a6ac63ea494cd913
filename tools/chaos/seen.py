# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen after the chaos, of tasks and VMs through the API and of hypervisors from their own side."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What must not be found; the words of ``chaos.json``."""

    #: A task without an end, or one that was granted and is not known any more.
    LOST = "lost"
    #: A VM that is locked, and no task that has not ended holds it.
    STUCK = "stuck"
    #: Something was done twice, or two things at once, with one VM.
    DOUBLED = "doubled"
    #: A VM or disk at a hypervisor that the database does not know there.
    ORPHANED = "orphaned"
    #: A moment at which more ran at a hypervisor than its open sessions.
    OVER_THE_BOUND = "over_the_bound"
    #: Database and hypervisor differ.
    DISAGREE = "disagree"
    #: A VM that could have been made and was not.
    UNMADE = "unmade"
    #: Another task failed, and nothing was told to fail.
    UNFOUNDED = "unfounded"
    #: A VM is UNKNOWN, and its last task told nobody that anything went wrong.
    UNEXPLAINED = "unexplained"
    #: Something is left at a hypervisor after all was undeployed.
    LEFT = "left"
    #: The harness could not go on: a process does not come back, the API does not answer.
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    kind: Kind
    text: str


@dataclass(frozen=True)
class JobSeen:
    operation: str
    hypervisor: str
    state: str
    code: str = ""
    detail: str = ""
    message: str = ""
    rollback_state: str = "NONE"


@dataclass(frozen=True)
class TaskSeen:
    """A task that is about one VM (``vm_id``), or the root of such tasks."""

    id: str
    type: str
    state: str
    created_at: str = ""
    vm_id: str = ""
    error: str = ""
    cancelled: bool = False
    jobs: tuple[JobSeen, ...] = ()


@dataclass(frozen=True)
class VmSeen:
    """A VM as the database has it; ``volumes`` and ``memory_mib`` are what its definition says."""

    id: str
    native_name: str
    state: str
    locked_by: str | None
    hypervisor_id: str | None
    memory_mib: int = 0
    volumes: frozenset[str] = frozenset()
    #: Its tenant's virtual datacenter, and the bound of that.
    vdc: str = ""
    vdc_sessions: int | None = None


@dataclass(frozen=True)
class MachineSeen:
    id: str
    name: str
    power: str
    memory_mib: int = 0


@dataclass(frozen=True)
class Span:
    """A changing operation as the hypervisor saw it; it ends when its process has ended, if not before."""

    operation: str
    vm: str
    pid: int
    start: float
    end: float
    error: str = ""


@dataclass(frozen=True)
class Bound:
    """What held from the moment at which it may have been known until the one at which the next was granted."""

    sessions: int
    since: float = float("-inf")
    until: float = float("inf")


@dataclass(frozen=True)
class HostSeen:
    id: str
    name: str
    bounds: tuple[Bound, ...]
    machines: tuple[MachineSeen, ...] = ()
    volumes: frozenset[str] = frozenset()
    spans: tuple[Span, ...] = ()
    #: It was told not to answer for a while, so that a deploy may have failed for good.
    was_dark: bool = False


@dataclass(frozen=True)
class Snapshot:
    tasks: tuple[TaskSeen, ...]
    vms: tuple[VmSeen, ...]
    hosts: tuple[HostSeen, ...]
    #: Ids of the tasks that the API has granted.
    granted: frozenset[str] = field(default_factory=frozenset)
    #: When somebody was struck without whom nobody hears of a changed bound, and when that was over.
    struck: tuple[float, ...] = ()
