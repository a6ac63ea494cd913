# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exchanges, queues and routing keys: the API and the runners declare the same ones, durable, before they use them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

#: Requests to datacenters (direct); routing key = queue name.
REQUESTS_EXCHANGE = "millwright.requests"
#: Updates from runners (direct); routing key = queue name.
UPDATES_EXCHANGE = "millwright.updates"
#: What could not be handled (direct); routing key = queue name.
DEAD_EXCHANGE = "millwright.dead"

#: Between the API and all runners of a datacenter (direct); routing keys are ``Topology.control_key``,
#: ``heartbeat_key`` and ``status_key``. What goes here may get lost, and is repeated until it had its effect.
CONTROL_EXCHANGE = "millwright.control"

#: Header of a request that may have been published before.
AGAIN_HEADER = "x-millwright-again"
#: Header of a request that a runner published anew: how often it had been delivered before.
ATTEMPTS_HEADER = "x-millwright-attempts"
#: Headers that say why a message is among the dead letters.
REASON_HEADER = "x-millwright-reason"

DEFAULT_PARTITIONS = 4
#: A crash counts against every unacknowledged message of its consumer, so the limit is far above what one needs.
DELIVERY_LIMIT = 50
#: As good as none: what the API reads may come back to its queue each time that it loses its database, and must not be
#: lost by that. RabbitMQ 4 has a limit of 20 for queues without one of their own, and drops what exceeds it.
NO_DELIVERY_LIMIT = 1_000_000_000


def partition_of(hypervisor_id: str, partitions: int) -> int:
    """The partition of a hypervisor's requests: one runner at a time owns a partition, hence a hypervisor."""
    return zlib.crc32(hypervisor_id.encode()) % partitions


@dataclass(frozen=True)
class Topology:
    """Names of one datacenter's queues. The datacenter's id never changes, so neither do they."""

    datacenter_id: str
    partitions: int = DEFAULT_PARTITIONS

    def in_queue(self, partition: int) -> str:
        """Quorum queue with a single active consumer, a delivery limit, and ``dead_queue`` behind it."""
        return f"millwright.{self.datacenter_id}.in.{partition}"

    def in_queue_for(self, hypervisor_id: str) -> str:
        return self.in_queue(partition_of(hypervisor_id, self.partitions))

    @property
    def in_queues(self) -> tuple[str, ...]:
        return tuple(self.in_queue(number) for number in range(self.partitions))

    @property
    def out_queue(self) -> str:
        """Quorum queue with the updates of this datacenter's runners."""
        return f"millwright.{self.datacenter_id}.out"

    @property
    def dead_queue(self) -> str:
        """Requests that could not be handled; the API reads it and ends their tasks as failed, with the reason."""
        return f"millwright.{self.datacenter_id}.dead"

    @property
    def control_key(self) -> str:
        """Routing key of what every runner of the datacenter is told."""
        return self.datacenter_id

    @property
    def heartbeat_key(self) -> str:
        """Routing key of the runners' heartbeats, to each other and to the API."""
        return f"{self.datacenter_id}.heartbeat"

    @property
    def status_key(self) -> str:
        """Routing key of what runners say of themselves to the API."""
        return f"{self.datacenter_id}.status"

    @property
    def status_queue(self) -> str:
        """What the API hears of the runners; bounded, so that nothing piles up while no relay runs."""
        return f"millwright.{self.datacenter_id}.status"

    @staticmethod
    def status_arguments() -> dict[str, str | int | bool]:
        """Arguments that ``status_queue`` is declared with."""
        return {"x-max-length": 1_000, "x-message-ttl": 10_000}

    def in_arguments(self) -> dict[str, str | int | bool]:
        """Arguments that ``in_queue`` is declared with, by everybody alike."""
        return {
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            "x-dead-letter-routing-key": self.dead_queue,
        }

    @staticmethod
    def plain_arguments() -> dict[str, str | int | bool]:
        """Arguments that ``out_queue`` and ``dead_queue`` are declared with, unless they are there: earlier versions
        gave them no limit, and a queue keeps its arguments.

        One consumer at a time, so that a second relay that stands by never applies updates out of order."""
        return {"x-queue-type": "quorum", "x-single-active-consumer": True, "x-delivery-limit": NO_DELIVERY_LIMIT}
