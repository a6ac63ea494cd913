# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request asks for: a tree of tasks, whose leaves are jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import InvalidData, Problem, plain, rule
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate

from .operations import ON_SNAPSHOTS, OPERATIONS, Operation

ID = r"[A-Za-z0-9_.-]{1,64}"


class Mode(StrEnum):
    SEQUENTIAL = "sequential"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, kw_only=True)
class SnapshotOrder(WantedSnapshot):
    """The snapshot that a job makes, goes back to or deletes."""

    children: bool = rule("For snapshot_delete: those on top of it go, too.", default=False)


#: Fields of a job that allow it more than it may do otherwise.
_PERMITS = ("allow_power_cycle", "allow_disk_removal", "force")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A leaf: one operation on one VM (on the hypervisor itself, if the operation needs no VM)."""

    KIND: ClassVar[str] = "job"

    id: str = rule("Identifies the job, over all tasks.", pattern=ID)
    operation: Operation = rule("What to do.")
    vm_id: str | None = rule("The platform's id of the VM; jobs of one VM never run at once.", None, pattern=ID)
    #: Read strictly even in a message: a field that we do not know would make a VM that was not asked for.
    definition: dict[str, Any] | None = rule("The VM as it is to be (VmDefinition).", None)
    previous: dict[str, Any] | None = rule("For reconfigure: the VM as the platform last knew it.", None)
    sealed_user_data: str | None = rule(
        "The definition's cloud_init.user_data, sealed as credentials are; then the definition is without it.",
        None,
        max_length=360_000,
    )
    timeout: int | None = rule("Seconds for operations that wait for the guest.", None, minimum=1, maximum=86_400)
    allow_power_cycle: bool = rule(
        "For reconfigure: a VM that is on may be shut down for it, and is started again.", default=False
    )
    allow_disk_removal: bool = rule(
        "For reconfigure: disks that the definition does not name may go, with what is on them.", default=False
    )
    force: bool = rule("For shutdown: power is taken from a guest that is still on after the timeout.", default=False)
    snapshot: SnapshotOrder | None = rule("For operations on snapshots: which.", None)
    template: WantedTemplate | None = rule("For capture: the template that is made.", None)

    def problems(self) -> Iterator[Problem]:
        if self.operation is Operation.CAPTURE and self.template is None:
            yield Problem("template", "capture needs one")
        if self.operation in ON_SNAPSHOTS and self.snapshot is None:
            yield Problem("snapshot", f"{self.operation} needs one")
        if OPERATIONS[self.operation].needs_vm and (self.definition is None or self.vm_id is None):
            yield Problem("definition", f"{self.operation} needs a VM: vm_id and definition")
        for name in ("definition", "previous"):
            yield from _definition_problems(name, getattr(self, name))

    @property
    def vm(self) -> VmDefinition | None:
        return None if self.definition is None else VmDefinition.from_dict(self.definition)

    @property
    def variables(self) -> dict[str, Any]:
        """What the operation's playbook is told beside ``millwright_vm``: the variables of its host, each with a value
        that is not the playbook's own default."""
        told = {name: getattr(self, name) for name in ("timeout", *_PERMITS)}
        orders = {name: _stated(order) for name in ("snapshot", "template") if (order := getattr(self, name))}
        if self.template:
            # So that a job that comes again takes what it has made itself for done, and nothing else that has the name.
            orders["template"] = {"made_for": self.id, **orders["template"]}
        return {f"millwright_{name}": value for name, value in {**told, **orders}.items() if value}


@dataclass(frozen=True, kw_only=True)
class Task:
    """Jobs and tasks that run in order or at once."""

    KIND: ClassVar[str] = "task"

    id: str = rule("Identifies the task.", pattern=ID)
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


def _stated(order: SnapshotOrder | WantedTemplate) -> dict[str, Any]:
    """What it says; of what it says nothing, the module knows what is usual."""
    return {name: value for name, value in plain(order).items() if value is not None}


def _definition_problems(name: str, raw: dict[str, Any] | None) -> Iterator[Problem]:
    if raw is None:
        return
    try:
        definition = VmDefinition.from_dict(raw)
        if definition.cloud_init and definition.cloud_init.user_data is not None:
            yield Problem(f"{name}.cloud_init.user_data", "is a secret, and comes in sealed_user_data")
    except InvalidData as error:
        yield from (Problem(f"{name}.{problem.path}", problem.rule) for problem in error.problems)
