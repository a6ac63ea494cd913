# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox: requests that are committed and not yet published."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from sqlalchemy import select, update

from runner_service.contract.topology import Topology

from .. import logs
from ..database import db, transaction, utc_now
from ..models import Datacenter, Hypervisor, Relay, Request
from . import updates

_BATCH = 100
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


#: Publishes a request to its datacenter's queue for its hypervisor, and returns when the broker has confirmed it, or
#: raises Rejected.
Publish = Callable[[Outgoing], None]


@transaction
def is_waiting() -> bool:
    """Whether there is something to publish; a look that locks nothing and costs little."""
    return db.session.scalar(select(Request.number).filter_by(published_at=None).limit(1)) is not None


def publish_pending(publish: Publish) -> int:
    """Publish what waits, in order, and mark it; how many there were.

    One relay at a time does so, the one that has the relay's row locked, so the order is kept. First it marks all that
    it sets about, in a transaction of its own. If it dies before it can write down that they are published, the next
    one finds these marks, and publishes the requests as such that may have been published before.
    """
    mark = utc_now()
    fresh = _set_about(mark)
    return 0 if fresh is None else _publish_marked(mark, fresh, publish)


@transaction
def _set_about(mark: datetime) -> set[str] | None:
    """Mark a batch; those of it that nobody has set about before. None: another relay is at work.

    A mark that is there is replaced, so that whoever set it knows that it is not alone."""
    if not _be_the_relay():
        return None
    pending = _pending()
    fresh = {request.id for request in pending if request.publishing_at is None}
    if pending:
        numbers = [request.number for request in pending]
        db.session.execute(update(Request).where(Request.number.in_(numbers)).values(publishing_at=mark))
    return fresh


@transaction
def _publish_marked(mark: datetime, fresh: set[str], publish: Publish) -> int:
    """``fresh`` loses what is published: a transaction that is tried again publishes it again."""
    if not _be_the_relay():
        return 0
    pending = list(takewhile(lambda request: request.publishing_at is not None, _pending()))
    topologies = _topologies(pending)
    for request in pending:
        if request.body and request.hypervisor_id in topologies:
            again = request.id not in fresh or request.publishing_at != mark
            fresh.discard(request.id)
            _publish(request, topologies[request.hypervisor_id], publish, again=again)
        request.published_at = utc_now()
    return len(pending)


def _be_the_relay() -> bool:
    relay = db.session.scalars(select(Relay).filter_by(id=1).with_for_update(skip_locked=True)).one_or_none()
    if relay is None:
        return False
    if relay.seen_at is None or utc_now() - relay.seen_at > _SIGN_OF_LIFE:
        relay.seen_at = utc_now()
    return True


def _pending() -> Sequence[Request]:
    waiting = select(Request).filter_by(published_at=None).order_by(Request.number).limit(_BATCH)
    return db.session.scalars(waiting.with_for_update()).all()


def _publish(request: Request, topology: Topology, publish: Publish, *, again: bool) -> None:
    """One that the broker rejects ends as failed: it must not stand in the way of those behind it."""
    try:
        publish(Outgoing(topology, request.hypervisor_id, str(request.body).encode(), again))
        with logs.about(datacenter=topology.datacenter_id, task=request.task_id, request=request.id):
            log.info("request published, perhaps not for the first time" if again else "request published")
    except Rejected as error:
        updates.fail(request, f"the broker rejects the request: {error}")


def _topologies(pending: Sequence[Request]) -> dict[str, Topology]:
    if not pending:
        return {}
    chosen = (
        select(Hypervisor.id, Datacenter)
        .join(Datacenter, Hypervisor.datacenter_id == Datacenter.id)
        .where(Hypervisor.id.in_({request.hypervisor_id for request in pending}))
    )
    return {hypervisor_id: datacenter.topology for hypervisor_id, datacenter in db.session.execute(chosen)}


@transaction
def topologies() -> list[Topology]:
    """The queues of every datacenter there is now."""
    return [datacenter.topology for datacenter in db.session.scalars(select(Datacenter))]
