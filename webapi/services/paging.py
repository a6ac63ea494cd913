# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists, page by page: a cursor says where the last page ended, so a page costs the same wherever it is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, select, tuple_

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem

from ..database import Base, db
from ..errors import Invalid

M = TypeVar("M", bound=Base)

DEFAULT_LIMIT = 25
MAX_LIMIT = 200


@dataclass(frozen=True)
class Page(Generic[M]):
    items: Sequence[M]
    #: Cursor of the page behind this one; None: this is the last.
    next: str | None


def listing(
    model: type[M],
    *,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
    newest_first: bool = False,
    **filters: Any,
) -> Page[M]:
    """One page of a table, in the order of creation, of rows whose columns equal the filters."""
    return page(select(model).filter_by(**filters), model, limit=limit, after=after, newest_first=newest_first)


def page(rows: Select[M], model: type[M], *, limit: int, after: str | None, newest_first: bool = False) -> Page[M]:
    """One page of a query over one table. Raises Invalid for a cursor that is none of ours."""
    columns = model.__table__.c
    place = tuple_(columns.created_at, columns.id)
    order = [column.desc() if newest_first else column.asc() for column in (columns.created_at, columns.id)]
    if after is not None:
        mark = _read_cursor(after)
        rows = rows.where(place < mark if newest_first else place > mark)
    found = db.session.scalars(rows.order_by(*order).limit(limit + 1)).unique().all()
    return Page(found[:limit], _cursor(found[limit - 1]) if len(found) > limit else None)


def _cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        stamp, _, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        return datetime.fromisoformat(stamp).astimezone(UTC), row_id
    except (ValueError, OverflowError, binascii.Error) as error:
        raise Invalid([Problem("after", "must be the cursor that an earlier page gave as next")]) from error
