# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox: requests that are committed and not yet published."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from runner_service.contract.topology import Topology

from .. import logs
from ..database import db, transaction, utc_now
from ..models import Datacenter, Hypervisor, Relay, Request
from . import failing, missing, turns
from .turns import First, Line, Out, Seat

#: How many requests that have not ended a queue is given, unless a setting says otherwise: as many as a runner takes.
WINDOW = 500
_BATCH = 100
#: How many lines are asked for their first requests in one round; others have their turn in the next.
_LINES = 32
_SIGN_OF_LIFE = timedelta(seconds=2)

log = logging.getLogger(__name__)


class Rejected(Exception):
    """The broker will never take this message; the text says why."""


@dataclass(frozen=True)
class Outgoing:
    """A request on its way out."""

    topology: Topology
    hypervisor_id: str
    body: bytes
    #: It may have been published before.
    again: bool
    #: How often runners were handed it, as far as we have heard.
    attempts: int = 0


#: Publishes a request to its datacenter's queue for its hypervisor, and returns when the broker has confirmed it, or
#: raises Rejected.
Publish = Callable[[Outgoing], None]


#: It waits for its turn; one that was cancelled while it did waits for its end (``cancelling``).
_WAITS = (Request.waits_in.is_not(None), Request.cancel_asked_at.is_(None))


@transaction
def is_waiting() -> bool:
    """Whether there may be something to publish; a look that locks nothing and costs little."""
    waiting = select(Request.number).where(*_WAITS).limit(1)
    return db.session.scalar(waiting) is not None or bool(_left())


@dataclass(frozen=True)
class Batch:
    """Requests that a relay has set about publishing."""

    mark: datetime
    numbers: list[int]
    #: The ids of those that nobody has set about before. It loses what is published: a transaction that is tried again
    #: publishes it again.
    fresh: set[str]


def publish_pending(publish: Publish, window: int = WINDOW, bell: str | None = None) -> int:
    """Publish those whose turn it is (``turns``), and mark them; how many there were.

    One relay at a time does so, the one that has the relay's row locked, so the order within a line is kept. First it
    marks all that it sets about, in a transaction of its own. If it dies before it can write down that they are
    published, the next one finds these marks, and publishes the requests as such that may have been published before.
    ``bell`` is where whoever has work for it is to ring.
    """
    batch = _set_about(utc_now(), window, bell)
    return _publish_marked(batch, publish) if batch and batch.numbers else 0


@transaction
def _set_about(mark: datetime, window: int = WINDOW, bell: str | None = None) -> Batch | None:
    """Mark a batch, which begins with what others have left. None: another relay is at work.

    A mark that is there is replaced, so that whoever set it knows that it is not alone."""
    if not _be_the_relay(bell):
        return None
    left = _left()
    fresh = _lock(_chosen(window)) if len(left) < _BATCH else []
    numbers = sorted([*left, *(request.number for request in fresh)])
    if numbers:
        marked = update(Request).where(Request.number.in_(numbers))
        db.session.execute(marked.values(publishing_at=mark, waits_in=None))
    return Batch(mark, numbers, {request.id for request in fresh})


def _left() -> list[int]:
    """What a relay has set about and has not published; it may be about to."""
    left = select(Request.number).filter_by(outcome=None, waits_in=None, published_at=None)
    return list(db.session.scalars(left.order_by(Request.number).limit(_BATCH)))


def _lock(numbers: list[int]) -> Sequence[Request]:
    """Those that still wait: a request may have been cancelled just now."""
    if not numbers:
        return []
    waiting = select(Request).where(Request.number.in_(numbers), *_WAITS)
    return db.session.scalars(waiting.order_by(Request.number).with_for_update()).all()


# -- whose turn it is


def _chosen(window: int) -> list[int]:
    lines = _lines()
    if not lines:
        return []
    out = Out(_seats_out(), window)
    firsts = {line: _firsts(line, out) for line in turns.in_turn(lines, out)[:_LINES]}
    return turns.choose(firsts, out, _BATCH)


def _lines() -> list[Line]:
    of = (Request.waits_in, Request.tenant, Request.priority)
    rows = db.session.execute(select(*of).where(*_WAITS).group_by(*of))
    return [Line(queue, tenant, priority) for queue, tenant, priority in rows if queue is not None]


def _seats_out() -> dict[Seat, int]:
    """How many requests of each seat are published, or about to be, and have not ended. Lost ones take no seat: nobody
    would ever make room."""
    of = (Request.hypervisor_id, Request.tenant, Request.priority)
    counted = select(*of, func.count()).where(Request.outcome.is_(None), Request.waits_in.is_(None), missing.may_come())
    rows = db.session.execute(counted.group_by(*of)).all()
    topologies = _topologies({row.hypervisor_id for row in rows})
    return {
        Seat(Line(topologies[host].in_queue_for(host), tenant, priority), host): number
        for host, tenant, priority, number in rows
        if host in topologies
    }


def _firsts(line: Line, out: Out) -> list[First]:
    """The first that may go out, as far as others of them do not take the room."""
    waiting = select(Request.number, Request.hypervisor_id).filter_by(
        waits_in=line.queue, tenant=line.tenant, priority=line.priority, cancel_asked_at=None
    )
    if full := out.full_hypervisors(line):
        waiting = waiting.where(Request.hypervisor_id.not_in(full))
    rows = db.session.execute(waiting.order_by(Request.number).limit(_BATCH))
    return [First(number, Seat(line, hypervisor_id)) for number, hypervisor_id in rows]


# -- and publishing it


@transaction
def _publish_marked(batch: Batch, publish: Publish) -> int:
    if not _be_the_relay():
        return 0
    marked = select(Request).filter_by(outcome=None, published_at=None).where(Request.number.in_(batch.numbers))
    requests = db.session.scalars(marked.order_by(Request.number).with_for_update()).all()
    topologies = _topologies({request.hypervisor_id for request in requests})
    for request in requests:
        if request.body and request.hypervisor_id in topologies:
            again = request.id not in batch.fresh or request.publishing_at != batch.mark
            batch.fresh.discard(request.id)
            _publish(request, topologies[request.hypervisor_id], publish, again=again)
        request.published_at = utc_now()
    return len(requests)


def _be_the_relay(bell: str | None = None) -> bool:
    relay = db.session.scalars(
        select(Relay).filter_by(id=Relay.PUBLISHES).with_for_update(skip_locked=True)
    ).one_or_none()
    if relay is None:
        return False
    if relay.seen_at is None or utc_now() - relay.seen_at > _SIGN_OF_LIFE:
        relay.seen_at = utc_now()
    relay.bell = bell or relay.bell
    return True


def _publish(request: Request, topology: Topology, publish: Publish, *, again: bool) -> None:
    """One that the broker rejects ends as failed: it must not stand in the way of those behind it."""
    try:
        publish(Outgoing(topology, request.hypervisor_id, str(request.body).encode(), again, request.attempt))
        with logs.about(datacenter=topology.datacenter_id, task=request.task_id, request=request.id):
            log.info("request published, perhaps not for the first time" if again else "request published")
    except Rejected as error:
        failing.fail(request, f"the broker rejects the request: {error}")


def _topologies(hypervisor_ids: set[str]) -> dict[str, Topology]:
    if not hypervisor_ids:
        return {}
    chosen = (
        select(Hypervisor.id, Datacenter)
        .join(Datacenter, Hypervisor.datacenter_id == Datacenter.id)
        .where(Hypervisor.id.in_(hypervisor_ids))
    )
    return {hypervisor_id: datacenter.topology for hypervisor_id, datacenter in db.session.execute(chosen)}


@transaction
def topologies() -> list[Topology]:
    """The queues of every datacenter there is now."""
    return [datacenter.topology for datacenter in db.session.scalars(select(Datacenter))]
