# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that were published and that nobody has: no runner names them, and nothing waits in their queue.

A queue that was purged or deleted, or a broker that was restored from a backup, loses messages for good. That one is
missing is no proof: what a runner held when it was killed is in no queue either until the broker notices, and a runner
does not speak of what just came. It is lost when it has been missing all the time for longer than any of that takes.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update

from runner_service.contract.topology import Topology, partition_of

from ..database import db, transaction, utc_now
from ..models import Datacenter, Hypervisor, Relay, Request
from . import endings, runners

#: The broker gives what a silent machine held to others after 60 s (two heartbeats), and runners say what they hold
#: within 10 s.
LOST_AFTER = timedelta(minutes=2)
#: Nobody speaks yet of what was published just now.
_YOUNG = timedelta(seconds=10)
#: Who looks does so every few seconds; what it wrote down before it stopped says nothing.
_LOOKED_WITHIN = timedelta(seconds=30)

#: Published, and not ended.
OUT = (Request.outcome.is_(None), Request.waits_in.is_(None), Request.published_at.is_not(None))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unheld:
    """Requests of one queue that no runner names."""

    topology: Topology
    queue: str
    request_ids: frozenset[str]


# -- what relays find


@transaction
def unheld() -> list[Unheld]:
    """Requests that no runner names although one is there for them, by the queue in which they may still be."""
    asked = (
        select(Request.id, Request.hypervisor_id, Datacenter)
        .join(Hypervisor, Hypervisor.id == Request.hypervisor_id)
        .join(Datacenter, Datacenter.id == Hypervisor.datacenter_id)
        .where(*OUT, Request.published_at < utc_now() - _YOUNG)
    )
    by_queue: dict[tuple[Datacenter, int], set[str]] = defaultdict(set)
    for request_id, hypervisor_id, datacenter in db.session.execute(asked):
        by_queue[datacenter, partition_of(hypervisor_id, datacenter.partitions)].add(request_id)
    said = _said({datacenter.id for datacenter, _ in by_queue}) if by_queue else {}
    found = []
    for (datacenter, partition), request_ids in by_queue.items():
        statuses = said.get(datacenter.id, ())
        if _is_served(partition, statuses) and all(map(_names_all, statuses)):
            left = request_ids.difference(*(status["holds"] for status in statuses))
            if left:
                found.append(Unheld(datacenter.topology, datacenter.topology.in_queue(partition), frozenset(left)))
    return found


def _said(datacenter_ids: set[str]) -> dict[str, list[Mapping[str, Any]]]:
    said: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for runner in runners.live(datacenter_ids):
        said[runner.datacenter_id].append(runner.status)
    return said


def _is_served(partition: int, statuses: Collection[Mapping[str, Any]]) -> bool:
    """By one that names all that it was given. Who gives a partition up has put back what does not run, and names it
    no more, but the broker gives it to another only when the rest has ended."""
    gives_up = any(partition in status.get("draining", ()) for status in statuses)
    return not gives_up and any(partition in status["partitions"] for status in statuses)


def _names_all(status: Mapping[str, Any]) -> bool:
    """Runners of earlier versions name none, and nobody names more than a status takes."""
    return bool(len(status.get("holds", ())) >= status["requests"])


@transaction
def write_down(request_ids: Collection[str]) -> None:
    """These are missing now, and no others."""
    known = dict(
        db.session.execute(select(Request.number, Request.id).where(*OUT, Request.missing_since.is_not(None))).all()
    )
    new = select(Request.number).where(*OUT, Request.id.in_(set(request_ids) - set(known.values())))
    gone = [number for number, request_id in known.items() if request_id not in request_ids]
    _mark(db.session.scalars(new).all() if request_ids else [], utc_now())
    _mark(gone, None)


def _mark(numbers: Sequence[int], since: datetime | None) -> None:
    if numbers:
        if since:
            log.warning("%d requests are with no runner and in no queue", len(numbers))
        db.session.execute(
            update(Request).where(Request.number.in_(endings.lock_numbers(numbers))).values(missing_since=since)
        )


# -- what others conclude


def lost() -> tuple[ColumnElement[bool], ...]:
    """What a request's row fulfils whose message is lost."""
    return (*OUT, Request.missing_since < utc_now() - LOST_AFTER)


def may_come() -> ColumnElement[bool]:
    """What a request's row fulfils that is out and not lost."""
    return or_(Request.missing_since.is_(None), Request.missing_since >= utc_now() - LOST_AFTER)


def is_lost(request: Request) -> bool:
    """As far as it was found when it was looked at last."""
    is_out = request.published_at and not (request.outcome or request.waits_in)
    return bool(is_out and request.missing_since and utc_now() - request.missing_since > LOST_AFTER)


def is_known_to_be_lost(request: Request) -> bool:
    """And nobody can have found it since."""
    return is_lost(request) and _somebody_looks()


def _somebody_looks() -> bool:
    """Whether a relay is at work that would have noticed that a request is not missing any more."""
    row = db.session.get(Relay, Relay.APPLIES)
    return bool(row and row.seen_at and utc_now() - row.seen_at < _LOOKED_WITHIN)


def holders(requests: Collection[Request]) -> list[str]:
    """Names of the live runners that say that they have one of the requests in hand."""
    hosts = Hypervisor.id.in_({request.hypervisor_id for request in requests})
    datacenter_ids = set(db.session.scalars(select(Hypervisor.datacenter_id).where(hosts)))
    ids = {request.id for request in requests}
    live = runners.live(datacenter_ids)
    return sorted({runner.name for runner in live if not ids.isdisjoint(runner.status.get("holds", ()))})


def held() -> set[str]:
    """Ids of the requests that any live runner says that it has in hand."""
    datacenter_ids = db.session.scalars(select(Datacenter.id)).all()
    return {request_id for runner in runners.live(datacenter_ids) for request_id in runner.status.get("holds", ())}
