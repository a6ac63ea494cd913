# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding, adding and removing single rows, with errors in the words of the API."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import lazyload

from ..database import LOCKED, Base, db
from ..errors import NotFound, Refused

M = TypeVar("M", bound=Base)


def find(model: type[M], row_id: str) -> M:
    """The row. Raises NotFound."""
    row = db.session.get(model, row_id)
    if row is None:
        raise _missing(model, row_id)
    return row


def lock(model: type[M], row_id: str) -> M:
    """The row as it is now, locked until the transaction ends. Raises NotFound."""
    rows = lock_all(model, [row_id])
    if not rows:
        raise _missing(model, row_id)
    return rows[0]


def lock_all(model: type[M], ids: list[str]) -> list[M]:
    """Those rows that exist, in the order of their ids, locked until the transaction ends: two transactions that lock
    in one call never wait for each other in a ring.

    Nothing is joined to them, because MariaDB would lock that too. What the transaction has locked before is not read
    again: nobody else can have changed it."""
    locked: dict[tuple[type[Base], str], Base] = db.session.info.setdefault(LOCKED, {})
    key = model.__table__.c.id
    unlocked = [row_id for row_id in ids if (model, row_id) not in locked]
    if unlocked:
        chosen = select(model).where(key.in_(unlocked)).order_by(key).options(lazyload("*"))
        for row in db.session.scalars(chosen.with_for_update().execution_options(populate_existing=True)):
            locked[model, row.id] = row  # type: ignore[attr-defined]  # a model of ours has an id
    found = (locked.get((model, row_id)) for row_id in sorted(set(ids)))
    return [row for row in found if isinstance(row, model)]


def add(row: Base) -> None:
    """Write a new row. Raises Refused if one with the same name, or whatever must be unique, is there already."""
    model, name = type(row), getattr(row, "name", "")
    db.session.add(row)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise taken(model, name) from error


def taken(model: type[Base], name: str) -> Refused:
    return Refused(f"there is already a {_noun(model)} named {name!r}", code=f"{_code(model)}.exists")


def remove(row: Base) -> None:
    """Delete a row. Raises Refused while others refer to it."""
    model, name = type(row), getattr(row, "name", "")
    db.session.info.get(LOCKED, {}).pop((model, row.id), None)  # type: ignore[attr-defined]
    db.session.delete(row)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise Refused(f"the {_noun(model)} {name!r} is in use", code=f"{_code(model)}.in_use") from error


#: What people call a row whose model's name is not the word for it.
_NOUNS = {
    "ApiToken": "token", "DeadLetter": "dead letter", "VirtualAppliance": "virtual appliance",
    "VirtualDatacenter": "virtual datacenter", "VirtualMachine": "VM",
}  # fmt: skip


def _noun(model: type[Base]) -> str:
    return _NOUNS.get(model.__name__, model.__name__.lower())


def _code(model: type[Base]) -> str:
    """Begin of the codes of errors about such rows."""
    return {"VirtualMachine": "vm", "VirtualAppliance": "vapp"}.get(model.__name__, model.__name__.lower())


def _missing(model: type[Base], row_id: str) -> NotFound:
    return NotFound(f"there is no {_noun(model)} with the id {row_id!r}")
