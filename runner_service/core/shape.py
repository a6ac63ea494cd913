# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a task tree, read once: who is whose parent, and when a task's end is beyond recall."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..contract.messages import Job, Mode, Task


@dataclass(frozen=True)
class Shape:
    """Nodes are numbered from the root (0) down, each before its children; the tuples are indexed by that number."""

    nodes: tuple[Job | Task, ...]
    parents: tuple[int | None, ...]
    children: tuple[tuple[int, ...], ...]
    numbers: dict[str, int]
    #: For a task whose end settles others: the tasks, children first, that can be reported as ended once it has.
    #: A task within a sequential or atomic one may still be rolled back, so it is settled with the outermost of them.
    settled_with: dict[int, tuple[int, ...]]


@dataclass
class _Reading:
    nodes: list[Job | Task] = field(default_factory=list)
    parents: list[int | None] = field(default_factory=list)
    children: list[tuple[int, ...]] = field(default_factory=list)
    settled_with: dict[int, list[int]] = field(default_factory=dict)

    def add(self, node: Job | Task, parent: int | None, settler: int | None) -> int:
        """Number the node and all below it; ``settler`` is the task that it is settled with, if not itself."""
        number = len(self.nodes)
        self.nodes.append(node)
        self.parents.append(parent)
        self.children.append(())
        if isinstance(node, Task):
            below = number if settler is None and can_roll_back(node) else settler
            self.children[number] = tuple(self.add(child, number, below) for child in node.children)
            self.settled_with.setdefault(number if settler is None else settler, []).append(number)
        return number


def can_roll_back(task: Task) -> bool:
    """Whether one child's failure undoes others."""
    return task.mode is Mode.SEQUENTIAL or task.atomic


def shape_of(task: Task) -> Shape:
    """Read a checked tree (its depth is bounded by the message contract)."""
    reading = _Reading()
    reading.add(task, None, None)
    return Shape(
        nodes=tuple(reading.nodes),
        parents=tuple(reading.parents),
        children=tuple(reading.children),
        numbers={node.id: number for number, node in enumerate(reading.nodes)},
        settled_with={settler: tuple(tasks) for settler, tasks in reading.settled_with.items()},
    )
