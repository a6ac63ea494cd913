# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: its session, the column types of our tables, and the one way to run a transaction."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import sqlalchemy
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Dialect, MetaData, String, Text, TypeDecorator
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeEngine

P = ParamSpec("P")
R = TypeVar("R")

#: MySQL's and MariaDB's way to say "you and another transaction wait for each other" and "you waited too long".
_WORTH_ANOTHER_TRY = {1205, 1213}
_TRIES = 4
#: What is raised while the database cannot be reached, or has no time: a later try may go well.
DATABASE_GONE = (OperationalError, InterfaceError, TimeoutError)


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid.uuid4())


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, to the microsecond; always aware in Python."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in _MYSQL else DateTime())

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class PlainJson(TypeDecorator[Any]):
    """Plain data as JSON text. The databases' own JSON types are not one type: one is text, one reorders keys."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(mysql.LONGTEXT() if dialect.name in _MYSQL else Text())

    def process_bind_param(self, value: Any, _: Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, _: Dialect) -> Any:
        return None if value is None else json.loads(value)


_MYSQL = ("mysql", "mariadb")

#: Text of any length; MySQL's TEXT ends at 64 KiB.
LongText = Text().with_variant(mysql.LONGTEXT(), *_MYSQL)


def _values(choices: type[Enum]) -> list[str]:
    return [member.value for member in choices]


#: Column of an id that we give.
OwnId = Annotated[str, mapped_column(String(36), primary_key=True, default=new_id)]
#: Column of an id of another row.
Ref = Annotated[str, mapped_column(String(36))]
Name = Annotated[str, mapped_column(String(80))]
Stamp = Annotated[datetime, mapped_column(default=utc_now)]


class Base(DeclarativeBase):
    """Every table of ours. Text compares by code point: names that differ are different names."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcDateTime(),
        dict[str, Any]: PlainJson(),
        list[str]: PlainJson(),
        list[dict[str, Any]]: PlainJson(),
        Enum: sqlalchemy.Enum(Enum, native_enum=False, length=32, values_callable=_values),
    }


def table_arguments(*items: Any) -> tuple[Any, ...]:
    """``__table_args__`` of a table: its indexes and constraints, and how MySQL keeps it."""
    return (*items, {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"})


db = SQLAlchemy(metadata=Base.metadata, session_options={"expire_on_commit": False})


def engine_options(url: str) -> dict[str, Any]:
    """READ COMMITTED, so that what a lock waited for is also what is read afterwards."""
    if url.startswith("sqlite"):
        return {}
    return {"isolation_level": "READ COMMITTED", "pool_pre_ping": True, "pool_recycle": 1800, "pool_size": 16}


#: In the session's ``info``: rows that its transaction has locked.
LOCKED = "locked"


def _forget_locks(session: Any) -> None:
    session.info.pop(LOCKED, None)


for _end in ("after_commit", "after_rollback"):
    sqlalchemy.event.listen(db.session, _end, _forget_locks)


def transaction(work: Callable[P, R]) -> Callable[P, R]:
    """Make a function one transaction: all of it is written, or nothing. Deadlocks are tried again, from the start.

    It reads every row afresh, whatever its thread has read before.
    """

    @wraps(work)
    def whole(*args: P.args, **kwargs: P.kwargs) -> R:
        for last in (*[False] * (_TRIES - 1), True):
            db.session.expunge_all()
            _forget_locks(db.session)
            try:
                result = work(*args, **kwargs)
                db.session.commit()
            except OperationalError as error:
                db.session.rollback()
                if last or not _worth_another_try(error):
                    raise
            except BaseException:
                db.session.rollback()
                raise
            else:
                return result
        raise AssertionError("the last try returns or raises")

    return whole


def _worth_another_try(error: OperationalError) -> bool:
    return bool(error.orig and error.orig.args and error.orig.args[0] in _WORTH_ANOTHER_TRY)
