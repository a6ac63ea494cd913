# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox: requests that are committed and not yet published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy import select

from runner_service.contract.topology import Topology

from ..database import db, transaction, utc_now
from ..models import Datacenter, Hypervisor, Relay, Request
from . import updates

_BATCH = 100
_SIGN_OF_LIFE = timedelta(seconds=2)


class Rejected(Exception):
    """The broker will never take this message; the text says why."""


#: Publishes a body to a datacenter's queue for a hypervisor, and returns when the broker has confirmed it, or raises
#: Rejected.
Publish = Callable[[Topology, str, bytes], None]


@transaction
def is_waiting() -> bool:
    """Whether there is something to publish; a look that locks nothing and costs little."""
    return db.session.scalar(select(Request.number).filter_by(published_at=None).limit(1)) is not None


@transaction
def publish_pending(publish: Publish) -> int:
    """Publish what waits, in order, and mark it; how many there were.

    One relay at a time does so, the one that has the relay's row locked, so the order is kept. If it dies before the
    marks are committed, the same requests are published again, which is harmless.
    """
    relay = db.session.scalars(select(Relay).filter_by(id=1).with_for_update(skip_locked=True)).one_or_none()
    if relay is None:
        return 0
    if relay.seen_at is None or utc_now() - relay.seen_at > _SIGN_OF_LIFE:
        relay.seen_at = utc_now()
    pending = db.session.scalars(
        select(Request).filter_by(published_at=None).order_by(Request.number).limit(_BATCH).with_for_update()
    ).all()
    topologies = _topologies(pending)
    for request in pending:
        if request.body and request.hypervisor_id in topologies:
            _publish(request, topologies[request.hypervisor_id], publish)
        request.published_at = utc_now()
    return len(pending)


def _publish(request: Request, topology: Topology, publish: Publish) -> None:
    """One that the broker rejects ends as failed: it must not stand in the way of those behind it."""
    try:
        publish(topology, request.hypervisor_id, str(request.body).encode())
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
