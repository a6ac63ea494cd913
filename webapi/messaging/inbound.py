# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies the updates of runners, and ends what is among the dead letters."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError

from runner_service.contract.messages import InvalidMessage, Update
from runner_service.contract.topology import Topology

from .. import logs
from ..database import DATABASE_GONE
from ..models import DeadLetter
from ..services import deadletters, missing, outbox, sessions, updates
from . import broker
from .statuses import Statuses

_PREFETCH = 100
#: Updates that are applied in one transaction, at most: it keeps others from what it locks.
_TOGETHER = 20

_LOOK_FOR_DATACENTERS_SECONDS = 1.0
#: How often requests are looked for that nobody has.
_LOOK_FOR_MISSING_SECONDS = 5.0

log = logging.getLogger(__name__)


class _Delivery(NamedTuple):
    """An update, and whom it came to."""

    topology: Topology
    channel: BlockingChannel
    tag: int
    body: bytes


class Inbound:
    """One connection's work: consume the queues of every datacenter, old and new. A message is acknowledged after what
    it says is committed, so one that was cut short comes again, in order."""

    def __init__(self, connection: BlockingConnection):
        self._connection = connection
        self._channel: BlockingChannel = connection.channel()
        self._channel.confirm_delivery()
        self._channel.basic_qos(prefetch_count=_PREFETCH)
        self._consumed: set[str] = set()
        self._statuses = Statuses()
        self._looked = 0.0
        #: Updates in the order in which they came.
        self._waiting: list[_Delivery] = []

    def run(self, stopping: Callable[[], bool]) -> None:
        """Raises what the broker or the database raise when they are gone."""
        while not stopping():
            self._consume_new_datacenters()
            self._tell_bounds(self._statuses.write_down())
            self._work_until(time.monotonic() + _LOOK_FOR_DATACENTERS_SECONDS, stopping)
            self._look_for_missing()
            updates.tell_that_all_is_applied()

    def _look_for_missing(self) -> None:
        """What nobody holds may be in a queue yet, or its end be told by an update that has not come."""
        if time.monotonic() - self._looked < _LOOK_FOR_MISSING_SECONDS:
            return
        self._looked = time.monotonic()
        unheld = [each for each in missing.unheld() if each.topology.datacenter_id in self._consumed]
        gone = [each.request_ids for each in unheld if self._are_empty(each.queue, each.topology.out_queue)]
        missing.write_down(frozenset().union(*gone))

    def _are_empty(self, *queues: str) -> bool:
        """A queue that has no leader just now says that it has no messages, and no consumers either: both of these
        queues have one, a runner and a relay."""
        said = [self._channel.queue_declare(queue, passive=True).method for queue in queues]
        return all(queue.message_count == 0 and queue.consumer_count > 0 for queue in said)

    def _tell_bounds(self, datacenter_ids: set[str]) -> None:
        """A runner that comes, or comes back, has missed what the others were told."""
        for topology, bound in sessions.bounds_in(datacenter_ids) if datacenter_ids else ():
            broker.tell(self._channel, topology, bound)

    def _work_until(self, moment: float, stopping: Callable[[], bool]) -> None:
        while not stopping() and (left := moment - time.monotonic()) > 0:
            self._connection.process_data_events(time_limit=min(left, 0.2))
            self.apply_waiting()

    def _consume_new_datacenters(self) -> None:
        for topology in outbox.topologies():
            if topology.datacenter_id not in self._consumed:
                broker.declare(self._channel, topology)
                self._consume(topology.out_queue, partial(self._on_update, topology))
                self._consume(topology.dead_queue, partial(self._on_dead, topology))
                self._consume(topology.status_queue, partial(self._statuses.on_status, topology), auto_ack=True)
                self._consumed.add(topology.datacenter_id)

    def _consume(self, queue: str, heard: Callable[..., None], *, auto_ack: bool = False) -> None:
        try:
            self._channel.basic_consume(queue, heard, auto_ack=auto_ack)
        except AMQPError:
            log.error("the broker does not let us consume %s; if it says so again: docs/scale-out.md", queue)
            raise

    def _on_update(self, topology: Topology, channel: BlockingChannel, method: Any, _: Any, body: bytes) -> None:
        self._waiting.append(_Delivery(topology, channel, method.delivery_tag, body))
        if len(self._waiting) >= _TOGETHER:
            self.apply_waiting()

    def apply_waiting(self) -> None:
        """Afterwards all updates that came are applied, or among the dead letters, and acknowledged. Raises what the
        broker or the database raise when they are gone: then they come again."""
        waiting, self._waiting = self._waiting, []
        if len(waiting) < 2 or not self._applied_together(waiting):
            for one in waiting:
                with self._keeping_what_trips(one.topology, one.topology.out_queue, one.body):
                    _apply([one])
                one.channel.basic_ack(one.tag)

    def _applied_together(self, waiting: list[_Delivery]) -> bool:
        """False, and nothing was done, if one of them trips us: which one, is seen when each is applied by itself."""
        try:
            _apply(waiting)
        except (AMQPError, *DATABASE_GONE):
            raise
        except Exception as error:  # noqa: BLE001  # a bug of ours, whatever it raises; it comes again at once
            log.warning("%d updates are applied one by one, as together they failed: %r", len(waiting), error)
            return False
        for one in waiting:
            one.channel.basic_ack(one.tag)
        return True

    def _on_dead(
        self, topology: Topology, channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes
    ) -> None:
        self.apply_waiting()
        with self._keeping_what_trips(topology, topology.dead_queue, body):
            _say(deadletters.bury_request(topology, body, broker.reason_of(properties)))
        channel.basic_ack(method.delivery_tag)

    @contextmanager
    def _keeping_what_trips(self, topology: Topology, queue: str, body: bytes) -> Iterator[None]:
        """A message that trips us must not trip us again and again. One that came in vain because the broker or the
        database is gone comes again on the next connection."""
        trip: Exception | None = None
        try:
            yield
            return
        except InvalidMessage as error:
            reason = f"{error.code}: {error}"
        except (AMQPError, *DATABASE_GONE):
            raise
        except Exception as error:  # noqa: BLE001  # a bug of ours, whatever it raises; the log has its trace
            trip, reason = error, f"update.inapplicable: {type(error).__name__}: {error}"
        try:
            if queue == topology.out_queue:
                _say(deadletters.bury_update(topology, body, reason), trip)
                return
        except DATABASE_GONE:
            raise
        except Exception as error:  # even the end of what it is about: then people have to end it
            log.exception("a request could not be ended of which an update could not be applied")
            reason = f"{reason}; to end its request failed, too: {type(error).__name__}: {error}"
        _say(deadletters.keep(topology, queue, body, reason), trip)


def _apply(deliveries: list[_Delivery]) -> None:
    """All of them, or, if it raises, none."""
    words = updates.apply(*(Update.decode(one.body) for one in deliveries))
    for one, word in zip(deliveries, words, strict=True):
        if word is not None:
            broker.tell(one.channel, one.topology, word)


def _say(letter: DeadLetter, trip: Exception | None = None) -> None:
    with logs.about(datacenter=letter.datacenter_id, task=letter.task_id, request=letter.request_id):
        log.error("dead letter %s from %s: %s", letter.id, letter.queue, letter.reason, exc_info=trip)
