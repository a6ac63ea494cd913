# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies the updates of runners, and ends what is among the dead letters."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import fields_of
from runner_service.contract.messages import InvalidMessage, TaskRequest, Update
from runner_service.contract.topology import Topology

from ..services import outbox, rubbish, updates
from . import broker

_PREFETCH = 100

#: The message is well, the database is not.
DATABASE_GONE = (OperationalError, InterfaceError, TimeoutError)
_LOOK_FOR_DATACENTERS_SECONDS = 1.0

_ID = re.compile(str(next(spec.rule.pattern for spec in fields_of(TaskRequest) if spec.name == "id")))

log = logging.getLogger(__name__)


class Inbound:
    """One connection's work: consume the queues of every datacenter, old and new. A message is acknowledged after what
    it says is committed, so one that was cut short comes again, in order."""

    def __init__(self, connection: BlockingConnection):
        self._connection = connection
        self._channel: BlockingChannel = connection.channel()
        self._channel.confirm_delivery()
        self._channel.basic_qos(prefetch_count=_PREFETCH)
        self._consumed: set[str] = set()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Raises what the broker or the database raise when they are gone."""
        while not stopping():
            self._consume_new_datacenters()
            self._work_until(time.monotonic() + _LOOK_FOR_DATACENTERS_SECONDS, stopping)

    def _work_until(self, moment: float, stopping: Callable[[], bool]) -> None:
        while not stopping() and (left := moment - time.monotonic()) > 0:
            self._connection.process_data_events(time_limit=min(left, 0.2))

    def _consume_new_datacenters(self) -> None:
        for topology in outbox.topologies():
            if topology.datacenter_id not in self._consumed:
                broker.declare(self._channel, topology)
                self._channel.basic_consume(topology.out_queue, partial(self._on_update, topology))
                self._channel.basic_consume(topology.dead_queue, partial(self._on_dead, topology))
                self._consumed.add(topology.datacenter_id)

    def _on_update(self, topology: Topology, channel: BlockingChannel, method: Any, _: Any, body: bytes) -> None:
        with self._putting_aside_what_trips(topology, body):
            updates.apply(Update.decode(body))
        channel.basic_ack(method.delivery_tag)

    def _on_dead(
        self, topology: Topology, channel: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes
    ) -> None:
        with self._putting_aside_what_trips(topology, body):
            reason = broker.reason_of(properties)
            request_id = request_id_of(body)
            if request_id is None or not updates.give_up(request_id, reason):
                self._put_aside(topology, body, reason)
        channel.basic_ack(method.delivery_tag)

    @contextmanager
    def _putting_aside_what_trips(self, topology: Topology, body: bytes) -> Iterator[None]:
        """A message that trips us must not trip us again and again. One that came in vain because the broker or the
        database is gone comes again on the next connection."""
        try:
            yield
        except InvalidMessage as error:
            self._put_aside(topology, body, f"{error.code}: {error}")
        except (AMQPError, *DATABASE_GONE):
            raise
        except Exception as error:
            log.exception("datacenter=%s message not handled", topology.datacenter_id)
            self._put_aside(topology, body, f"update.inapplicable: {type(error).__name__}: {error}")

    def _put_aside(self, topology: Topology, body: bytes, reason: str) -> None:
        reason = reason.encode(errors="backslashreplace").decode()
        log.error("datacenter=%s message put aside: %s", topology.datacenter_id, reason)
        broker.put_aside(self._channel, topology, body, reason)
        rubbish.tell(topology.datacenter_id, topology.rubbish_queue, reason)


def request_id_of(body: bytes) -> str | None:
    """The id in what may have been a request, however broken the rest is."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return None
    found = raw.get("id") if isinstance(raw, dict) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else None
