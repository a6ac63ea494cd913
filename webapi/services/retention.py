# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long is kept what has ended: tasks with their requests and jobs, events, and dead letters.

A task goes as a whole tree, in several transactions of a bounded size, its root last; one that is cut short is found
again. It stays while anything of it has not ended, or a VM is locked by it. What only names a task goes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from ..database import Base, db, transaction
from ..models import DeadLetter, Event, Job, Request, Task, VirtualMachine

#: Rows of one transaction, at most: some tenths of a second, for which nobody waits who has to do with them.
BATCH = 500
#: Trees that one transaction sets about.
_TREES = 100

_Key = InstrumentedAttribute[Any]


@dataclass(frozen=True)
class Counts:
    """How many rows go, or went. Parts of larger tasks are tasks, too."""

    tasks: int = 0
    requests: int = 0
    jobs: int = 0
    events: int = 0
    dead_letters: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def __str__(self) -> str:
        return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in vars(self).items())


@transaction
def count_old(before: datetime) -> Counts:
    """What would go now."""
    roots = _old_roots(before)
    ids = select(roots.subquery().c.id)
    of_old_tasks = select(Task.id).where(Task.root_id.in_(ids))
    return Counts(
        tasks=_count(Task, Task.root_id.in_(ids)),
        requests=_count(Request, Request.task_id.in_(ids)),
        jobs=_count(Job, Job.root_id.in_(ids)),
        events=_count(Event, *_left_alone(Event, before, Event.task_id.in_(of_old_tasks))),
        dead_letters=_count(DeadLetter, *_left_alone(DeadLetter, before, DeadLetter.task_id.in_(of_old_tasks))),
    )


@transaction
def remove_some(before: datetime) -> Counts:
    """Remove some of what ended, or happened, before a moment, and give what it was; nothing is left where it is
    nothing. Requests go first, as whoever changes a job has locked its request."""
    roots = db.session.scalars(_old_roots(before).order_by(Task.ended_at).limit(_TREES)).all()
    if roots:
        return _remove_trees(roots)
    events = _remove(Event.id, *_left_alone(Event, before), most=BATCH)
    letters = _remove(DeadLetter.id, *_left_alone(DeadLetter, before), most=BATCH - events)
    return Counts(events=events, dead_letters=letters)


def _old_roots(before: datetime) -> Select[str]:
    part = aliased(Task)
    is_open = select(Request.number).where(Request.task_id == Task.id, Request.outcome.is_(None))
    is_under_way = select(part.id).where(part.root_id == Task.id, part.ended_at.is_(None))
    holds_vm = select(VirtualMachine.id).join(part, part.id == VirtualMachine.task_id).where(part.root_id == Task.id)
    return select(Task.id).where(
        Task.parent_id.is_(None), Task.ended_at < before, ~is_open.exists(), ~is_under_way.exists(), ~holds_vm.exists()
    )


def _remove_trees(roots: Sequence[str]) -> Counts:
    child = aliased(Task)
    is_leaf = ~select(child.id).where(child.parent_id == Task.id).exists()
    requests = _remove(Request.number, Request.task_id.in_(roots), most=BATCH)
    jobs = _remove(Job.id, Job.root_id.in_(roots), most=(left := BATCH - requests))
    # Only when no job of any of them is left.
    tasks = _remove(Task.id, Task.root_id.in_(roots), is_leaf, most=left - jobs)
    return Counts(tasks=tasks, requests=requests, jobs=jobs)


def _remove(key: _Key, *which: ColumnElement[bool], most: int) -> int:
    """How many are gone afterwards, so that fewer than ``most`` are all. Somebody else may have removed some of them
    since this transaction began to read, and counts them as well."""
    if most <= 0:
        return 0
    keys = db.session.scalars(select(key).where(*which).order_by(key).limit(most)).all()
    if keys:
        gone = delete(key.class_).where(key.in_(keys)).execution_options(synchronize_session=False)
        db.session.execute(gone)
    return len(keys)


def _left_alone(
    model: type[Event | DeadLetter], before: datetime, *or_else: ColumnElement[bool]
) -> tuple[ColumnElement[bool], ...]:
    """Old rows that are about no task that is still there, or about one for which ``or_else`` holds."""
    task = select(Task.id).where(Task.id == model.task_id)
    conditions = (model.created_at < before, or_(model.task_id.is_(None), ~task.exists(), *or_else))
    return (*conditions, DeadLetter.requeue_asked_at.is_(None)) if model is DeadLetter else conditions


def _count(model: type[Base], *which: ColumnElement[bool]) -> int:
    return db.session.scalar(select(func.count()).select_from(model).where(*which)) or 0
