# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runners say of themselves, gathered, and written down once a second."""

from __future__ import annotations

import logging
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from runner_service.contract.control import Heartbeat, RunnerStatus, decode_control
from runner_service.contract.messages import InvalidMessage
from runner_service.contract.topology import Topology

from ..database import utc_now
from ..services import runners

log = logging.getLogger(__name__)


class Statuses:
    """The newest status and heartbeat of each runner. What is lost with them is said anew within seconds."""

    def __init__(self) -> None:
        self._heard: dict[str, runners.Heard] = {}
        self._beats: dict[str, runners.Beat] = {}

    def on_status(
        self, topology: Topology, _channel: BlockingChannel, _method: Any, _: pika.BasicProperties, body: bytes
    ) -> None:
        """Nobody is helped by keeping one that cannot be read."""
        try:
            said = decode_control(body)
        except InvalidMessage as error:
            log.warning("datacenter=%s status of a runner dropped: %s", topology.datacenter_id, error)
            return
        if isinstance(said, Heartbeat):
            self._beats[said.runner_id] = runners.Beat(said, utc_now())
        elif isinstance(said, RunnerStatus):
            before = self._heard.get(said.runner_id)
            if before is None or before.status.sequence < said.sequence:
                self._heard[said.runner_id] = runners.Heard(topology.datacenter_id, said, utc_now())

    def write_down(self) -> set[str]:
        """Gives the datacenters in which there is a runner that was not heard of just before. Raises what the database
        raises when it is gone."""
        heard, beats = list(self._heard.values()), list(self._beats.values())
        self._heard, self._beats = {}, {}
        return runners.write_down(heard, beats)
