# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters: kept as rows when they come, shown to operators, sent again or dropped as they say."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import defer

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import fields_of
from runner_service.contract.messages import InvalidMessage, TaskRequest, Update
from runner_service.contract.topology import Topology

from ..database import DATABASE_GONE, db, transaction, utc_now
from ..errors import Refused
from ..models import Datacenter, DeadLetter, Request, Severity
from . import anew, failing, forcing, rows
from .events import tell_of_datacenter, writable
from .outbox import Rejected
from .paging import DEFAULT_LIMIT, Page, page

log = logging.getLogger(__name__)

#: Characters. Longer bodies are cut: MariaDB takes no statement above its max_allowed_packet (16 MiB), in which a
#: character has up to four bytes, and nobody reads them.
MAX_BODY = 3 * 1024 * 1024
MAX_REASON = 4_000
_BATCH = 20

_ID = re.compile(str(next(spec.rule.pattern for spec in fields_of(TaskRequest) if spec.name == "id")))


class Kind(StrEnum):
    """What a dead letter is, if it is a message of ours."""

    REQUEST = "request"
    UPDATE = "update"


#: Sends a message, read and as it came, to where it was going, with how often runners were handed it before; returns
#: when the broker has confirmed it, or raises Rejected.
Republish = Callable[[Topology, TaskRequest | Update, bytes, int], None]


# -- what comes in


def bury_request(topology: Topology, body: bytes, reason: str) -> DeadLetter:
    """A request that no runner could handle: kept, and its task ends as failed with the reason; by force, if a defect
    of ours is in the way, which the reason names then."""
    try:
        return _bury_request(topology, body, reason)
    except DATABASE_GONE:
        raise
    except Exception as error:
        log.exception("a request among the dead letters could not be ended as it should be")
        return _bury_by_force(topology, body, f"{reason}; to end it failed, too: {type(error).__name__}: {error}")


@transaction
def _bury_by_force(topology: Topology, body: bytes, reason: str) -> DeadLetter:
    letter = _add(topology, topology.dead_queue, body, reason)
    if letter.request_id is not None:
        forcing.fail_by_force(letter.request_id, letter.reason)
    _tell(letter)
    return letter


@transaction
def _bury_request(topology: Topology, body: bytes, reason: str) -> DeadLetter:
    letter = _add(topology, topology.dead_queue, body, reason)
    if letter.request_id is None or not failing.give_up(letter.request_id, reason):
        _tell(letter)
    return letter


@transaction
def bury_update(topology: Topology, body: bytes, reason: str) -> DeadLetter:
    """An update that could not be applied: kept, and what it is about ends as failed with the reason. The runner says
    everything once, so what was lost with it would be missing for ever."""
    letter = _add(topology, topology.out_queue, body, reason)
    if letter.request_id is not None:
        why = (
            f"what its runner said could not be applied, and is among the dead letters as {letter.id}: {letter.reason}"
        )
        failing.lose_sight(letter.request_id, _order_of(body), why)
    _tell(letter)
    return letter


@transaction
def keep(topology: Topology, queue: str, body: bytes, reason: str) -> DeadLetter:
    """A message that could not be handled, and changed nothing."""
    letter = _add(topology, queue, body, reason)
    _tell(letter)
    return letter


def _add(topology: Topology, queue: str, body: bytes, reason: str) -> DeadLetter:
    request_id, task_id = _known_ids(body)
    letter = DeadLetter(
        datacenter_id=topology.datacenter_id, queue=queue, reason=_short(reason), body=_text(body),
        request_id=request_id, task_id=task_id,
    )  # fmt: skip
    db.session.add(letter)
    db.session.flush()
    return letter


def _tell(letter: DeadLetter) -> None:
    tell_of_datacenter(
        Severity.CRITICAL, letter.datacenter_id,
        f"a message could not be handled and is among the dead letters as {letter.id}: {letter.reason}",
    )  # fmt: skip


def _short(reason: str) -> str:
    """The reason without what no database keeps, and not longer than a person reads."""
    return str(writable(reason))[:MAX_REASON]


def _text(body: bytes) -> str:
    """The body as text. What is no UTF-8 becomes an escape that JSON does not know, so that a broken message is never
    taken for a whole one."""
    text = body.decode(errors="backslashreplace")
    return text if len(text) <= MAX_BODY else f"{text[:MAX_BODY]}… cut, of {len(text)} characters"


def _known_ids(body: bytes) -> tuple[str, str] | tuple[None, None]:
    """The request that the message is, or is about, and its task, if they are ours."""
    known = select(Request.id, Request.task_id).filter_by(id=request_id_of(body))
    found = db.session.execute(known).one_or_none()
    return (found.id, found.task_id) if found else (None, None)


def request_id_of(body: bytes) -> str | None:
    """The id in what may have been a request, or an update of one."""
    raw = _json(body)
    found = raw.get("request_id", raw.get("id")) if isinstance(raw, dict) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else None


def _order_of(body: bytes) -> tuple[int, int] | None:
    """Attempt and sequence of what may have been an update."""
    raw = _json(body)
    attempt, sequence = (raw.get("attempt"), raw.get("sequence")) if isinstance(raw, dict) else (None, None)
    return (attempt, sequence) if isinstance(attempt, int) and isinstance(sequence, int) else None


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# -- what operators do


def list_deadletters(*, limit: int = DEFAULT_LIMIT, after: str | None = None, **filters: Any) -> Page[DeadLetter]:
    """The newest first, without their bodies."""
    chosen = select(DeadLetter).filter_by(**filters).options(defer(DeadLetter.body))
    return page(chosen, DeadLetter, limit=limit, after=after, newest_first=True)


def get(letter_id: str) -> DeadLetter:
    return rows.find(DeadLetter, letter_id)


def contents(letter: DeadLetter) -> Any:
    """The message as plain data, if it is JSON. What is sealed in it stays sealed."""
    return _json(letter.body)


def kind_of(letter: DeadLetter) -> Kind | None:
    message = _message(letter)
    if message is None:
        return None
    return Kind.REQUEST if isinstance(message, TaskRequest) else Kind.UPDATE


def _message(letter: DeadLetter) -> TaskRequest | Update | None:
    readers: tuple[type[TaskRequest] | type[Update], ...] = (TaskRequest, Update)
    for reader in readers:
        try:
            return reader.decode(letter.body.encode())
        except InvalidMessage:
            continue
    return None


@transaction
def ask_to_requeue(letter_id: str, by: str) -> DeadLetter:
    """Let the relay send it again. Of a request that has ended, whose task has ended then, the same is asked for anew:
    the letter is gone and names the new task. Raises Refused for what nobody can read or may ask for, and for an update
    of a request that has ended: it would change nothing."""
    letter = rows.lock(DeadLetter, letter_id)
    message = _message(letter)
    if message is None:
        raise Refused(
            "this is no message that can be read, so it cannot be sent again; look at it, then drop it",
            code="deadletter.unreadable", reason=letter.reason,
        )  # fmt: skip
    request = _request_of(message)
    if isinstance(message, Update) and request is not None and request.outcome:
        raise Refused(
            f"task {request.task_id} has ended for what this update is about, so it would change nothing; refresh the "
            "VM to see what it is now, then drop the dead letter",
            code="deadletter.ended", task_id=request.task_id,
        )  # fmt: skip
    if isinstance(message, TaskRequest) and request is not None and request.outcome:
        letter.new_task_id = anew.ask_anew(request, by).id
        rows.remove(letter)
    else:
        letter.requeue_asked_at = utc_now()
    return letter


def _request_of(message: TaskRequest | Update) -> Request | None:
    """What the message is, or is about. An update of nobody's may be sent again: it does no harm."""
    request_id = message.id if isinstance(message, TaskRequest) else message.request_id
    request = db.session.scalars(select(Request).filter_by(id=request_id)).one_or_none()
    if request is None and isinstance(message, TaskRequest):
        raise Refused("this request belongs to no task that is known here", code="deadletter.unreadable")
    return request


@transaction
def drop(letter_id: str) -> None:
    """Forget it."""
    rows.remove(rows.lock(DeadLetter, letter_id))


# -- what the relay sends again


@transaction
def requeue_pending(republish: Republish) -> int:
    """Send what operators asked for, and forget it; how many there were. If the relay dies in between, it is sent once
    more, which is harmless."""
    asked = select(DeadLetter).where(DeadLetter.requeue_asked_at.is_not(None)).order_by(DeadLetter.requeue_asked_at)
    letters = db.session.scalars(asked.limit(_BATCH).with_for_update(skip_locked=True)).all()
    for letter in letters:
        _requeue(letter, republish)
    return len(letters)


def _requeue(letter: DeadLetter, republish: Republish) -> None:
    """One that the broker does not take, or that this version cannot read, stays; the broker's words are added."""
    datacenter, message = rows.find(Datacenter, letter.datacenter_id), _message(letter)
    if message is None:
        letter.requeue_asked_at = None
        return
    try:
        republish(datacenter.topology, message, letter.body.encode(), _attempts_of(message))
    except Rejected as error:
        letter.requeue_asked_at = None
        letter.reason = _short(f"{letter.reason}; sent again, the broker rejected it: {error}")
    else:
        db.session.delete(letter)


def _attempts_of(message: TaskRequest | Update) -> int:
    """Of a request that has not ended: whoever is handed it now is not one of those that had it before."""
    if not isinstance(message, TaskRequest):
        return 0
    return db.session.scalar(select(Request.attempt).filter_by(id=message.id)) or 0
